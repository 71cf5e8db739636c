//! Loads, faults and verdicts for clusters under test.
//!
//! [`hollow`] agents, thousands in one process, run nothing; [`launcher`] frameworks launch as much as they are offered;
//! [`fault`] is the vocabulary of what can go wrong, [`history`] what happened, and [`check`] judges it. Uses only what any peer of a master
//! could use: the agent protocol and the HTTP APIs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod fault;
pub mod history;
pub mod hollow;
pub mod launcher;
pub mod workload;
