//! Operations on reservations and volumes, with the texts an unmodified master answers.

use proto::v1::offer::Operation;
use proto::v1::resource::ReservationInfo;
use proto::v1::{Resource, volume};

use crate::command::{AdmitAgent, SubscribeFramework};
use crate::encoded::Encoded;
use crate::fixture::{Fixture, create, dynamic, framework_info, reserve, scalar, understanding, volume as disk_volume};
use crate::ids::{AgentId, FrameworkId};
use crate::outcome::Outcome;
use crate::registry::Registry;
use crate::resources::upgrade_resource;
use crate::validate::{operation, operation_format, operation_resources};

/// A framework `ops` of role `web`, and an agent that understands operations.
fn cluster() -> (Registry, FrameworkId, AgentId) {
    let mut fixture = Fixture::new();
    let mut info = framework_info(&[proto::v1::framework_info::capability::Type::MultiRole]);
    info.roles = vec!["web".to_owned()];
    info.principal = Some("ops".to_owned());
    let subscribed = fixture.apply(SubscribeFramework {
        info: Encoded::new(&info),
    });
    let Outcome::FrameworkSubscribed { framework_id, .. } = subscribed.outcome else {
        panic!("{:?}", subscribed.outcome);
    };
    let admitted = fixture.apply(AdmitAgent {
        facts: understanding(0),
        replaces: None,
    });
    let Outcome::AgentAdmitted { agent_id } = admitted.outcome else {
        panic!("{:?}", admitted.outcome);
    };
    (fixture.registry, framework_id, agent_id)
}

/// What becomes of an operation; `by_framework` with allocation roles filled in.
fn refusal(mut wanted: Operation, by_framework: bool) -> Option<String> {
    let (registry, framework_id, agent_id) = cluster();
    if let Err(problem) = operation_format(&mut wanted) {
        return Some(problem);
    }
    for resource in operation_resources(&mut wanted) {
        upgrade_resource(resource);
        if by_framework {
            resource.allocation_info = Some(proto::v1::resource::AllocationInfo {
                role: Some("web".to_owned()),
            });
        }
    }
    let framework = by_framework.then(|| registry.framework(&framework_id).unwrap().clone());
    let agent = registry.agent(&agent_id).unwrap();
    operation(agent, framework.as_deref(), &wanted).err()
}

fn by(principal: &str, mut resource: Resource) -> Resource {
    if let Some(top) = resource.reservations.last_mut() {
        top.principal = Some(principal.to_owned());
    }
    if let Some(persistence) = resource.disk.as_mut().and_then(|disk| disk.persistence.as_mut()) {
        persistence.principal = Some(principal.to_owned());
    }
    resource
}

fn changed(mut volume: Resource, change: impl FnOnce(&mut Resource)) -> Resource {
    change(&mut volume);
    volume
}

#[test]
fn reserving_is_refused_with_the_texts_of_mesos() {
    let no_provider = "Invalid resources: The resources have multiple resource providers: ";
    let invalid = "Resource 'disk(reservations: [(DYNAMIC,web)]):0' is invalid: Invalid scalar resource: value <= 0";
    for (resources, by_framework, text) in [
        (vec![by("ops", dynamic("disk", 1.0, "web"))], true, None),
        (
            vec![dynamic("disk", 1.0, "web"), dynamic("cpus", 1.0, "other")],
            false,
            None,
        ),
        (Vec::new(), true, Some(no_provider)),
        (vec![dynamic("disk", 0.0, "web")], false, Some(invalid)),
        (
            vec![scalar("disk", 1.0)],
            true,
            Some("Resource disk(allocated: web):1 is not dynamically reserved"),
        ),
        (
            vec![scalar("disk", 1.0)],
            false,
            Some("Resource disk:1 is not dynamically reserved"),
        ),
        (
            vec![by("zz", dynamic("disk", 1.0, "web"))],
            true,
            Some(
                "A reserve operation was attempted by authenticated principal 'ops', which does not match a reserved \
                 resource in the request with principal 'zz'",
            ),
        ),
        (
            vec![by("ops", dynamic("disk", 1.0, "zz"))],
            true,
            Some(
                "A reserve operation was attempted for a resource with role 'zz', but the resource was allocated to \
                 role 'web'",
            ),
        ),
    ] {
        assert_eq!(refusal(reserve(resources, false), by_framework).as_deref(), text);
    }
    let star = refusal(reserve(vec![dynamic("disk", 100.0, "*")], false), false).unwrap();
    assert!(
        star.ends_with("Invalid reservation: role \"*\" cannot be reserved"),
        "{star}"
    );
}

#[test]
fn making_and_destroying_volumes_is_refused_with_the_texts_of_mesos() {
    let read_only = changed(disk_volume(1.0, "v"), |it| {
        if let Some(volume) = it.disk.as_mut().and_then(|disk| disk.volume.as_mut()) {
            volume.mode = volume::Mode::Ro.into();
        }
    });
    let unreserved = changed(disk_volume(1.0, "v"), |it| it.reservations.clear());
    let stranger = by("zz", disk_volume(1.0, "v"));
    for (volume, text) in [
        (by("ops", disk_volume(1.0, "v")), None),
        (
            unreserved,
            Some("Invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources"),
        ),
        (
            dynamic("disk", 100.0, "web"),
            Some(
                "Not a persistent volume: Resource disk(allocated: web)(reservations: [(DYNAMIC,web)]):100 does not have \
                 DiskInfo",
            ),
        ),
        (
            read_only,
            Some("Not a persistent volume: Read-only persistent volume not supported"),
        ),
        (
            disk_volume(1.0, "a/b"),
            Some(
                "Invalid resources: Invalid DiskInfo: Invalid persistence ID for persistent volume: 'a/b' contains \
                 invalid characters",
            ),
        ),
        (
            stranger,
            Some(
                "Create volume operation attempted by authenticated principal 'ops', which does not match a volume in \
                 the operation with principal 'zz' set in 'disk.persistence'",
            ),
        ),
    ] {
        assert_eq!(refusal(create(vec![volume], false), true).as_deref(), text);
    }
    let unknown = refusal(create(vec![disk_volume(1.0, "v")], true), true);
    assert_eq!(unknown.as_deref(), Some("Persistent volumes not found"));
    let volume = refusal(reserve(vec![disk_volume(1.0, "v")], true), false).unwrap();
    assert!(
        volume.starts_with("A dynamically reserved persistent volume disk"),
        "{volume}"
    );
}

#[test]
fn the_older_format_of_a_reservation_is_understood() {
    #[allow(deprecated)]
    let old = Resource {
        role: Some("web".to_owned()),
        reservation: Some(ReservationInfo {
            principal: Some("ops".to_owned()),
            ..ReservationInfo::default()
        }),
        ..scalar("disk", 5.0)
    };
    assert_eq!(refusal(reserve(vec![old], false), true), None);
}
