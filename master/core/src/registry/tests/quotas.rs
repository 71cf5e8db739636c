//! Quotas and weights: what is admitted, what it is compared with, and that refused changes change nothing.

use std::sync::Arc;

use crate::command::{RemoveQuota, SetQuota, UpdateQuota, UpdateWeights};
use crate::fixture::{Fixture, launch, task_info};
use crate::outcome::{Outcome, Rejection};
use crate::registry::{Amounts, Quota, Weight};

fn amounts(units: &[(&str, i64)]) -> Amounts {
    units
        .iter()
        .map(|(name, units)| (Arc::from(*name), units * 1_000))
        .collect()
}

fn quota(role: &str, guarantees: &[(&str, i64)], limits: &[(&str, i64)]) -> Quota {
    Quota::new(role, amounts(guarantees), amounts(limits))
}

fn update(quotas: &[Quota], force: bool) -> UpdateQuota {
    UpdateQuota {
        quotas: quotas.to_vec(),
        force,
    }
}

fn updated(roles: &[&str]) -> Outcome {
    Outcome::QuotaUpdated {
        roles: roles.iter().map(|role| Arc::from(*role)).collect(),
    }
}

fn roles(fixture: &Fixture) -> Vec<&str> {
    fixture.registry.quotas().map(|quota| &*quota.role).collect()
}

