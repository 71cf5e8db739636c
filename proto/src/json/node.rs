//! A parsed JSON text. Borrows from the text where no escape had to be undone.

use std::borrow::Cow;

/// One JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string; bytes that are no UTF-8 have become replacement characters.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Node<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// A number, as integer if it is written as one that fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Written without fraction and exponent.
    Signed(i64),
    /// Anything else; finite when it comes from a parsed text.
    Double(f64),
}

/// The members of an object, ordered by key, each key once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Node<'a>)>,
}

impl Node<'_> {
    /// The word for this kind of value in error texts.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

impl<'a> Object<'a> {
    /// Orders the members; of those with equal keys the last stays.
    pub(crate) fn new(mut members: Vec<(Cow<'a, str>, Node<'a>)>) -> Self {
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        members.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self { members }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        let at = self.members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).ok()?;
        self.members.get(at).map(|(_, node)| node)
    }

    /// All members in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.members.iter().map(|(key, node)| (key.as_ref(), node))
    }
}
