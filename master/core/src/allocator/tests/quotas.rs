//! Quotas: limits cut offers, guarantees are held back, and both are counted over the tree of a role.

use super::*;

/// Two agents of 4 cpus and 4096 MB each; frameworks in the given roles.
fn pair(frameworks: &[&[&str]]) -> Allocator {
    cluster(2, frameworks)
}

fn held(allocations: &[Allocation], framework: usize, name: &str) -> i64 {
    let id = framework_id(framework);
    let own = allocations.iter().filter(|offer| offer.framework_id == id);
    own.map(|offer| offer.resources.scalar(name)).sum()
}

#[test]
fn a_limit_cuts_the_offer_that_would_exceed_it_and_the_rest_goes_to_others() {
    let mut allocator = pair(&[&["web"]]);
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 3)]));
    let offers = allocator.allocate(0, 1, None);
    // All memory has no limit; the second agent is offered with nothing but that.
    assert_eq!(held(&offers, 0, "cpus"), 3_000);
    assert_eq!(held(&offers, 0, "mem"), 8_192_000);
    check(&mut allocator);
    allocator.add_framework(framework_id(1), facts(&["batch"]), true);
    let rest = allocator.allocate(0, 2, None);
    assert_eq!((held(&rest, 1, "cpus"), held(&rest, 1, "mem")), (5_000, 0));
    check(&mut allocator);
}

#[test]
fn a_limit_counts_what_is_used_and_what_is_reserved() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 4), ("mem", 0)]));
    allocator.add_framework(framework_id(0), facts(&["web"]), true);
    let used = [(framework_id(0), resources("cpus:1").allocated_to("web"))];
    let total = resources("cpus:8;cpus(web):2;mem:1024;mem(web):100");
    allocator.add_agent(agent_id(0), agent_facts(), total, &used);
    let offers = allocator.allocate(0, 1, None);
    // One used and two reserved ones leave one; the reserved ones are offered beside it, whatever the limit.
    assert_eq!(
        texts(&offers),
        [
            "f0000 a00000 cpus(allocated: web):1; cpus(allocated: web)(reservations: [(STATIC,web)]):2; mem(allocated: \
          web)(reservations: [(STATIC,web)]):100"
        ]
    );
    check(&mut allocator);
}

#[test]
fn a_role_at_its_limit_is_offered_nothing_until_something_ends() {
    let mut allocator = pair(&[&["web"]]);
    let limit = amounts(&[("cpus", 2), ("mem", 64)]);
    allocator.set_quota("web", &Amounts::new(), &limit);
    let offers = allocator.allocate(0, 1, None);
    assert_eq!((held(&offers, 0, "cpus"), held(&offers, 0, "mem")), (2_000, 64_000));
    for offer in &offers {
        allocator.allocated(&offer.framework_id, &offer.agent_id, &offer.resources);
    }
    assert_eq!(allocator.allocate(SECOND, 2, None), []);
    let offer = &offers[0];
    let half = resources("cpus:1").allocated_to("web");
    assert!(
        allocator
            .recover_used(&offer.framework_id, &offer.agent_id, &half)
            .is_empty()
    );
    let again = allocator.allocate(2 * SECOND, 3, None);
    assert_eq!(held(&again, 0, "cpus"), 1_000);
    check(&mut allocator);
}

#[test]
fn what_sub_roles_hold_counts_for_the_limit_of_the_top_level_role() {
    let mut allocator = pair(&[&["web/a"], &["web"], &["web/b/c"]]);
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 5)]));
    let offers = allocator.allocate(0, 1, None);
    let cpus: i64 = offers.iter().map(|offer| offer.resources.scalar("cpus")).sum();
    assert_eq!(cpus, 5_000);
    check(&mut allocator);
}

#[test]
fn what_is_guaranteed_is_held_back_from_roles_without_quota() {
    let mut allocator = pair(&[&["batch"]]);
    allocator.set_quota("web", &amounts(&[("cpus", 3), ("mem", 1024)]), &Amounts::new());
    // Nobody is there yet in the role with the guarantee; it is held back all the same.
    let offers = allocator.allocate(0, 1, None);
    assert_eq!((held(&offers, 0, "cpus"), held(&offers, 0, "mem")), (5_000, 7_168_000));
    check(&mut allocator);
    assert_eq!(allocator.allocate(SECOND, 2, None), []);
    allocator.add_framework(framework_id(1), facts(&["web"]), true);
    let guaranteed = allocator.allocate(SECOND, 3, None);
    assert_eq!(
        (held(&guaranteed, 1, "cpus"), held(&guaranteed, 1, "mem")),
        (3_000, 1_024_000)
    );
    check(&mut allocator);
}

#[test]
fn a_guarantee_comes_before_a_smaller_share() {
    // The framework with the guarantee holds all of one agent, the other nothing: by shares alone, the other is next.
    let mut allocator = cluster(1, &[&["web"], &["batch"]]);
    let used = [(framework_id(0), resources("cpus:4;mem:4096").allocated_to("web"))];
    allocator.add_agent(agent_id(7), agent_facts(), resources("cpus:4;mem:4096"), &used);
    allocator.set_quota("web", &amounts(&[("cpus", 6)]), &Amounts::new());
    let offers = allocator.allocate(0, 1, None);
    assert_eq!((held(&offers, 0, "cpus"), held(&offers, 1, "cpus")), (4_000, 0));
    check(&mut allocator);
}

#[test]
fn a_guarantee_is_met_for_frameworks_of_sub_roles_too() {
    let mut allocator = pair(&[&["web/a"], &["batch"]]);
    allocator.set_quota("web", &amounts(&[("cpus", 8)]), &Amounts::new());
    let offers = allocator.allocate(0, 1, None);
    assert_eq!((held(&offers, 0, "cpus"), held(&offers, 1, "cpus")), (8_000, 0));
    check(&mut allocator);
}

