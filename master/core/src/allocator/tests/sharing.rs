//! Fairness: dominant shares, weights, the tree of roles, nobody starves.

use super::*;
use std::collections::BTreeMap;

fn counts(allocations: &[Allocation], key: impl Fn(&Allocation) -> String) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    allocations
        .iter()
        .for_each(|allocation| *counts.entry(key(allocation)).or_default() += 1);
    counts
}

#[test]
fn equal_frameworks_get_equal_parts() {
    let mut allocator = cluster(100, &[&["*"], &["*"]]);
    let offers = allocator.allocate(0, 1, None);
    let counts = counts(&offers, |offer| offer.framework_id.to_string());
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [50, 50]);
    check(&mut allocator);
}

#[test]
fn roles_get_equal_parts_whatever_the_number_of_their_frameworks() {
    let mut allocator = cluster(60, &[&["a"], &["a"], &["a"], &["b"]]);
    let offers = allocator.allocate(0, 1, None);
    let counts = counts(&offers, |offer| offer.role.to_string());
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [30, 30]);
}

#[test]
fn double_weight_gets_double_the_part() {
    let mut allocator = cluster(90, &[&["a"], &["b"]]);
    allocator.set_weight("b", 2.0);
    let offers = allocator.allocate(0, 1, None);
    let counts = counts(&offers, |offer| offer.role.to_string());
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [30, 60]);
    check(&mut allocator);
}

#[test]
fn a_role_with_frameworks_of_its_own_competes_with_its_sub_roles() {
    let mut allocator = cluster(80, &[&["a"], &["a/x"], &["b"]]);
    let offers = allocator.allocate(0, 1, None);
    let counts = counts(&offers, |offer| offer.role.to_string());
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [20, 20, 40]);
    check(&mut allocator);
}

#[test]
fn what_counts_is_the_dominant_resource() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    // The first holds half of the memory, the second a quarter of the cpus.
    let used = [
        (framework_id(0), resources("cpus:1;mem:5120").allocated_to("*")),
        (framework_id(1), resources("cpus:2;mem:64").allocated_to("*")),
    ];
    allocator.add_framework(framework_id(0), facts(&["*"]), true);
    allocator.add_framework(framework_id(1), facts(&["*"]), true);
    allocator.add_agent(agent_id(0), agent_facts(), resources("cpus:8;mem:10240"), &used);
    check(&mut allocator);
    assert_eq!(allocator.allocate(0, 1, None)[0].framework_id, framework_id(1));
    // Memory does not count: now the second is ahead.
    let config = AllocatorConfig {
        fair_sharing_excluded: ["mem".to_owned()].into(),
        ..Default::default()
    };
    let mut allocator = Allocator::new(config);
    allocator.add_framework(framework_id(0), facts(&["*"]), true);
    allocator.add_framework(framework_id(1), facts(&["*"]), true);
    allocator.add_agent(agent_id(0), agent_facts(), resources("cpus:8;mem:10240"), &used);
    assert_eq!(allocator.allocate(0, 1, None)[0].framework_id, framework_id(0));
}

#[test]
fn two_equal_frameworks_take_turns_at_one_agent() {
    let mut allocator = cluster(1, &[&["*"], &["*"]]);
    let mut turns = Vec::new();
    for round in 0..100 {
        let offers = allocator.allocate(round * SECOND, round, None);
        assert_eq!(offers.len(), 1);
        turns.push(offers[0].framework_id.clone());
        decline_all(&mut allocator, round * SECOND, &offers, None);
    }
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
}

#[test]
fn nobody_starves_when_one_keeps_refusing() {
    let mut allocator = cluster(4, &[&["*"], &["*"]]);
    let mut rounds_without = 0;
    for round in 0..50 {
        let now = round * SECOND;
        let offers = allocator.allocate(now, round, None);
        rounds_without = if offers.iter().any(|o| o.framework_id == framework_id(1)) {
            0
        } else {
            rounds_without + 1
        };
        assert!(rounds_without < 3, "round {round}");
        for offer in &offers {
            let refuse = (offer.framework_id == framework_id(0)).then_some(2 * SECOND);
            decline(&mut allocator, now, offer, refuse);
        }
    }
}

#[test]
fn a_thousand_agents_are_shared_out_evenly_among_many() {
    let mut allocator = cluster(1000, &[&["*"][..]; 50]);
    let offers = allocator.allocate(0, 3, None);
    assert_eq!(offers.len(), 1000);
    let counts = counts(&offers, |offer| offer.framework_id.to_string());
    assert!(
        counts.len() == 50 && counts.values().all(|count| *count == 20),
        "{counts:?}"
    );
    check(&mut allocator);
}
