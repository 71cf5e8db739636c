//! Loads, faults and verdicts for clusters under test.
//!
//! [`hollow`] agents, thousands in one process, run nothing; [`launcher`] frameworks launch as much as they are offered;
//! [`fault`] is the vocabulary of what can go wrong, [`history`] what happened, and [`check`] judges it. [`run`] is a whole
//! cluster of real processes under faults. Uses only what any peer of a master could use: the agent protocol, the HTTP
//! APIs and the command line.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod fault;
pub mod history;
pub mod hollow;
pub mod launcher;
pub mod report;
pub mod run;
pub mod workload;
