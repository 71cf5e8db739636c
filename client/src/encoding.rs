//! The two encodings of the v1 APIs.

use bytes::Bytes;
use prost::Message;
use proto::json::{self, JsonMessage};

/// How messages of the v1 APIs travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`: smaller and faster, the default.
    #[default]
    Protobuf,
    /// `application/json` in the mapping of Mesos.
    Json,
}

impl Encoding {
    /// The media type, exactly as masters compare it.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }

    /// Encodes a message.
    pub(crate) fn encode<M: Message + JsonMessage>(self, message: &M) -> Bytes {
        match self {
            Encoding::Protobuf => message.encode_to_vec().into(),
            Encoding::Json => json::to_vec(message).into(),
        }
    }

    /// Decodes a message; the error says what is wrong with it.
    pub(crate) fn decode<M: Message + JsonMessage + Default>(self, bytes: &[u8]) -> Result<M, String> {
        match self {
            Encoding::Protobuf => M::decode(bytes).map_err(|error| error.to_string()),
            Encoding::Json => json::from_slice(bytes, "message").map_err(|error| error.to_string()),
        }
    }
}
