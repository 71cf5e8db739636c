//! Writes answers piece by piece in either encoding, so that a large state never exists twice in memory.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::json::JsonMessage;
use proto::v1::master::{Response, response};

use crate::leadership::stream::MediaType;

/// One message under construction.
pub(super) struct Writer {
    media_type: MediaType,
    out: Vec<u8>,
    is_first: bool,
}

/// A `Response` of this type whose one sub-message, field `tag` called `name`, is written by `fill`.
pub(super) fn response(
    media_type: MediaType,
    kind: response::Type,
    (tag, name): (u32, &str),
    fill: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    whole(media_type, |to| {
        to.fields(&Response {
            r#type: Some(kind as i32),
            ..Response::default()
        });
        to.message(tag, name, fill);
    })
}

/// A message of any type, written by `fill`.
pub(super) fn whole(media_type: MediaType, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer {
        media_type,
        out: Vec::new(),
        is_first: true,
    };
    match media_type {
        MediaType::Json => {
            writer.out.push(b'{');
            fill(&mut writer);
            writer.out.push(b'}');
        }
        MediaType::Protobuf => fill(&mut writer),
    }
    writer.out
}

impl Writer {
    /// The fields of `message` that are set, as fields of the message under construction; at least one is.
    pub(super) fn fields<M: Message + JsonMessage>(&mut self, message: &M) {
        match self.media_type {
            MediaType::Json => {
                let text = proto::json::to_vec(message);
                if !std::mem::take(&mut self.is_first) {
                    self.out.push(b',');
                }
                // Without the braces.
                self.out.extend_from_slice(&text[1..text.len() - 1]);
            }
            MediaType::Protobuf => self.out.extend_from_slice(&message.encode_to_vec()),
        }
    }

    /// A sub-message, written by `fill`.
    pub(super) fn message(&mut self, tag: u32, name: &str, fill: impl FnOnce(&mut Writer)) {
        match self.media_type {
            MediaType::Json => {
                self.key(name);
                self.out.push(b'{');
                self.is_first = true;
                fill(self);
                self.is_first = false;
                self.out.push(b'}');
            }
            MediaType::Protobuf => {
                let mut inner = Writer {
                    media_type: self.media_type,
                    out: Vec::new(),
                    is_first: true,
                };
                fill(&mut inner);
                encode_key(tag, WireType::LengthDelimited, &mut self.out);
                encode_varint(inner.out.len() as u64, &mut self.out);
                self.out.append(&mut inner.out);
            }
        }
    }

    /// A repeated field of messages; in JSON it is there also when it is empty.
    pub(super) fn list<M: Message + JsonMessage>(&mut self, tag: u32, name: &str, items: impl Iterator<Item = M>) {
        match self.media_type {
            MediaType::Json => {
                self.key(name);
                self.out.push(b'[');
                for (index, item) in items.enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    proto::json::append(&item, &mut self.out);
                }
                self.out.push(b']');
            }
            MediaType::Protobuf => {
                for item in items {
                    prost::encoding::message::encode(tag, &item, &mut self.out);
                }
            }
        }
    }

    fn key(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::Role;
    use proto::v1::master::Response;

    use super::*;

    fn roles(media_type: MediaType) -> Vec<u8> {
        let role = |name: &str| Role {
            name: name.to_owned(),
            weight: 1.0,
            ..Role::default()
        };
        response(media_type, response::Type::GetRoles, (14, "get_roles"), |to| {
            to.list(1, "roles", [role("a"), role("b")].into_iter());
        })
    }

    #[test]
    fn both_encodings_are_those_of_the_whole_message() {
        let whole = Response::decode(&*roles(MediaType::Protobuf)).unwrap();
        assert_eq!(whole.r#type(), response::Type::GetRoles);
        let names: Vec<&str> = whole
            .get_roles
            .iter()
            .flat_map(|it| &it.roles)
            .map(|role| &*role.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(roles(MediaType::Protobuf), whole.encode_to_vec());
        assert_eq!(roles(MediaType::Json), proto::json::to_vec(&whole));
    }

    #[test]
    fn empty_lists_and_nested_messages_are_written_in_json() {
        let text = response(MediaType::Json, response::Type::GetState, (9, "get_state"), |to| {
            to.message(1, "get_tasks", |to| {
                to.list(2, "tasks", std::iter::empty::<proto::v1::Task>())
            });
            to.message(2, "get_executors", |_| {});
        });
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"type":"GET_STATE","get_state":{"get_tasks":{"tasks":[]},"get_executors":{}}}"#
        );
    }
}
