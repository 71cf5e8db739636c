//! The words of the Mesos protocols: types generated from `protos/`, and the encodings they travel in.
//!
//! * [`v1`]: the types of the HTTP APIs; their binary form is also that of the older (v0) types.
//! * [`v0`]: the few types whose binary form differs between the two.
//! * [`internal`]: the messages between master, agents and v0 drivers over libprocess.
//! * [`wire`]: binary decoding that refuses messages without their required fields.
//! * [`json`]: Mesos's own JSON mapping, both directions, with its error texts.
//! * [`recordio`]: the framing of event streams.
//! * [`ext`]: small conveniences on the generated types.
//!
//! No logic of a master or an agent belongs here, and nothing in this crate does I/O.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ext;
pub mod json;
pub mod recordio;
pub mod table;
pub mod wire;

/// Written by the build script; documented by Mesos.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mesos.rs"));

    /// Tables and JSON mapping of the types above.
    #[allow(unused_variables, dead_code)]
    mod mapping {
        use super::mesos;
        use crate::json::put::{self, FieldSink, Value};
        use crate::json::read::{self, Reading};
        use crate::json::{ConvertError, JsonMessage, Node};
        use crate::table::{EnumTable, FieldTable, Kind, MessageTable, Shape};

        include!(concat!(env!("OUT_DIR"), "/mapping.rs"));
    }
}

pub use generated::mesos::{internal, v1};

/// Types of v0 drivers whose binary form differs from [`v1`]: the older `Subscribe` (see [`ext::scheduler_call`]).
pub mod v0 {
    pub use crate::generated::mesos::scheduler;
}
