//! Enums of proto2 are closed: a number that is not in the list leaves the field unset. prost keeps such numbers, and
//! its accessors (`call.r#type()`) turn both unset and unknown into the first value.

/// The value of an optional enum field as proto2 means it.
///
/// ```
/// use proto::ext::enums::known;
/// use proto::v1::scheduler::call::Type;
///
/// assert_eq!(known(Some(6)), Some(Type::Kill));
/// assert_eq!(known::<Type>(Some(99)), None);
/// assert_eq!(known::<Type>(None), None);
/// ```
pub fn known<E: TryFrom<i32>>(number: Option<i32>) -> Option<E> {
    number.and_then(|number| E::try_from(number).ok())
}
