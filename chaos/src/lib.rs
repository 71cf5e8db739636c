//! Loads and faults for clusters under test.
//!
//! So far: [`hollow`], thousands of agents in one process that run nothing. Uses only what any peer of a master could
//! use: the agent protocol and the HTTP APIs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod hollow;
