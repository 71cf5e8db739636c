//! Subscription, change and removal.

use proto::v1::framework_info::capability::Type::PartitionAware;

use crate::command::{AnnounceLeader, FrameworkRemoval, RemoveFramework, SubscribeFramework, UpdateFramework};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::fixture::{Fixture, framework_info};
use crate::ids::FrameworkId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::COMPLETED_FRAMEWORKS_MAX;

fn subscribe(id: &FrameworkId, name: &str) -> SubscribeFramework {
    let mut info = framework_info(&[PartitionAware]);
    info.id = Some(id.to_proto());
    info.name = name.to_owned();
    SubscribeFramework {
        info: Encoded::new(&info),
    }
}

fn remove(id: &FrameworkId) -> RemoveFramework {
    RemoveFramework {
        framework_id: id.clone(),
        reason: FrameworkRemoval::Teardown,
    }
}

#[test]
fn ids_are_minted_in_order_from_the_cluster_id() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.framework(&[]).as_str(), "c-0000");
    assert_eq!(fixture.framework(&[]).as_str(), "c-0001");
    assert_eq!(fixture.agent(0).as_str(), "c-S0");
    assert_eq!(fixture.agent(1).as_str(), "c-S1");
}

#[test]
fn an_id_a_framework_brought_along_is_not_minted_again() {
    let mut fixture = Fixture::new();
    let brought = FrameworkId::from("c-0000");
    let applied = fixture.apply(subscribe(&brought, "foreign"));
    assert!(matches!(
        applied.outcome,
        Outcome::FrameworkSubscribed { is_new: true, .. }
    ));
    assert_eq!(fixture.framework(&[]).as_str(), "c-0001");
}

#[test]
fn resubscribing_keeps_the_id_and_tells_the_agents() {
    let mut fixture = Fixture::new();
    let id = fixture.framework(&[PartitionAware]);
    let applied = fixture.apply(subscribe(&id, "renamed"));
    let expected = Outcome::FrameworkSubscribed {
        framework_id: id.clone(),
        is_new: false,
        info_changed: true,
    };
    assert_eq!(applied.outcome, expected);
    assert_eq!(
        applied.effects,
        [Effect::BroadcastFrameworkUpdate {
            framework_id: id.clone()
        }]
    );
    let again = fixture.apply(subscribe(&id, "renamed"));
    assert!(matches!(
        again.outcome,
        Outcome::FrameworkSubscribed {
            info_changed: false,
            ..
        }
    ));
    assert_eq!(fixture.registry.framework(&id).unwrap().info.name, "renamed");
}

#[test]
fn user_and_checkpoint_keep_their_first_value() {
    let mut fixture = Fixture::new();
    let id = fixture.framework(&[]);
    let mut info = framework_info(&[]);
    info.id = Some(id.to_proto());
    info.user = "nobody".to_owned();
    info.checkpoint = Some(false);
    fixture.apply(SubscribeFramework {
        info: Encoded::new(&info),
    });
    let framework = fixture.registry.framework(&id).unwrap();
    assert_eq!(framework.info.user, "user");
    assert!(framework.checkpoints());
}

#[test]
fn a_changed_principal_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::new();
    let id = fixture.framework(&[]);
    let before = fixture.registry.framework(&id).unwrap().clone();
    let mut info = framework_info(&[]);
    info.id = Some(id.to_proto());
    info.principal = Some("other".to_owned());
    let applied = fixture.apply(SubscribeFramework {
        info: Encoded::new(&info),
    });
    assert_eq!(applied.outcome, Outcome::Rejected(Rejection::PrincipalChanged));
    assert_eq!(fixture.registry.framework(&id).unwrap(), &before);
    let applied = fixture.apply(UpdateFramework {
        info: Encoded::new(&info),
    });
    assert_eq!(applied.outcome, Outcome::Rejected(Rejection::PrincipalChanged));
}

#[test]
fn an_unchanged_update_tells_nobody() {
    let mut fixture = Fixture::new();
    let id = fixture.framework(&[]);
    let info = fixture.registry.framework(&id).unwrap().info.encoded().clone();
    let applied = fixture.apply(UpdateFramework { info });
    assert_eq!(
        applied.outcome,
        Outcome::FrameworkUpdated {
            framework_id: id,
            info_changed: false
        }
    );
    assert!(applied.effects.is_empty());
    assert!(applied.events.is_empty());
}

#[test]
fn a_removed_framework_is_refused_and_its_tasks_end_silently() {
    let mut fixture = Fixture::new();
    let id = fixture.framework(&[]);
    let agent = fixture.agent(0);
    fixture.launch(&id, &agent, "t");
    let applied = fixture.apply(remove(&id));
    let Outcome::FrameworkRemoved { tasks, .. } = &applied.outcome else {
        panic!("{:?}", applied.outcome)
    };
    assert_eq!(tasks.len(), 1);
    assert!(super::forwarded(&applied).is_empty());
    assert!(applied.effects.contains(&Effect::BroadcastFrameworkShutdown {
        framework_id: id.clone()
    }));
    assert!(fixture.registry.agent(&agent).unwrap().used.is_empty());
    assert_eq!(
        fixture.apply(subscribe(&id, "x")).outcome,
        Outcome::Rejected(Rejection::FrameworkRemoved)
    );
    assert!(matches!(
        fixture.apply(remove(&id)).outcome,
        Outcome::Rejected(Rejection::UnknownFramework(_))
    ));
}

#[test]
fn only_so_many_removed_frameworks_are_remembered() {
    let mut fixture = Fixture::new();
    let first = fixture.framework(&[]);
    let agent = fixture.agent(0);
    fixture.launch(&first, &agent, "t");
    fixture.apply(remove(&first));
    assert!(fixture.registry.history(&first).is_some());
    for _ in 0..COMPLETED_FRAMEWORKS_MAX {
        let id = fixture.framework(&[]);
        fixture.apply(remove(&id));
    }
    assert!(!fixture.registry.is_completed_framework(&first));
    assert!(fixture.registry.history(&first).is_none());
    assert_eq!(
        fixture.registry.completed_frameworks().count(),
        COMPLETED_FRAMEWORKS_MAX
    );
}

#[test]
fn a_stale_leader_is_refused() {
    let mut fixture = Fixture::new();
    let master = fixture.registry.cluster().leader.clone().unwrap().master;
    let announce = |term| AnnounceLeader {
        node_id: 2,
        term,
        master: master.clone(),
        cluster_id: "other".to_owned(),
    };
    let applied = fixture.apply(announce(5));
    assert_eq!(applied.outcome, Outcome::LeaderAnnounced { cluster_id: "c".into() });
    assert_eq!(
        fixture.apply(announce(4)).outcome,
        Outcome::Rejected(Rejection::StaleTerm { term: 4, announced: 5 })
    );
    assert_eq!(fixture.registry.cluster().leader.as_ref().unwrap().term, 5);
}
