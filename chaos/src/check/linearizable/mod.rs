//! Is there an order of the calls, each at one instant between call and answer, that explains every answer?
//!
//! That is linearizability (Herlihy and Wing, 1990); it is local, so that each object is judged by itself. The search is
//! that of Wing and Gong with the memory of Lowe ("Testing for linearizability", 2017): a state that was reached with the
//! same set of calls is not tried again. A call whose answer nobody got may take effect at any later time, or never; a
//! refused one never had any.
//!
//! [`registers`] and [`tasks`] say what an instant of each call means. A search that takes more than [`STEPS_MAX`] is
//! given up: that is no verdict, and never a pass.

mod registers;
mod search;
mod tasks;

pub(super) use self::registers::RULE as REGISTERS;
pub(super) use self::tasks::RULE as TASKS;

/// Steps of one search: about a second of work, thousands of times what a history of sound length needs.
const STEPS_MAX: u64 = 1_000_000;
