//! What an operation makes of resources: reserving, unreserving, creating and destroying volumes.
//!
//! Pure arithmetic on lists; who may do it is decided in `validate`. Masters and agents use the same rules, so that both
//! come to the same list.

use super::Resources;
use super::kind::{Detail, Kind};
use super::validity::ResourceError;
use super::value::Value;
use proto::v1;
use proto::v1::offer::{Operation, operation};
use std::sync::Arc;

/// Resources that become others of the same quantity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// What must be there, and is gone afterwards.
    pub consumed: Resources,
    /// What is there instead.
    pub converted: Resources,
}

impl Conversion {
    /// What an operation converts, in order; nothing for launches. Allocation roles stay as they are.
    ///
    /// # Errors
    /// A resource is invalid, or the operation is of a kind that only resource providers carry out.
    pub fn of(operation: &Operation) -> Result<Vec<Conversion>, ResourceError> {
        use operation::Type;
        let each = |list: &[v1::Resource], change: fn(&Resources) -> Conversion| {
            list.iter()
                .map(|one| Resources::from_proto(std::slice::from_ref(one)).map(|one| change(&one)))
                .filter(|conversion| !matches!(conversion, Ok(conversion) if conversion.consumed.is_empty()))
                .collect()
        };
        match operation.r#type() {
            Type::Launch | Type::LaunchGroup => Ok(Vec::new()),
            Type::Reserve => {
                let reserve = operation.reserve.clone().unwrap_or_default();
                if reserve.source.is_empty() {
                    return each(&reserve.resources, reserving);
                }
                Ok(vec![Conversion {
                    consumed: Resources::from_proto(&reserve.source)?,
                    converted: Resources::from_proto(&reserve.resources)?,
                }])
            }
            Type::Unreserve => {
                let unreserve = operation.unreserve.clone().unwrap_or_default();
                each(&unreserve.resources, |reserved| reserving(reserved).reversed())
            }
            Type::Create => each(&operation.create.clone().unwrap_or_default().volumes, creating),
            Type::Destroy => {
                let destroy = operation.destroy.clone().unwrap_or_default();
                each(&destroy.volumes, |volume| creating(volume).reversed())
            }
            other => Err(ResourceError(format!(
                "{} operations are not supported by this master",
                other.as_str_name()
            ))),
        }
    }

    /// What undoes it.
    #[must_use]
    pub fn reversed(self) -> Conversion {
        Conversion {
            consumed: self.converted,
            converted: self.consumed,
        }
    }

    /// The same for resources without allocation roles.
    #[must_use]
    pub fn unallocated(&self) -> Conversion {
        Conversion {
            consumed: self.consumed.unallocated(),
            converted: self.converted.unallocated(),
        }
    }
}

impl Resources {
    /// Applies conversions one after another, all or none.
    ///
    /// # Errors
    /// `<these> does not contain <what is consumed>`, the text of Mesos; nothing was changed.
    pub fn convert(&mut self, conversions: &[Conversion]) -> Result<(), ResourceError> {
        let mut converted = self.clone();
        for conversion in conversions {
            if !converted.subtract(&conversion.consumed) {
                return Err(ResourceError(format!(
                    "{converted} does not contain {}",
                    conversion.consumed
                )));
            }
            converted.add(&conversion.converted);
        }
        *self = converted;
        Ok(())
    }

    /// The part that an agent has to remember beyond its flags: dynamic reservations and persistent volumes of its own.
    pub fn checkpointed(&self) -> Resources {
        self.filter(|entry| {
            let kind = entry.kind();
            kind.provider().is_none() && (kind.is_dynamically_reserved() || kind.is_persistent_volume())
        })
    }

    /// The same quantities of nothing but names: no reservations, volumes, roles.
    pub fn quantities(&self) -> Resources {
        let mut plain = Resources::new();
        for entry in &self.entries {
            let mut entry = entry.clone();
            entry.kind.detail = None;
            entry.kind.allocation = None;
            if let Value::Shared(shared) = &entry.value {
                entry.value = Value::Scalar(shared.0);
            }
            plain.add_entry(&entry);
        }
        plain
    }
}

/// Pushes the topmost reservation.
fn reserving(reserved: &Resources) -> Conversion {
    let consumed = reserved.map_kinds(|kind| {
        change_detail(kind, |detail| {
            detail.reservations.pop();
        });
    });
    Conversion {
        consumed,
        converted: reserved.clone(),
    }
}

/// Makes a volume of a disk.
fn creating(volume: &Resources) -> Conversion {
    let mut consumed = Resources::new();
    for entry in &volume.entries {
        let mut entry = entry.clone();
        let disk = entry.kind.disk().filter(|disk| disk.source.is_some()).map(|mut disk| {
            disk.persistence = None;
            disk.volume = None;
            disk
        });
        change_detail(&mut entry.kind, |detail| {
            detail.shared = false;
            detail.set_disk(disk.as_ref());
        });
        if let Value::Shared(shared) = &entry.value {
            entry.value = Value::Scalar(shared.0);
        }
        consumed.add_entry(&entry);
    }
    Conversion {
        consumed,
        converted: volume.clone(),
    }
}

