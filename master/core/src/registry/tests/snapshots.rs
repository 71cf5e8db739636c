//! Snapshots: what is written can be read, what is damaged is an error.

use proptest::prelude::*;
use proto::v1::TaskState::{TaskFinished, TaskRunning};
use proto::v1::framework_info::capability::Type::PartitionAware;

use crate::command::{MarkAgentGone, MarkAgentUnreachable, UpdateQuota, UpdateWeights};
use crate::fixture::{Fixture, launch, task_with_executor};
use crate::registry::{Quota, Registry, Weight};
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
    fixture.apply(UpdateQuota {
        quotas: vec![Quota::new(
            "*",
            [("cpus".into(), 500)].into(),
            [("mem".into(), 0)].into(),
        )],
        force: true,
    });
    fixture.apply(UpdateWeights {
        weights: vec![Weight {
            role: "web/a".into(),
            weight: 0.1,
        }],
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
    assert!(read.quotas().eq(registry.quotas()) && read.quota("*").is_some());
    assert!(read.weights().eq(registry.weights()) && read.weight("web/a") == Some(0.1));
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

/// The same in frames of one or a few records, so that every decoder has many.
fn small_frames_of(registry: &Registry) -> Vec<u8> {
    let mut bytes = Vec::new();
    registry.write_in_frames_of(64, &mut bytes).unwrap();
    bytes
}

#[test]
fn records_come_back_in_their_order_whatever_frames_they_are_in() {
    let registry = full();
    for _ in 0..20 {
        let read = Registry::read_from(&mut &small_frames_of(&registry)[..]).unwrap();
        read.check_invariants().unwrap();
        assert_eq!(bytes_of(&read), bytes_of(&registry));
    }
}

#[test]
fn a_read_registry_goes_on_as_the_one_that_was_written() {
    let mut written = Fixture {
        registry: full(),
        ..Fixture::new()
    };
    let mut read = Fixture {
        registry: Registry::read_from(&mut &bytes_of(&written.registry)[..]).unwrap(),
        ..Fixture::new()
    };
    for fixture in [&mut written, &mut read] {
        let framework = fixture.framework(&[]);
        let agent = fixture.agent(7);
        let info = task_with_executor(&framework, &agent, "late", "e");
        fixture.apply(launch(&framework, &agent, vec![info]));
        fixture.registry.check_invariants().unwrap();
    }
    assert_eq!(bytes_of(&read.registry), bytes_of(&written.registry));
}

/// Frames (with their heads), and the end frame.
fn frames_of(bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut frames, mut rest) = (Vec::new(), &bytes[8..]);
    loop {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        if length == 0 {
            return (frames, rest);
        }
        let (frame, after) = rest.split_at(4 + 8 + length);
        frames.push(frame);
        rest = after;
    }
}

#[test]
fn a_record_that_is_there_twice_or_missing_is_an_error() {
    let bytes = small_frames_of(&full());
    let (frames, end) = frames_of(&bytes);
    assert!(frames.len() > 8, "only {} frames", frames.len());
    let with = |frames: &[&[u8]], hash: u128| {
        let mut changed = [&bytes[..8], &frames.concat(), end].concat();
        let at = changed.len() - 16;
        changed[at..].copy_from_slice(&hash.to_le_bytes());
        Registry::read_from(&mut &changed[..])
    };
    let hash = u128::from_le_bytes(end[end.len() - 16..].try_into().unwrap());
    assert!(with(&frames, hash).is_ok());
    assert!(with(&frames, hash ^ 1).is_err());
    for number in 0..frames.len() {
        let mut twice = frames.clone();
        twice.insert(number, frames[number]);
        let error = with(&twice, hash).unwrap_err().to_string();
        // The cluster's record (the first) may be repeated, but not be counted twice.
        let named = error.contains("twice") || error.contains("have number");
        assert!(
            named || number == 0 && error.contains("records"),
            "frame {number}: {error}"
        );
        let mut missing = frames.clone();
        missing.remove(number);
        assert!(with(&missing, hash).is_err(), "frame {number} missing");
    }
}

#[test]
fn the_damage_that_comes_first_is_reported() {
    let bytes = small_frames_of(&full());
    let (frames, _) = frames_of(&bytes);
    let offset = |number: usize| 8 + frames[..number].iter().map(|frame| frame.len()).sum::<usize>();
    let expected = {
        let mut bytes = bytes.clone();
        bytes[offset(2) + 12] ^= 1;
        Registry::read_from(&mut &bytes[..]).unwrap_err().to_string()
    };
    for later in 3..frames.len() {
        let mut damaged = bytes.clone();
        damaged[offset(2) + 12] ^= 1;
        damaged[offset(later) + 12] ^= 1;
        let error = Registry::read_from(&mut &damaged[..]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = Registry::read_from(&mut &damaged[..offset(later) + 13]).unwrap_err();
        assert_eq!(error.to_string(), expected);
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
    fn a_damaged_snapshot_of_many_frames_is_an_error(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = small_frames_of(&full());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Registry::read_from(&mut &bytes[..]).is_err());
    }

    #[test]
    fn a_frame_whose_checksum_fits_whatever_it_holds_is_an_error_or_a_registry(
        frame in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let bytes = small_frames_of(&full());
        let (frames, end) = frames_of(&bytes);
        let frame = frame.index(frames.len());
        let mut changed: Vec<Vec<u8>> = frames.iter().map(|frame| frame.to_vec()).collect();
        let at = 12 + at.index(changed[frame].len() - 12);
        changed[frame][at] ^= flip;
        let checksum = xxhash_rust::xxh3::xxh3_64(&changed[frame][12..]);
        changed[frame][4..12].copy_from_slice(&checksum.to_le_bytes());
        let bytes = [&bytes[..8], &changed.concat(), end].concat();
        // The state hash tells the change of any value; what makes no difference to it is the same registry.
        if let Ok(read) = Registry::read_from(&mut &bytes[..]) {
            prop_assert_eq!(read.recomputed_state_hash(), read.state_hash());
            prop_assert_eq!(read.state_hash(), full().state_hash());
        }
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes_of(&Registry::default())[..8].to_vec();
        bytes.extend(tail);
        // Whatever comes of it, nothing panics.
        drop(Registry::read_from(&mut &bytes[..]));
    }
}
