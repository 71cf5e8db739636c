//! What the benchmarks share: load, figures, tables, the machine's facts, rivals.
//!
//! Every benchmark is a program under `bin/`; it prints a table in which each figure stands beside its limit or beside
//! a rival measured in the same run. Nothing here may ever assert a time: a slow machine gives slow figures, not a
//! failure. A benchmark fails only when it could not measure.

pub mod disk;
pub mod download;
pub mod etcd;
pub mod failover;
pub mod filling;
pub mod fleet;
pub mod load;
pub mod log_replica;
pub mod machine;
pub mod masters;
pub mod picture;
pub mod prefilled;
pub mod spread;
pub mod table;
