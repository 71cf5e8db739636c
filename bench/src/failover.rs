//! What the failover benchmark observes with: writers that never stop writing (`writer.rs`), a framework with tasks
//! (`tasks.rs`) and the journal in which the writers note what was acknowledged (`journal.rs`).

pub mod journal;
pub mod tasks;
pub mod writer;