#[test]
fn two_stages_make_one_offer_per_agent() {
    let mut allocator = cluster(1, &[&["web"]]);
    allocator.set_quota("web", &amounts(&[("cpus", 1)]), &Amounts::new());
    allocator.set_quota("gold", &amounts(&[("cpus", 1)]), &Amounts::new());
    let offers = allocator.allocate(0, 1, None);
    assert_eq!(
        texts(&offers),
        ["f0000 a00000 cpus(allocated: web):3; mem(allocated: web):4096"]
    );
    check(&mut allocator);
}

#[test]
fn a_shared_volume_is_offered_once_in_two_stages() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    for number in 0..2 {
        let facts = FrameworkFacts {
            shared_resources: true,
            // Wants to be offered whatever there is, a volume alone too.
            min_allocatable: [("a".to_owned(), MinAllocatable::default())].into(),
            ..facts(&["a"])
        };
        allocator.add_framework(framework_id(number), facts, true);
    }
    let mut total = Resources::from_proto(&[shared_volume()]).unwrap();
    total.add(&resources("cpus:4;mem:4096"));
    allocator.add_agent(agent_id(0), agent_facts(), total, &[]);
    allocator.set_quota("a", &amounts(&[("cpus", 4)]), &amounts(&[("cpus", 4)]));
    // The first stage gives one of them all of it; the volume stays available to the second stage.
    let offers = allocator.allocate(0, 1, None);
    let with_volume = offers
        .iter()
        .filter(|offer| offer.resources.to_string().contains("<SHARED>"));
    assert_eq!(with_volume.count(), 1, "{:?}", texts(&offers));
    check(&mut allocator);
}

#[test]
fn what_an_agent_that_is_not_offered_has_free_backs_no_guarantee() {
    let mut allocator = pair(&[&["batch"]]);
    allocator.set_quota("web", &amounts(&[("cpus", 4)]), &Amounts::new());
    allocator.deactivate_agent(&agent_id(0));
    assert_eq!(held(&allocator.allocate(0, 1, None), 0, "cpus"), 0);
    allocator.activate_agent(&agent_id(0));
    assert_eq!(held(&allocator.allocate(SECOND, 2, None), 0, "cpus"), 4_000);
    check(&mut allocator);
}

#[test]
fn an_agent_that_is_not_offered_counts_with_what_runs_on_it() {
    let mut allocator = pair(&[&["web"]]);
    let used = [(framework_id(0), resources("cpus:4").allocated_to("web"))];
    allocator.add_agent(agent_id(7), agent_facts(), resources("cpus:4;mem:4096"), &used);
    allocator.deactivate_agent(&agent_id(7));
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 5)]));
    assert_eq!(held(&allocator.allocate(0, 1, None), 0, "cpus"), 1_000);
    check(&mut allocator);
}

#[test]
fn a_removed_quota_binds_nobody() {
    let mut allocator = pair(&[&["web"], &["batch"]]);
    allocator.set_quota("web", &amounts(&[("cpus", 4)]), &amounts(&[("cpus", 4)]));
    allocator.suppress(&framework_id(0), &[]);
    assert_eq!(held(&allocator.allocate(0, 1, None), 1, "cpus"), 4_000);
    allocator.set_quota("web", &Amounts::new(), &Amounts::new());
    assert_eq!(held(&allocator.allocate(SECOND, 2, None), 1, "cpus"), 4_000);
    check(&mut allocator);
}

#[test]
fn a_cut_offer_is_not_made_when_it_is_too_small_or_refused() {
    let mut allocator = cluster(1, &[&["web"]]);
    // Below the least offer, cpus:0.01 or mem:32.
    let least = Amounts::from([("cpus".into(), 9), ("mem".into(), 31_000)]);
    allocator.set_quota("web", &Amounts::new(), &least);
    assert_eq!(allocator.allocate(0, 1, None), []);
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 2), ("mem", 64)]));
    let offers = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &offers, Some(10 * SECOND));
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 1), ("mem", 64)]));
    assert_eq!(
        allocator.allocate(SECOND, 2, None),
        [],
        "the refused bundle contains it"
    );
    allocator.set_quota("web", &Amounts::new(), &amounts(&[("cpus", 3), ("mem", 64)]));
    assert_eq!(allocator.allocate(SECOND, 3, None).len(), 1);
    check(&mut allocator);
}

#[test]
fn offers_beyond_a_new_limit_or_a_new_guarantee_are_named() {
    let mut allocator = pair(&[&["web"], &["batch"]]);
    let offers = allocator.allocate(0, 1, None);
    let of = |framework| {
        offers
            .iter()
            .find(|offer| offer.framework_id == framework_id(framework))
    };
    let (web, batch) = (of(0).unwrap(), of(1).unwrap());
    assert!(!allocator.exceeds_limit("web", &web.resources) && !allocator.lacks_headroom("batch", &batch.resources));
    allocator.set_quota("web", &amounts(&[("cpus", 2)]), &amounts(&[("cpus", 3)]));
    assert!(allocator.exceeds_limit("web", &web.resources));
    assert!(!allocator.exceeds_limit("web", &resources("mem:4096").allocated_to("web")));
    assert!(!allocator.exceeds_limit("batch", &batch.resources));
    // What web holds covers its guarantee.
    assert!(!allocator.lacks_headroom("batch", &batch.resources));
    decline(&mut allocator, 0, web, None);
    allocator.deactivate_agent(&web.agent_id);
    assert!(allocator.lacks_headroom("batch", &batch.resources));
    check(&mut allocator);
}
