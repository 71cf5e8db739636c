//! Statics that describe messages: required fields (for the strict decoder and the JSON reader) and enum value names.

use std::fmt::Write;

use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::Label;

use crate::model::{Message, Model};

/// Presence is tracked in one 64-bit word per message.
const MAX_FIELDS: usize = 64;

pub(crate) fn generate(model: &Model, code: &mut String) {
    for item in model.enums.values() {
        let mut values: Vec<(i32, &str)> = item
            .descriptor
            .value
            .iter()
            .map(|value| (value.number(), value.name()))
            .collect();
        values.sort_unstable();
        line(code, &format!("/// `{}`.", item.full_name));
        line(
            code,
            &format!(
                "static E{}: EnumTable = EnumTable {{ values: &{values:?} }};",
                item.index
            ),
        );
    }
    for message in model.messages.values() {
        let fields: Vec<String> = message
            .descriptor
            .field
            .iter()
            .filter_map(|field| field_entry(model, message, field))
            .collect();
        assert!(
            fields.len() <= MAX_FIELDS,
            "{}: {} fields to track, at most {MAX_FIELDS}",
            message.full_name,
            fields.len()
        );
        line(code, &format!("/// `{}`.", message.full_name));
        line(
            code,
            &format!(
                "static M{}: MessageTable = MessageTable {{ fields: &[{}] }};",
                message.index,
                fields.join(", ")
            ),
        );
    }
}

/// The table entry of a field that is required or leads to required ones; other fields need none.
fn field_entry(model: &Model, message: &Message, field: &FieldDescriptorProto) -> Option<String> {
    let target = model.message_of(field);
    let nested = target.filter(|target| target.has_required);
    // The value of a map entry always exists; left out on the wire it is the empty message.
    let required = field.label() == Label::Required || (message.is_map_entry && nested.is_some());
    if !required && nested.is_none() {
        return None;
    }
    let kind = match (nested, model.enum_of(field)) {
        (Some(nested), _) => format!("Kind::Message(&M{})", nested.index),
        (None, Some(item)) => format!("Kind::Enum(&E{})", item.index),
        (None, None) => "Kind::Other".to_owned(),
    };
    let shape = match target {
        Some(target) if target.is_map_entry => "Shape::Map",
        _ if field.label() == Label::Repeated => "Shape::Repeated",
        _ => "Shape::Single",
    };
    Some(format!(
        "FieldTable {{ number: {}, name: {:?}, required: {required}, shape: {shape}, kind: {kind} }}",
        field.number(),
        field.name()
    ))
}

pub(crate) fn line(code: &mut String, text: &str) {
    writeln!(code, "{text}").expect("writing to a String cannot fail");
}
