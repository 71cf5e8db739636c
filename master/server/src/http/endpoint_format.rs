//! Resources as the read endpoints write them: with the reservations of today's format and the `role` of the older one,
//! so that tools of either kind find what they look for.

use master_core::resources::Resources;
use proto::v1::{self, resource::reservation_info};

/// `role` and `reservation` are added where the older format can say the same.
#[allow(deprecated)]
pub(super) fn endpoint_format(resources: &Resources) -> Vec<v1::Resource> {
    let mut all = resources.to_proto();
    for resource in &mut all {
        match resource.reservations.as_slice() {
            [] => resource.role = Some("*".to_owned()),
            [only] => {
                resource.role = only.role.clone();
                if only.r#type() == reservation_info::Type::Dynamic {
                    resource.reservation = Some(v1::resource::ReservationInfo {
                        role: None,
                        r#type: None,
                        ..only.clone()
                    });
                }
            }
            // A refined reservation has no older form.
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proto::ext::resource::scalar;

    use super::*;

    #[test]
    #[allow(deprecated)]
    fn both_formats_say_the_same() {
        let reservation = v1::resource::ReservationInfo {
            role: Some("web".to_owned()),
            principal: Some("ops".to_owned()),
            r#type: Some(reservation_info::Type::Dynamic as i32),
            labels: None,
        };
        let reserved = v1::Resource {
            reservations: vec![reservation],
            ..scalar("mem", 8.0)
        };
        let written = endpoint_format(&Resources::from_proto(&[scalar("cpus", 1.0), reserved]).unwrap());
        assert_eq!(written[0].role(), "*");
        assert_eq!(written[1].role(), "web");
        assert_eq!(written[1].reservations.len(), 1);
        let older = written[1].reservation.as_ref().unwrap();
        assert_eq!(
            (older.principal(), older.role.as_deref(), older.r#type),
            ("ops", None, None)
        );
    }
}
