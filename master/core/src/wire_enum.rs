//! Stores wire enums as their numbers. A number this version does not know is an error: it would mean another thing
//! on another replica.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) fn serialize<S: Serializer, T: Copy + Into<i32>>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let number: i32 = (*value).into();
    number.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<i32>>(deserializer: D) -> Result<T, D::Error> {
    let number = i32::deserialize(deserializer)?;
    T::try_from(number).map_err(|_| de::Error::custom(format_args!("unknown enum value {number}")))
}

/// The same for an optional value.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer, T: Copy + Into<i32>>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Into::<i32>::into).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<i32>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<i32>::deserialize(deserializer)?
            .map(|number| {
                T::try_from(number).map_err(|_| de::Error::custom(format_args!("unknown enum value {number}")))
            })
            .transpose()
    }
}
