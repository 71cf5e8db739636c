//! Whole clusters of real processes for tests: masters, agents and frameworks of this machine, on free ports of the
//! loopback device, with their own folders.
//!
//! Knows the product only from outside: its binary, its flags, its ports. It must never link a crate of the product,
//! so that a test cannot pass because both sides share a mistake. Start reading at [`cluster::Cluster`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cluster;
pub mod framework;
pub mod http;
pub mod journal;
pub mod master;
pub mod node;
pub mod processes;
pub mod subscriber;
pub mod wait;
