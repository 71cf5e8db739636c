//! Snapshots: what is written can be read, what is damaged is an error.

use proptest::prelude::*;
use proto::v1::TaskState::{TaskFinished, TaskRunning};
use proto::v1::framework_info::capability::Type::PartitionAware;

use crate::command::{MarkAgentGone, MarkAgentUnreachable};
use crate::fixture::{Fixture, launch, task_with_executor};
use crate::registry::Registry;
use crate::timestamp::Timestamp;

/// A registry with every kind of record.
fn full() -> Registry {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let removed = fixture.framework(&[]);
    let agents: Vec<_> = (0..3).map(|number| fixture.agent(number)).collect();
    for (number, agent) in agents.iter().enumerate() {
        for letter in ["a", "b"] {
            let id = format!("{letter}{number}");
            let info = task_with_executor(&framework, agent, &id, "e");
            fixture.apply(launch(&framework, agent, vec![info]));
        }
        fixture.status(&framework, agent, &format!("a{number}"), TaskRunning, 1);
    }
    fixture.status(&framework, &agents[0], "b0", TaskFinished, 2);
    fixture.acknowledge(&framework, &agents[0], "b0", 2);
    fixture.apply(MarkAgentUnreachable {
        agent_id: agents[1].clone(),
        since: Timestamp(1),
    });
    fixture.apply(MarkAgentGone {
        agent_id: agents[2].clone(),
    });
    fixture.apply(crate::command::RemoveFramework {
        framework_id: removed,
        reason: crate::command::FrameworkRemoval::FailoverTimeout,
    });
    fixture.registry
}

fn bytes_of(registry: &Registry) -> Vec<u8> {
    let mut bytes = Vec::new();
    registry.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_snapshot_holds_everything() {
    let registry = full();
    let bytes = bytes_of(&registry);
    let read = Registry::read_from(&mut &bytes[..]).unwrap();
    read.check_invariants().unwrap();
    assert_eq!(read.state_hash(), registry.state_hash());
    assert_eq!(bytes_of(&read), bytes);
    for agent in registry.agents() {
        assert_eq!(read.agent(&agent.id), Some(agent));
    }
    assert_eq!(read.tasks().collect::<Vec<_>>(), registry.tasks().collect::<Vec<_>>());
}

#[test]
fn tasks_read_from_a_snapshot_share_the_ids_of_their_framework() {
    let read = Registry::read_from(&mut &bytes_of(&full())[..]).unwrap();
    let framework = read.frameworks().next().unwrap();
    for task in read.tasks() {
        assert!(std::ptr::eq(task.framework_id.as_str(), framework.id.as_str()));
    }
}

#[test]
fn a_cut_snapshot_is_an_error_wherever_it_is_cut() {
    let bytes = bytes_of(&full());
    for length in 0..bytes.len() {
        assert!(
            Registry::read_from(&mut &bytes[..length]).is_err(),
            "cut after {length} of {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn an_empty_registry_survives() {
    let bytes = bytes_of(&Registry::default());
    assert_eq!(
        Registry::read_from(&mut &bytes[..]).unwrap().state_hash(),
        Registry::default().state_hash()
    );
}

proptest! {
    #[test]
    fn a_damaged_snapshot_is_an_error(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = bytes_of(&full());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Registry::read_from(&mut &bytes[..]).is_err());
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes_of(&Registry::default())[..8].to_vec();
        bytes.extend(tail);
        // Whatever comes of it, nothing panics.
        drop(Registry::read_from(&mut &bytes[..]));
    }
}
