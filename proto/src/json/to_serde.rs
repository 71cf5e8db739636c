//! [`Value`]s to any serde format, so that messages can stand inside other serializable types. Doubles are written as
//! the format writes them; [`super::to_vec`] is the exact and the fast way to a JSON text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::put::{FieldSink, Value};
use super::{JsonMessage, double};

/// Serializes a message as a map.
pub(crate) fn serialize<S: Serializer>(message: &dyn JsonMessage, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sink = Sink {
        map: serializer.serialize_map(None)?,
        result: Ok(()),
    };
    message.write_fields(&mut sink);
    sink.result?;
    sink.map.end()
}

/// Keeps the first error; fields after it are not written.
struct Sink<M: SerializeMap> {
    map: M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> FieldSink for Sink<M> {
    fn field(&mut self, name: &str, value: Value<'_>) {
        if self.result.is_ok() {
            self.result = self.map.serialize_entry(name, &value);
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Value::Bool(is_set) => serializer.serialize_bool(is_set),
            Value::Signed(number) => serializer.serialize_i64(number),
            Value::Unsigned(number) => serializer.serialize_u64(number),
            Value::Double(number) => match double::word(number) {
                Some(word) => serializer.serialize_str(word),
                None => serializer.serialize_f64(number),
            },
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Value::Message(message) => serialize(message, serializer),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(None)?;
                let mut result = Ok(());
                items.each(&mut |item| {
                    if result.is_ok() {
                        result = list.serialize_element(&item);
                    }
                });
                result?;
                list.end()
            }
            Value::Map(members) => {
                let mut sink = Sink {
                    map: serializer.serialize_map(None)?,
                    result: Ok(()),
                };
                members.each(&mut |key, item| sink.field(key, item));
                sink.result?;
                sink.map.end()
            }
        }
    }
}
