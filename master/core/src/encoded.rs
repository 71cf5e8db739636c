//! Protobuf messages kept as their bytes: compact to store, exact to relay, canonical to hash.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A message of type `M` as bytes. Two are equal when their bytes are.
///
/// The bytes may come from the log or a snapshot, so decoding can fail.
pub struct Encoded<M> {
    bytes: Arc<[u8]>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Encoded<M> {
    /// Encodes `message`; equal messages give equal bytes (maps are ordered).
    pub fn new(message: &M) -> Self {
        Self::from_bytes(message.encode_to_vec())
    }

    /// The message. Errors: the bytes are not a message of this type.
    pub fn decode(&self) -> Result<M, prost::DecodeError> {
        M::decode(&*self.bytes)
    }
}

impl<M> Encoded<M> {
    /// Takes bytes that claim to be an encoded `M`.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            bytes: bytes.into(),
            message: PhantomData,
        }
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<M> Clone for Encoded<M> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            message: PhantomData,
        }
    }
}

impl<M> PartialEq for Encoded<M> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<M> Eq for Encoded<M> {}

impl<M> Hash for Encoded<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<M> fmt::Debug for Encoded<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Encoded({} bytes)", self.bytes.len())
    }
}

impl<M> Serialize for Encoded<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de, M> Deserialize<'de> for Encoded<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Arc<[u8]>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the bytes of a message")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Arc::from(bytes))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
                Ok(Arc::from(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes).map(Self::from_bytes)
    }
}

/// A message together with its bytes, for the few things that are read all the time (framework and agent infos).
///
/// Invariant: `message` is what `encoded` decodes to. Equality and hashing look at the bytes.
pub struct Decoded<M> {
    encoded: Encoded<M>,
    message: Arc<M>,
}

impl<M: Message + Default> Decoded<M> {
    /// Keeps a message and its encoding.
    pub fn new(message: M) -> Self {
        Self {
            encoded: Encoded::new(&message),
            message: Arc::new(message),
        }
    }

    /// Decodes. Errors: the bytes are not a message of this type.
    pub fn from_encoded(encoded: Encoded<M>) -> Result<Self, prost::DecodeError> {
        let message = Arc::new(encoded.decode()?);
        Ok(Self { encoded, message })
    }
}

impl<M> Decoded<M> {
    /// The bytes.
    pub fn encoded(&self) -> &Encoded<M> {
        &self.encoded
    }

    /// The shared message.
    pub fn message(&self) -> &Arc<M> {
        &self.message
    }
}

impl<M> Deref for Decoded<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.message
    }
}

impl<M> Clone for Decoded<M> {
    fn clone(&self) -> Self {
        Self {
            encoded: self.encoded.clone(),
            message: self.message.clone(),
        }
    }
}

impl<M> PartialEq for Decoded<M> {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl<M> Eq for Decoded<M> {}

impl<M: fmt::Debug> fmt::Debug for Decoded<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(formatter)
    }
}

impl<M> Serialize for Decoded<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl<'de, M: Message + Default> Deserialize<'de> for Decoded<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_encoded(Encoded::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_being_stored() {
        let status = proto::v1::TaskId { value: "t".to_owned() };
        let encoded = Encoded::new(&status);
        let bytes = postcard::to_stdvec(&encoded).unwrap();
        let back: Encoded<proto::v1::TaskId> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back.decode().unwrap(), status);
        assert_eq!(back, encoded);
    }

    #[test]
    fn bytes_of_another_kind_are_an_error() {
        let encoded: Encoded<proto::v1::TaskId> = Encoded::from_bytes(vec![0xff_u8; 3]);
        assert!(encoded.decode().is_err());
        let bytes = postcard::to_stdvec(&encoded).unwrap();
        assert!(postcard::from_bytes::<Decoded<proto::v1::TaskId>>(&bytes).is_err());
    }
}
