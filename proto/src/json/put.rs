//! From the fields of a message to [`Value`]s. The generated code calls these functions; a [`FieldSink`] decides what
//! becomes of the values.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::JsonMessage;
use crate::table::EnumTable;

/// One value of a message, borrowed.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// `true`, `false`.
    Bool(bool),
    /// `int32`, `int64`.
    Signed(i64),
    /// `uint32`, `uint64`.
    Unsigned(u64),
    /// `double`.
    Double(f64),
    /// `string`, or the name of an enum value.
    Text(&'a str),
    /// `bytes`, to be written as base64.
    Bytes(&'a [u8]),
    /// A message.
    Message(&'a dyn JsonMessage),
    /// A repeated field.
    List(&'a dyn Items),
    /// A map with text keys.
    Map(&'a dyn Members),
}

/// Takes the fields of one message.
pub trait FieldSink {
    /// One field that is to be printed.
    fn field(&mut self, name: &str, value: Value<'_>);
}

/// The elements of a repeated field.
pub trait Items {
    /// Hands each element to `to`.
    fn each(&self, to: &mut dyn FnMut(Value<'_>));
}

/// The entries of a map field.
pub trait Members {
    /// Hands each entry to `to`, ordered by key.
    fn each(&self, to: &mut dyn FnMut(&str, Value<'_>));
}

/// What can stand in a field.
pub(crate) trait AsValue {
    fn as_value(&self) -> Value<'_>;
}

impl<T: JsonMessage> AsValue for T {
    fn as_value(&self) -> Value<'_> {
        Value::Message(self)
    }
}

macro_rules! scalar {
    ($($rust:ty => $this:ident -> $value:expr),* $(,)?) => {
        $(impl AsValue for $rust {
            fn as_value(&self) -> Value<'_> {
                let $this = self;
                $value
            }
        })*
    };
}

scalar! {
    bool => this -> Value::Bool(*this),
    i32 => this -> Value::Signed(i64::from(*this)),
    i64 => this -> Value::Signed(*this),
    u32 => this -> Value::Unsigned(u64::from(*this)),
    u64 => this -> Value::Unsigned(*this),
    f64 => this -> Value::Double(*this),
    String => this -> Value::Text(this),
    Bytes => this -> Value::Bytes(this),
}

impl<T: AsValue> Items for Vec<T> {
    fn each(&self, to: &mut dyn FnMut(Value<'_>)) {
        self.iter().for_each(|item| to(item.as_value()));
    }
}

impl<T: AsValue> Members for BTreeMap<String, T> {
    fn each(&self, to: &mut dyn FnMut(&str, Value<'_>)) {
        self.iter().for_each(|(key, item)| to(key, item.as_value()));
    }
}

/// The numbers of a repeated enum field; unknown ones have no name and are left out.
struct EnumItems<'a>(&'a [i32], &'static EnumTable);

impl Items for EnumItems<'_> {
    fn each(&self, to: &mut dyn FnMut(Value<'_>)) {
        self.0
            .iter()
            .filter_map(|number| self.1.name(*number))
            .for_each(|name| to(Value::Text(name)));
    }
}

pub(crate) fn one(to: &mut dyn FieldSink, name: &str, value: &impl AsValue) {
    to.field(name, value.as_value());
}

pub(crate) fn optional(to: &mut dyn FieldSink, name: &str, value: &Option<impl AsValue>) {
    if let Some(value) = value {
        to.field(name, value.as_value());
    }
}

pub(crate) fn optional_or(to: &mut dyn FieldSink, name: &str, value: &Option<impl AsValue>, default: Value<'_>) {
    to.field(name, value.as_ref().map_or(default, AsValue::as_value));
}

pub(crate) fn one_enum(to: &mut dyn FieldSink, name: &str, number: i32, table: &EnumTable) {
    optional_enum(to, name, Some(number), table);
}

pub(crate) fn optional_enum(to: &mut dyn FieldSink, name: &str, number: Option<i32>, table: &EnumTable) {
    if let Some(text) = number.and_then(|number| table.name(number)) {
        to.field(name, Value::Text(text));
    }
}

pub(crate) fn enum_or(to: &mut dyn FieldSink, name: &str, number: Option<i32>, table: &EnumTable, default: &str) {
    to.field(
        name,
        Value::Text(number.and_then(|number| table.name(number)).unwrap_or(default)),
    );
}

pub(crate) fn list<T: AsValue>(to: &mut dyn FieldSink, name: &str, items: &Vec<T>) {
    if !items.is_empty() {
        to.field(name, Value::List(items));
    }
}

pub(crate) fn enums(to: &mut dyn FieldSink, name: &str, numbers: &[i32], table: &'static EnumTable) {
    if numbers.iter().any(|number| table.name(*number).is_some()) {
        to.field(name, Value::List(&EnumItems(numbers, table)));
    }
}

pub(crate) fn map<T: AsValue>(to: &mut dyn FieldSink, name: &str, members: &BTreeMap<String, T>) {
    if !members.is_empty() {
        to.field(name, Value::Map(members));
    }
}
