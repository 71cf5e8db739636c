//! Binary decoding as proto2 means it: a message without its required fields is refused. prost alone would put empty
//! values there.
//!
//! Unlike Mesos, text that is not UTF-8 is refused too.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::json::JsonMessage;
use crate::table::{EnumTable, Kind, MAX_MESSAGE_DEPTH, MessageTable, Shape};

/// Missing fields that are named; a large broken body must not become a larger log line.
const MAX_NAMED: usize = 100;

/// A body that is not the message it should be. The text is that of Mesos; the source says more, for logs.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Failed to parse body into {message} protobuf")]
pub struct DecodeError {
    message: String,
    #[source]
    reason: Reason,
}

/// What is wrong with a body.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Reason {
    /// The bytes are no message of this type.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// Messages inside messages inside messages.
    #[error("messages are nested deeper than the limit of {limit}")]
    TooDeep {
        /// Levels accepted.
        limit: usize,
    },
    /// Required fields with their paths (`tasks[0].task_id`), at most 100 of them.
    #[error("missing required fields: {}", .0.join(", "))]
    Missing(Vec<String>),
}

impl DecodeError {
    /// What is wrong.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The required fields that the body lacks; empty if something else is wrong.
    pub fn missing(&self) -> &[String] {
        match &self.reason {
            Reason::Missing(paths) => paths,
            Reason::Malformed(_) | Reason::TooDeep { .. } => &[],
        }
    }
}

/// Decodes a message; `message_label` is its name in the error text (`Call`).
///
/// # Errors
/// The body is malformed, nested deeper than [`MAX_MESSAGE_DEPTH`], or lacks required fields.
pub fn decode<T: Message + Default + JsonMessage>(body: &[u8], message_label: &str) -> Result<T, DecodeError> {
    let decoded = T::decode(body).map_err(Reason::from).and_then(|message| {
        check_required(message.table(), body)?;
        Ok(message)
    });
    decoded.map_err(|reason| DecodeError {
        message: message_label.to_owned(),
        reason,
    })
}

fn check_required(table: &MessageTable, body: &[u8]) -> Result<(), Reason> {
    let mut walk = Walk {
        path: Vec::new(),
        missing: Vec::new(),
    };
    walk.message(table, body)?;
    if walk.missing.is_empty() {
        Ok(())
    } else {
        Err(Reason::Missing(walk.missing))
    }
}

/// One step from a message into a field, with the index if it is repeated.
type Step = (&'static str, Option<usize>);

/// A message inside a message, with the parts that came after the first.
struct Singular<'a> {
    name: &'static str,
    table: &'static MessageTable,
    content: &'a [u8],
    more: Vec<&'a [u8]>,
}

struct Walk {
    path: Vec<Step>,
    missing: Vec<String>,
}

impl Walk {
    fn message(&mut self, table: &MessageTable, body: &[u8]) -> Result<(), Reason> {
        if table.fields.is_empty() {
            return Ok(());
        }
        if self.path.len() >= MAX_MESSAGE_DEPTH {
            return Err(Reason::TooDeep {
                limit: MAX_MESSAGE_DEPTH,
            });
        }
        let own_missing_at = self.missing.len();
        let mut present: u64 = 0;
        // Singular messages are merged if they occur again, which is what their bytes one after the other mean.
        let mut singular: Vec<Singular<'_>> = Vec::new();
        let mut counts: Vec<(u32, usize)> = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (number, wire_type) = decode_key(&mut rest)?;
            let Some((index, field)) = table
                .fields
                .iter()
                .enumerate()
                .find(|(_, field)| field.number == number)
            else {
                skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
                continue;
            };
            let before = rest;
            skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
            let value = before.get(..before.len() - rest.len()).unwrap_or(&[]);
            if !is_unknown_enum(&field.kind, wire_type, value) {
                present |= 1 << index;
            }
            let Kind::Message(nested) = field.kind else { continue };
            let content = without_length(value)?;
            if field.shape == Shape::Single {
                match singular.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => known.more.push(content),
                    None => singular.push(Singular {
                        name: field.name,
                        table: nested,
                        content,
                        more: Vec::new(),
                    }),
                }
            } else {
                let element = next_index(&mut counts, number);
                self.nested((field.name, Some(element)), nested, content)?;
            }
        }
        for Singular {
            name,
            table,
            content,
            more,
        } in singular
        {
            if more.is_empty() {
                self.nested((name, None), table, content)?;
            } else {
                self.nested((name, None), table, &[content, &more.concat()].concat())?;
            }
        }
        let own = table
            .fields
            .iter()
            .enumerate()
            .filter(|(index, field)| field.required && present & 1 << index == 0);
        let own: Vec<String> = own.map(|(_, field)| self.path_of(field.name)).collect();
        self.missing.splice(own_missing_at..own_missing_at, own);
        self.missing.truncate(MAX_NAMED);
        Ok(())
    }

    fn nested(&mut self, step: Step, table: &MessageTable, content: &[u8]) -> Result<(), Reason> {
        self.path.push(step);
        let result = self.message(table, content);
        self.path.pop();
        result
    }

    fn path_of(&self, field: &str) -> String {
        let mut path = String::new();
        for (name, index) in &self.path {
            path.push_str(name);
            if let Some(index) = index {
                path.push_str(&format!("[{index}]"));
            }
            path.push('.');
        }
        path + field
    }
}

/// The content of a length-delimited field; prost has already checked that the field is one.
fn without_length(value: &[u8]) -> Result<&[u8], prost::DecodeError> {
    let mut content = value;
    decode_varint(&mut content)?;
    Ok(content)
}

fn is_unknown_enum(kind: &Kind, wire_type: WireType, value: &[u8]) -> bool {
    let known = |table: &EnumTable, mut value: &[u8]| {
        // Enum numbers are 32-bit; longer varints are cut like any int32.
        decode_varint(&mut value).is_ok_and(|number| table.name(number as i32).is_some())
    };
    matches!(kind, Kind::Enum(table) if wire_type == WireType::Varint && !known(table, value))
}

fn next_index(counts: &mut Vec<(u32, usize)>, number: u32) -> usize {
    match counts.iter_mut().find(|(known, _)| *known == number) {
        Some((_, count)) => {
            *count += 1;
            *count
        }
        None => {
            counts.push((number, 0));
            0
        }
    }
}

#[cfg(test)]
mod tests;
