//! Ids are messages around one text: made from text, read as text, printed as text.

use crate::v1;

macro_rules! text_ids {
    ($($id:ident),* $(,)?) => {
        $(
            impl From<&str> for v1::$id {
                fn from(value: &str) -> Self {
                    Self { value: value.to_owned() }
                }
            }

            impl From<String> for v1::$id {
                fn from(value: String) -> Self {
                    Self { value }
                }
            }

            impl AsRef<str> for v1::$id {
                fn as_ref(&self) -> &str {
                    &self.value
                }
            }

            impl std::fmt::Display for v1::$id {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(&self.value)
                }
            }
        )*
    };
}

text_ids!(
    FrameworkId,
    OfferId,
    AgentId,
    TaskId,
    ExecutorId,
    OperationId,
    ResourceProviderId
);

impl From<&str> for v1::ContainerId {
    fn from(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            parent: None,
        }
    }
}

impl From<[u8; 16]> for v1::Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self {
            value: bytes::Bytes::copy_from_slice(&bytes),
        }
    }
}