/// Applies a command that must be refused and change nothing.
#[track_caller]
fn refusal(fixture: &mut Fixture, command: impl Into<crate::CommandKind>) -> Rejection {
    let quotas: Vec<_> = fixture.registry.quotas().cloned().collect();
    let weights: Vec<_> = fixture.registry.weights().cloned().collect();
    let applied = fixture.apply(command);
    assert!(fixture.registry.quotas().eq(&quotas));
    assert!(fixture.registry.weights().eq(&weights));
    match applied.outcome {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn quotas_are_set_together_replaced_and_removed() {
    let mut fixture = Fixture::new();
    let (web, db) = (quota("web", &[], &[("cpus", 3)]), quota("db", &[], &[("mem", 0)]));
    let before = fixture.registry.state_hash();
    let applied = fixture.apply(update(&[web.clone(), db.clone()], false));
    assert_eq!(applied.outcome, updated(&["web", "db"]));
    assert_eq!(roles(&fixture), ["db", "web"]);
    assert_ne!(fixture.registry.state_hash(), before);
    // The later one of the same role counts; an empty one removes.
    let larger = quota("web", &[], &[("cpus", 5)]);
    fixture.apply(update(&[web, larger.clone(), quota("db", &[], &[])], false));
    assert_eq!(roles(&fixture), ["web"]);
    assert_eq!(**fixture.registry.quota("web").unwrap(), larger);
    assert_eq!(fixture.apply(update(&[], false)).outcome, updated(&[]));
    assert_eq!(
        fixture.apply(RemoveQuota { role: "web".into() }).outcome,
        updated(&["web"])
    );
    assert_eq!(roles(&fixture), Vec::<&str>::new());
    assert_eq!(
        refusal(&mut fixture, RemoveQuota { role: "web".into() }).to_string(),
        "Role 'web' has no quota set"
    );
}

#[test]
fn what_makes_no_sense_is_refused_as_a_whole() {
    let mut fixture = Fixture::new();
    let good = quota("web", &[], &[("cpus", 3)]);
    for bad in [
        quota("a/b", &[], &[("cpus", 1)]),
        quota("", &[], &[("cpus", 1)]),
        quota("a", &[("cpus", 2)], &[("cpus", 1)]),
        quota("a", &[], &[("cpus", -1)]),
        quota("a", &[], &[("cpus", i64::MAX / 1_000)]),
        Quota::new("a", Amounts::new(), Amounts::from([("cpus".into(), i64::MIN)])),
    ] {
        refusal(&mut fixture, update(&[good.clone(), bad.clone()], true));
        refusal(
            &mut fixture,
            SetQuota {
                quota: bad,
                force: true,
            },
        );
    }
}

#[test]
fn guarantees_of_all_roles_together_must_be_there_unless_forced() {
    let mut fixture = Fixture::new();
    fixture.agent(0);
    let capacity = fixture.registry.capacity();
    let cpus = capacity["cpus"] / 1_000;
    let half = cpus / 2 + 1;
    fixture.apply(update(&[quota("web", &[("cpus", half)], &[])], false));
    let second = quota("db", &[("cpus", half)], &[]);
    let text = refusal(&mut fixture, update(std::slice::from_ref(&second), false)).to_string();
    let expected = format!(
        "total quota guarantees 'cpus:{}' exceed cluster capacity 'cpus:{cpus}",
        2 * half
    );
    assert!(text.starts_with(&expected), "{text}");
    let overcommitted = refusal(
        &mut fixture,
        SetQuota {
            quota: second.clone(),
            force: false,
        },
    );
    assert!(matches!(overcommitted, Rejection::QuotaOvercommits { .. }));
    // Given up in the same command it is there.
    let swap = [quota("web", &[], &[]), second.clone()];
    assert_eq!(fixture.apply(update(&swap, false)).outcome, updated(&["web", "db"]));
    let forced = update(&[quota("web", &[("cpus", half)], &[])], true);
    assert_eq!(fixture.apply(forced).outcome, updated(&["web"]));
}

#[test]
fn a_limit_is_not_set_below_what_the_role_consumes_unless_forced() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let agent = fixture.agent(0);
    fixture.apply(launch(&framework, &agent, vec![task_info(&agent, "t", 2.0)]));
    let consumed = fixture.registry.consumed_quotas(["*", "web"]);
    assert_eq!(consumed["*"]["cpus"], 2_000);
    assert!(consumed["web"].is_empty());
    let tight = quota("*", &[], &[("cpus", 1)]);
    let text = refusal(&mut fixture, update(std::slice::from_ref(&tight), false)).to_string();
    assert!(text.contains("Role '*' is already consuming 'cpus:2"), "{text}");
    assert_eq!(fixture.apply(update(&[tight], true)).outcome, updated(&["*"]));
    let fitting = quota("*", &[], &[("cpus", 2)]);
    assert_eq!(fixture.apply(update(&[fitting], false)).outcome, updated(&["*"]));
}

#[test]
fn a_first_quota_is_set_once() {
    let mut fixture = Fixture::new();
    fixture.agent(0);
    let command = SetQuota {
        quota: quota("web", &[("cpus", 1)], &[("cpus", 1)]),
        force: false,
    };
    assert_eq!(fixture.apply(command.clone()).outcome, updated(&["web"]));
    assert_eq!(
        refusal(&mut fixture, command).to_string(),
        "Cannot set quota for role 'web' which already has quota"
    );
}

#[test]
fn weights_are_set_together_and_stay() {
    let mut fixture = Fixture::new();
    let weight = |role: &str, weight| Weight {
        role: role.into(),
        weight,
    };
    let command = |weights: &[Weight]| UpdateWeights {
        weights: weights.to_vec(),
    };
    let applied = fixture.apply(command(&[weight("web", 2.0), weight("a/b", 0.5)]));
    let roles = vec!["web".into(), "a/b".into()];
    assert_eq!(applied.outcome, Outcome::WeightsUpdated { roles });
    assert_eq!(fixture.registry.weight("a/b"), Some(0.5));
    assert_eq!(fixture.registry.weight("b"), None);
    for bad in [
        weight("web", 0.0),
        weight("web", f64::INFINITY),
        weight("web", f64::NAN),
        weight("/", 1.0),
    ] {
        refusal(&mut fixture, command(&[weight("web", 7.0), bad]));
    }
    fixture.apply(command(&[weight("web", 1.0)]));
    assert_eq!(fixture.registry.weight("web"), Some(1.0));
}
