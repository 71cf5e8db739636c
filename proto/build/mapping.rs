//! The JSON mapping of each message: which field is written how, and into which field a name is read. The generated
//! code only names fields; the work is done by the helpers of `src/json/put.rs` and `src/json/read.rs`.

use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};

use crate::model::{Message, Model};
use crate::names::{camel, snake};
use crate::tables::line;

/// Fields that exist in the binary form only: the v1 JSON of `AgentInfo` has no `checkpoint`.
const BINARY_ONLY: [(&str, &str); 1] = [("mesos.v1.AgentInfo", "checkpoint")];

pub(crate) fn generate(model: &Model, code: &mut String) -> Result<(), String> {
    for item in model.enums.values() {
        line(
            code,
            &format!(
                "impl serde::Serialize for {} {{ fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {{ to.serialize_str(self.as_str_name()) }} }}",
                item.rust_path
            ),
        );
    }
    for message in model.messages.values().filter(|message| !message.is_map_entry) {
        generate_message(model, message, code)?;
    }
    Ok(())
}

fn generate_message(model: &Model, message: &Message, code: &mut String) -> Result<(), String> {
    let fields: Vec<&FieldDescriptorProto> = message
        .descriptor
        .field
        .iter()
        .filter(|field| !BINARY_ONLY.contains(&(message.full_name.as_str(), field.name())))
        .collect();
    let path = &message.rust_path;
    line(code, &format!("impl JsonMessage for {path} {{"));
    line(
        code,
        &format!("fn table(&self) -> &'static MessageTable {{ &M{} }}", message.index),
    );
    line(code, "fn write_fields(&self, to: &mut dyn FieldSink) {");
    for field in &fields {
        line(code, &put(model, message, field)?);
    }
    line(code, "}");
    line(
        code,
        "fn read_field(&mut self, name: &str, node: &Node<'_>, reading: &mut Reading) -> Result<(), ConvertError> {",
    );
    line(code, "match name {");
    for field in &fields {
        line(code, &format!("{:?} => {},", field.name(), read(model, message, field)));
    }
    line(code, "_ => Ok(()) } } }");
    line(
        code,
        &format!(
            "impl serde::Serialize for {path} {{ fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {{ crate::json::serialize(self, to) }} }}"
        ),
    );
    Ok(())
}

/// The statement that writes one field.
fn put(model: &Model, message: &Message, field: &FieldDescriptorProto) -> Result<String, String> {
    let name = field.name();
    let member = format!("self.{}", snake(name));
    if let Some(variant) = oneof_variant(message, field) {
        let inner = match model.enum_of(field) {
            Some(item) => format!("put::one_enum(to, {name:?}, *value, &E{})", item.index),
            None => format!("put::one(to, {name:?}, value)"),
        };
        return Ok(format!(
            "if let Some({}(value)) = &self.{} {{ {inner}; }}",
            variant.path, variant.member
        ));
    }
    let target = model.message_of(field);
    let default = printed_default(field)?;
    Ok(match (field.label(), model.enum_of(field)) {
        (Label::Repeated, _) if target.is_some_and(|target| target.is_map_entry) => {
            format!("put::map(to, {name:?}, &{member});")
        }
        (Label::Repeated, Some(item)) => format!("put::enums(to, {name:?}, &{member}, &E{});", item.index),
        (Label::Repeated, None) => format!("put::list(to, {name:?}, &{member});"),
        (Label::Required, Some(item)) => format!("put::one_enum(to, {name:?}, {member}, &E{});", item.index),
        (Label::Required, None) => format!("put::one(to, {name:?}, &{member});"),
        (Label::Optional, Some(item)) => match default {
            Some(value) => format!("put::enum_or(to, {name:?}, {member}, &E{}, {value});", item.index),
            None => format!("put::optional_enum(to, {name:?}, {member}, &E{});", item.index),
        },
        (Label::Optional, None) => match default {
            Some(value) => format!("put::optional_or(to, {name:?}, &{member}, {value});"),
            None => format!("put::optional(to, {name:?}, &{member});"),
        },
    })
}

/// The match arm that reads one field.
fn read(model: &Model, message: &Message, field: &FieldDescriptorProto) -> String {
    let member = format!("self.{}", snake(field.name()));
    if let Some(variant) = oneof_variant(message, field) {
        let inner = match model.enum_of(field) {
            Some(item) => format!("read::optional_enum(&mut value, name, node, &E{})?", item.index),
            None => "read::optional(&mut value, name, node, reading)?".to_owned(),
        };
        return format!(
            "{{ let mut value = None; {inner}; if let Some(value) = value {{ self.{} = Some({}(value)); }} Ok(()) }}",
            variant.member, variant.path
        );
    }
    let is_map = model.message_of(field).is_some_and(|target| target.is_map_entry);
    match (field.label(), model.enum_of(field)) {
        (Label::Repeated, _) if is_map => format!("read::map(&mut {member}, name, node, reading)"),
        (Label::Repeated, Some(item)) => format!("read::enums(&mut {member}, name, node, &E{})", item.index),
        (Label::Repeated, None) => format!("read::list(&mut {member}, name, node, reading)"),
        (Label::Required, Some(item)) => format!("read::one_enum(&mut {member}, name, node, &E{})", item.index),
        (Label::Optional, Some(item)) => format!("read::optional_enum(&mut {member}, name, node, &E{})", item.index),
        (Label::Required, None) => format!("read::one(&mut {member}, name, node, reading)"),
        (Label::Optional, None) => format!("read::optional(&mut {member}, name, node, reading)"),
    }
}

/// How a member of a oneof is reached: the Rust field that holds the oneof, and the path of the variant.
struct Variant {
    member: String,
    path: String,
}

fn oneof_variant(message: &Message, field: &FieldDescriptorProto) -> Option<Variant> {
    let index = usize::try_from(field.oneof_index?).ok()?;
    let oneof = message.descriptor.oneof_decl.get(index)?;
    Some(Variant {
        member: snake(oneof.name()),
        path: format!(
            "{}::{}::{}",
            message.rust_module,
            camel(oneof.name()),
            camel(field.name())
        ),
    })
}

/// The value that is printed although the field is unset, as a Rust expression: the explicit default of a field that
/// is not deprecated.
fn printed_default(field: &FieldDescriptorProto) -> Result<Option<String>, String> {
    let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
    let Some(default) = field.default_value.as_deref().filter(|_| !deprecated) else {
        return Ok(None);
    };
    Ok(Some(match field.r#type() {
        Type::Bool => format!("Value::Bool({default})"),
        Type::Double => {
            let number: f64 = default
                .parse()
                .map_err(|error| format!("default of {}: {error}", field.name()))?;
            format!("Value::Double({number:?})")
        }
        Type::Int32 | Type::Int64 => format!("Value::Signed({default})"),
        Type::Uint32 | Type::Uint64 => format!("Value::Unsigned({default})"),
        Type::String => format!("Value::Text({default:?})"),
        Type::Enum => format!("{default:?}"),
        other => return Err(format!("default of {}: type {other:?} is not mapped", field.name())),
    }))
}
