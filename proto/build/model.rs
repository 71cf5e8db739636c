//! The descriptors as the generators want them: messages and enums by full name, with their Rust paths and numbers
//! that name the generated statics.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::names::{camel, snake};

/// Types of this package are prost's own and mapped by hand.
const FOREIGN_PACKAGE: &str = "google.protobuf";

/// One message of ours; `google.protobuf` has none here.
pub(crate) struct Message {
    /// `mesos.v1.scheduler.Call`.
    pub(crate) full_name: String,
    /// `mesos::v1::scheduler::Call`; not meaningful for map entries, which have no Rust type.
    pub(crate) rust_path: String,
    /// `mesos::v1::scheduler::call`, where prost puts nested types and oneofs.
    pub(crate) rust_module: String,
    /// Number of the generated static.
    pub(crate) index: usize,
    pub(crate) descriptor: DescriptorProto,
    pub(crate) is_map_entry: bool,
    /// Whether it or a message inside it has a required field.
    pub(crate) has_required: bool,
}

pub(crate) struct Enum {
    pub(crate) full_name: String,
    pub(crate) rust_path: String,
    pub(crate) index: usize,
    pub(crate) descriptor: EnumDescriptorProto,
}

/// Keys are full names with a leading dot, as field descriptors refer to them.
pub(crate) struct Model {
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) enums: BTreeMap<String, Enum>,
}

impl Model {
    pub(crate) fn new(set: &FileDescriptorSet) -> Result<Self, String> {
        let mut model = Self {
            messages: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        for file in set.file.iter().filter(|file| file.package() != FOREIGN_PACKAGE) {
            if file.syntax() == "proto3" {
                return Err(format!(
                    "{}: only proto2 files are mapped (presence of every field matters)",
                    file.name()
                ));
            }
            let module = file.package().split('.').map(snake).collect::<Vec<_>>().join("::");
            for message in &file.message_type {
                model.add_message(file.package(), &module, message);
            }
            for item in &file.enum_type {
                model.add_enum(file.package(), &module, item);
            }
        }
        model.mark_required();
        Ok(model)
    }

    fn add_message(&mut self, scope: &str, module: &str, descriptor: &DescriptorProto) {
        let full_name = format!("{scope}.{}", descriptor.name());
        let rust_module = format!("{module}::{}", snake(descriptor.name()));
        for nested in &descriptor.nested_type {
            self.add_message(&full_name, &rust_module, nested);
        }
        for item in &descriptor.enum_type {
            self.add_enum(&full_name, &rust_module, item);
        }
        let message = Message {
            rust_path: format!("{module}::{}", camel(descriptor.name())),
            rust_module,
            index: self.messages.len(),
            descriptor: descriptor.clone(),
            is_map_entry: descriptor.options.as_ref().is_some_and(|options| options.map_entry()),
            has_required: false,
            full_name,
        };
        self.messages.insert(format!(".{}", message.full_name), message);
    }

    fn add_enum(&mut self, scope: &str, module: &str, descriptor: &EnumDescriptorProto) {
        let full_name = format!("{scope}.{}", descriptor.name());
        let item = Enum {
            rust_path: format!("{module}::{}", camel(descriptor.name())),
            index: self.enums.len(),
            descriptor: descriptor.clone(),
            full_name,
        };
        self.enums.insert(format!(".{}", item.full_name), item);
    }

    /// Spreads `has_required` from the messages with required fields to those that contain them.
    fn mark_required(&mut self) {
        loop {
            let known: BTreeSet<&String> = self
                .messages
                .iter()
                .filter(|(_, message)| message.has_required)
                .map(|(name, _)| name)
                .collect();
            let found: Vec<String> =
                self.messages
                    .iter()
                    .filter(|(_, message)| !message.has_required)
                    .filter(|(_, message)| {
                        message.descriptor.field.iter().any(|field| {
                            field.label() == Label::Required || known.contains(&field.type_name().to_owned())
                        })
                    })
                    .map(|(name, _)| name.clone())
                    .collect();
            if found.is_empty() {
                return;
            }
            for name in found {
                if let Some(message) = self.messages.get_mut(&name) {
                    message.has_required = true;
                }
            }
        }
    }

    /// The message of a field of message type; `None` for scalars, enums and `google.protobuf` types.
    pub(crate) fn message_of(&self, field: &FieldDescriptorProto) -> Option<&Message> {
        (field.r#type() == Type::Message)
            .then(|| self.messages.get(field.type_name()))
            .flatten()
    }

    /// The enum of a field of enum type.
    pub(crate) fn enum_of(&self, field: &FieldDescriptorProto) -> Option<&Enum> {
        (field.r#type() == Type::Enum)
            .then(|| self.enums.get(field.type_name()))
            .flatten()
    }
}

/// The same descriptors with no field marked deprecated: Mesos still lives on these fields, and warnings at each of
/// their uses would drown others. The JSON mapping is generated from the original descriptors.
pub(crate) fn without_deprecation(mut set: FileDescriptorSet) -> FileDescriptorSet {
    fn clean(message: &mut DescriptorProto) {
        for options in message.field.iter_mut().filter_map(|field| field.options.as_mut()) {
            options.deprecated = None;
        }
        message.nested_type.iter_mut().for_each(clean);
    }
    for file in &mut set.file {
        file.message_type.iter_mut().for_each(clean);
    }
    set
}
