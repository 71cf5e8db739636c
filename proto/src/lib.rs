//! Wire types.

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mesos.rs"));
}

pub use generated::mesos::{internal, v1};
