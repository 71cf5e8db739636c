//! What the generated statics say about a message: its required fields, the way to those of nested messages, and the
//! names of enum values. Fields that neither are required nor lead to required ones are not listed.

/// Messages inside each other that both decoders accept. Mesos's own reach a dozen; the rest up to the 100 levels that
/// prost decodes is left for those who put a message into a larger one.
pub const MAX_MESSAGE_DEPTH: usize = 64;

/// The listed fields of a message, in the order of the `.proto` file.
#[derive(Debug)]
pub struct MessageTable {
    pub(crate) fields: &'static [FieldTable],
}

#[derive(Debug)]
pub(crate) struct FieldTable {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Repeated,
    /// Text keys; on the wire a repeated entry message, in JSON an object.
    Map,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// A message that has required fields somewhere.
    Message(&'static MessageTable),
    /// Enums are closed: an unknown number leaves the field unset.
    Enum(&'static EnumTable),
    /// Anything else; only its presence counts.
    Other,
}

/// The values of an enum by number and name, sorted by number.
#[derive(Debug)]
pub struct EnumTable {
    pub(crate) values: &'static [(i32, &'static str)],
}

impl EnumTable {
    pub(crate) fn name(&self, number: i32) -> Option<&'static str> {
        let at = self.values.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.values.get(at).map(|(_, name)| *name)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.values
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }
}