fn change_detail(kind: &mut Kind, change: impl FnOnce(&mut Detail)) {
    let mut detail = kind.detail.as_deref().cloned().unwrap_or_default();
    change(&mut detail);
    kind.detail = (!detail.is_plain()).then(|| Arc::new(detail));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::resource::{DiskInfo, ReservationInfo, SharedInfo, disk_info, reservation_info};

    fn disk(megabytes: f64, roles: &[&str]) -> v1::Resource {
        let reservations = roles.iter().map(|role| ReservationInfo {
            role: Some((*role).to_owned()),
            r#type: Some(reservation_info::Type::Dynamic.into()),
            ..ReservationInfo::default()
        });
        v1::Resource {
            reservations: reservations.collect(),
            role: None,
            ..proto::ext::resource::scalar("disk", megabytes)
        }
    }

    fn volume(megabytes: f64, id: &str, shared: bool) -> v1::Resource {
        v1::Resource {
            disk: Some(DiskInfo {
                persistence: Some(disk_info::Persistence {
                    id: id.to_owned(),
                    principal: None,
                }),
                volume: Some(v1::Volume {
                    mode: v1::volume::Mode::Rw.into(),
                    container_path: "data".to_owned(),
                    ..v1::Volume::default()
                }),
                ..DiskInfo::default()
            }),
            shared: shared.then(SharedInfo::default),
            ..disk(megabytes, &["web"])
        }
    }

    fn operations(volume: &v1::Resource, reserved: &v1::Resource) -> [Operation; 4] {
        let of = |kind: operation::Type| Operation {
            r#type: Some(kind.into()),
            ..Operation::default()
        };
        let (resources, volumes) = (vec![reserved.clone()], vec![volume.clone()]);
        [
            Operation {
                reserve: Some(operation::Reserve {
                    resources: resources.clone(),
                    source: Vec::new(),
                }),
                ..of(operation::Type::Reserve)
            },
            Operation {
                create: Some(operation::Create {
                    volumes: volumes.clone(),
                }),
                ..of(operation::Type::Create)
            },
            Operation {
                destroy: Some(operation::Destroy { volumes }),
                ..of(operation::Type::Destroy)
            },
            Operation {
                unreserve: Some(operation::Unreserve { resources }),
                ..of(operation::Type::Unreserve)
            },
        ]
    }

    #[test]
    fn reserving_and_creating_keep_the_quantity_and_are_undone_by_their_counterparts() {
        for shared in [false, true] {
            let plain = Resources::from_proto(&[disk(1000.0, &[])]).unwrap();
            let mut total = plain.clone();
            for operation in operations(&volume(100.0, "v", shared), &disk(100.0, &["web"])) {
                total.convert(&Conversion::of(&operation).unwrap()).unwrap();
                assert_eq!(total.quantities(), plain);
            }
            assert_eq!(total, plain);
        }
    }

    #[test]
    fn what_an_agent_remembers_gives_its_total_again() {
        let info = [disk(1000.0, &[])];
        let mut total = Resources::from_proto(&info).unwrap();
        for operation in &operations(&volume(100.0, "v", false), &disk(150.0, &["web"]))[..2] {
            total.convert(&Conversion::of(operation).unwrap()).unwrap();
        }
        let checkpointed = total.checkpointed();
        assert_eq!(checkpointed.scalar("disk"), 150_000);
        assert_eq!(Resources::agent_total(&info, &checkpointed.to_proto()).unwrap(), total);
    }

    #[test]
    fn a_refinement_takes_from_the_reservation_below_it() {
        let mut total = Resources::from_proto(&[disk(10.0, &["web"])]).unwrap();
        let [reserve, .., unreserve] = operations(&volume(1.0, "v", false), &disk(4.0, &["web", "web/a"]));
        total.convert(&Conversion::of(&reserve).unwrap()).unwrap();
        assert_eq!(
            total,
            Resources::from_proto(&[disk(6.0, &["web"]), disk(4.0, &["web", "web/a"])]).unwrap()
        );
        total.convert(&Conversion::of(&unreserve).unwrap()).unwrap();
        assert_eq!(total, Resources::from_proto(&[disk(10.0, &["web"])]).unwrap());
    }

    #[test]
    fn what_is_not_there_is_refused_with_both_lists_and_changes_nothing() {
        let mut total = Resources::from_proto(&[disk(10.0, &[])]).unwrap();
        let former = total.clone();
        let [reserve, ..] = operations(&volume(1.0, "v", false), &disk(11.0, &["web"]));
        let refusal = total.convert(&Conversion::of(&reserve).unwrap()).unwrap_err();
        assert_eq!(refusal.0, "disk:10 does not contain disk:11");
        assert_eq!(total, former);
    }
}
