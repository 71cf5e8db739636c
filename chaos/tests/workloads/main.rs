//! Each workload against real masters in this process, for a short while; what they wrote down is then looked at.

#![allow(clippy::unwrap_used)]

mod agents;
mod cluster;
mod events;
mod frameworks;
mod registers;
mod reservations;
mod tasks;
