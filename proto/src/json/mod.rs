//! Mesos's own JSON mapping, which differs from protobuf's: original field names, 64-bit integers as numbers, explicit
//! defaults printed (Mesos `docs/operator-http-api.md`, `docs/scheduler-http-api.md`).
//!
//! * Output: [`to_vec`], or `serde::Serialize`, which every message and enum has. Fields in the order of the `.proto`
//!   file: those that are set, and unset ones with an explicit default unless deprecated. Empty lists and maps and
//!   unknown enum numbers are left out.
//! * Input: [`from_slice`]: [`Node`] is the text as a tree, [`from_node`] makes a message of it. Unknown fields are
//!   ignored, `null` is unset, numbers and booleans may be strings, one value stands for a list of one, the last of
//!   several equal keys wins, an unknown enum name leaves an optional field unset.
//!
//! Error texts are those of Mesos, tools match on them. Never recurses deeper than [`MAX_DEPTH`].

mod double;
mod duration;
mod error;
mod node;
mod parse;
pub(crate) mod put;
pub(crate) mod read;
mod required;
mod to_serde;
mod write;

#[cfg(test)]
mod tests;

pub use error::{ConvertError, DecodeError, SyntaxError};
pub use node::{Node, Number, Object};
pub use parse::{MAX_DEPTH, MAX_ECHO, parse};
pub use put::{FieldSink, Items, Members, Value};
pub use read::Reading;
pub(crate) use to_serde::serialize;
pub use write::{append, to_vec};

use crate::table::MessageTable;

/// A generated message in its JSON mapping. Implemented by generated code only; object-safe, so that the code that
/// walks messages exists once and not once per message.
pub trait JsonMessage {
    /// The required fields.
    fn table(&self) -> &'static MessageTable;

    /// Hands each field that is to be printed to `to`, in the order of the `.proto` file.
    fn write_fields(&self, to: &mut dyn FieldSink);

    /// Reads `node`, which is not null, into the field `name`; unknown names are ignored.
    ///
    /// # Errors
    /// `node` does not fit the field.
    fn read_field(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Result<(), ConvertError>;
}

impl<T: JsonMessage + ?Sized> JsonMessage for Box<T> {
    fn table(&self) -> &'static MessageTable {
        (**self).table()
    }

    fn write_fields(&self, to: &mut dyn FieldSink) {
        (**self).write_fields(to);
    }

    fn read_field(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Result<(), ConvertError> {
        (**self).read_field(name, node, reading)
    }
}

/// Decodes a JSON body into a message; `message_label` is the message's name in the error text (`Call`).
///
/// # Errors
/// The body is no JSON, or does not describe a complete message.
pub fn from_slice<T: JsonMessage + Default>(body: &[u8], message_label: &str) -> Result<T, DecodeError> {
    let node = parse(body).map_err(DecodeError::Syntax)?;
    from_node(&node).map_err(|reason| DecodeError::Convert {
        message: message_label.to_owned(),
        reason,
    })
}

/// Makes a message of an object that is already parsed, e.g. one element of a list.
///
/// # Errors
/// `node` is no object, a field has the wrong type, or required fields are missing (all of them are named).
pub fn from_node<T: JsonMessage + Default>(node: &Node<'_>) -> Result<T, ConvertError> {
    let mut message = T::default();
    read_root(&mut message, node)?;
    Ok(message)
}

fn read_root(message: &mut dyn JsonMessage, node: &Node<'_>) -> Result<(), ConvertError> {
    let Node::Object(object) = node else {
        return Err(ConvertError::NoObject);
    };
    let mut reading = Reading::default();
    read::object(message, object, &mut reading)?;
    if reading.incomplete {
        let missing = required::missing(message.table(), object);
        if !missing.is_empty() {
            return Err(ConvertError::MissingRequired(missing));
        }
    }
    Ok(())
}
