//! `google.protobuf.Duration` is the plain message here, not the text (`"5s"`) of protobuf's own JSON.

use super::put::{FieldSink, Value};
use super::read::{self, Reading};
use super::{ConvertError, JsonMessage, Node};
use crate::table::MessageTable;

static DURATION: MessageTable = MessageTable { fields: &[] };

impl JsonMessage for prost_types::Duration {
    fn table(&self) -> &'static MessageTable {
        &DURATION
    }

    fn write_fields(&self, to: &mut dyn FieldSink) {
        to.field("seconds", Value::Signed(self.seconds));
        to.field("nanos", Value::Signed(i64::from(self.nanos)));
    }

    fn read_field(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Result<(), ConvertError> {
        match name {
            "seconds" => read::one(&mut self.seconds, name, node, reading),
            "nanos" => read::one(&mut self.nanos, name, node, reading),
            _ => Ok(()),
        }
    }
}
