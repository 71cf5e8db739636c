//! The names of things, one type each, so that the compiler finds a mixed-up id. Text only at the edge.
//!
//! Ids are shared (`Arc<str>`): a million tasks of one framework keep that framework's id once.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $wire:ident) => {
        $(#[$doc])*
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(deserialize_with = "crate::shared_text::deserialize")] Arc<str>);

        impl $name {
            /// The id as text, exactly as on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The wire message that carries this id.
            pub fn to_proto(&self) -> proto::v1::$wire {
                proto::v1::$wire { value: self.0.to_string() }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<&proto::v1::$wire> for $name {
            fn from(wire: &proto::v1::$wire) -> Self {
                Self(Arc::from(wire.value.as_str()))
            }
        }

        impl From<&$name> for proto::v1::$wire {
            fn from(id: &$name) -> Self {
                id.to_proto()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Shared ids are usually the very same allocation: that is looked at before the bytes.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(
    /// A framework: `<cluster id>-%04d` when minted here, any valid text when the framework brought its own.
    FrameworkId,
    FrameworkId
);
id!(
    /// An agent: `<cluster id>-S<n>` when minted here.
    AgentId,
    AgentId
);
id!(
    /// A task, chosen by its framework; unique among that framework's live and unreachable tasks.
    TaskId,
    TaskId
);
id!(
    /// An executor, chosen by its framework; unique per agent and framework.
    ExecutorId,
    ExecutorId
);
id!(
    /// An offer: `<master id>-O<n>`. Soft state of one leadership, never in the registry.
    OfferId,
    OfferId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_their_text() {
        let (a, b) = (TaskId::from("a"), TaskId::from("b"));
        assert!(a < b);
        assert_eq!(a, TaskId::from("a"));
        assert_eq!(a.cmp(&a.clone()), Ordering::Equal);
    }

    #[test]
    fn an_id_survives_the_wire() {
        let id = AgentId::from("c-S1");
        assert_eq!(AgentId::from(&id.to_proto()), id);
        assert_eq!(id.to_string(), "c-S1");
    }
}
