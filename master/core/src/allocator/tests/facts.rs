//! Single facts: one offer per agent, refusals, suppression, what is hidden from whom.

use super::*;
use proto::v1::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};
use proto::v1::scheduler::{AttributeConstraint, attribute_constraint as constraint};

#[test]
fn all_of_an_agent_goes_to_one_framework() {
    let mut allocator = cluster(1, &[&["*"], &["*"]]);
    let offers = allocator.allocate(0, 1, None);
    assert_eq!(
        texts(&offers),
        ["f0000 a00000 cpus(allocated: *):4; mem(allocated: *):4096"]
    );
    assert!(allocator.allocate(SECOND, 2, None).is_empty(), "nothing is left");
    check(&mut allocator);
}

#[test]
fn only_the_named_agents_are_offered() {
    let mut allocator = cluster(3, &[&["*"]]);
    let only = BTreeSet::from([agent_id(1), agent_id(9)]);
    assert_eq!(allocator.allocate(0, 1, Some(&only)).len(), 1);
    assert_eq!(allocator.allocate(0, 1, None).len(), 2);
}

#[test]
fn a_refusal_lasts_its_time_and_at_least_one_interval() {
    let mut allocator = cluster(1, &[&["*"]]);
    for (now, refuse, back_at) in [(0, 5 * SECOND, 5 * SECOND), (10 * SECOND, SECOND / 2, 11 * SECOND)] {
        let offers = allocator.allocate(now, 1, None);
        assert_eq!(offers.len(), 1);
        decline_all(&mut allocator, now, &offers, Some(refuse));
        assert!(allocator.allocate(back_at - 1, 1, None).is_empty());
        let again = allocator.allocate(back_at, 1, None);
        assert_eq!(again.len(), 1);
        decline_all(&mut allocator, back_at, &again, None);
        check(&mut allocator);
    }
    assert_eq!(
        allocator.allocate(12 * SECOND, 1, None).len(),
        1,
        "refusing for no time makes no filter"
    );
}

#[test]
fn a_refusal_suppresses_only_what_it_contains() {
    let mut allocator = cluster(1, &[&["*"]]);
    let offers = allocator.allocate(0, 1, None);
    // The framework uses a part and refuses the rest for long.
    let task = resources("cpus:1;mem:1024").allocated_to("*");
    let mut rest = offers[0].resources.clone();
    assert!(rest.subtract(&task));
    allocator.allocated(&framework_id(0), &agent_id(0), &task);
    assert!(
        allocator
            .recover_offered(0, &framework_id(0), &agent_id(0), &rest, Some(1000 * SECOND))
            .is_empty()
    );
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    // The task ends: there is more than was refused.
    assert!(allocator.recover_used(&framework_id(0), &agent_id(0), &task).is_empty());
    assert_eq!(allocator.allocate(2 * SECOND, 1, None).len(), 1);
    check(&mut allocator);
}

#[test]
fn what_one_refuses_the_other_gets() {
    let mut allocator = cluster(1, &[&["*"], &["*"]]);
    let first = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &first, Some(5 * SECOND));
    let second = allocator.allocate(SECOND, 1, None);
    assert_eq!(second.len(), 1);
    assert_ne!(first[0].framework_id, second[0].framework_id);
}

#[test]
fn reviving_drops_refusals_and_suppression() {
    let mut allocator = cluster(1, &[&["*"]]);
    let id = framework_id(0);
    let offers = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &offers, Some(1000 * SECOND));
    allocator.take_requested();
    allocator.revive(&id, &[]);
    assert_eq!(allocator.take_requested(), Requested::AllAgents);
    let offers = allocator.allocate(1, 1, None);
    assert_eq!(offers.len(), 1);
    decline_all(&mut allocator, 1, &offers, None);
    allocator.suppress(&id, &["*".into()]);
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    allocator.revive(&id, &["other".into()]);
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    allocator.revive(&id, &["*".into()]);
    assert_eq!(allocator.allocate(SECOND, 1, None).len(), 1);
    check(&mut allocator);
}

#[test]
fn an_inactive_framework_gets_nothing_and_forgets_its_refusals() {
    let mut allocator = cluster(1, &[&["*"]]);
    let offers = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &offers, Some(1000 * SECOND));
    allocator.deactivate_framework(&framework_id(0));
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    allocator.activate_framework(&framework_id(0));
    assert_eq!(allocator.allocate(SECOND, 1, None).len(), 1);
}

#[test]
fn an_inactive_or_unlisted_agent_is_not_offered() {
    let mut allocator = cluster(1, &[&["*"]]);
    allocator.deactivate_agent(&agent_id(0));
    assert!(allocator.allocate(0, 1, None).is_empty());
    allocator.activate_agent(&agent_id(0));
    allocator.set_whitelist(Some(BTreeSet::from(["elsewhere".to_owned()])));
    assert!(allocator.allocate(0, 1, None).is_empty());
    allocator.set_whitelist(None);
    assert_eq!(allocator.allocate(0, 1, None).len(), 1);
}

#[test]
fn changed_attributes_drop_the_refusals_of_the_agent() {
    let mut allocator = cluster(1, &[&["*"]]);
    let offers = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &offers, Some(1000 * SECOND));
    let mut changed = agent_facts();
    changed.hostname = "other".into();
    allocator.update_agent_facts(&agent_id(0), changed.clone());
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    changed.attributes.insert("rack".into(), Some("r1".into()));
    allocator.update_agent_facts(&agent_id(0), changed);
    assert_eq!(allocator.allocate(SECOND, 1, None).len(), 1);
}

#[test]
fn offers_hold_the_least_that_is_worth_offering() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.add_agent(
        agent_id(0),
        agent_facts(),
        resources("cpus:0.005;mem:31;ports:[1-9]"),
        &[],
    );
    allocator.add_framework(framework_id(0), facts(&["*"]), true);
    assert!(allocator.allocate(0, 1, None).is_empty());
    let mut wants_anything = facts(&["*"]);
    wants_anything
        .min_allocatable
        .insert("*".into(), MinAllocatable::default());
    allocator.add_framework(framework_id(1), wants_anything, true);
    assert_eq!(texts(&allocator.allocate(0, 1, None)).len(), 1);
    allocator.add_agent(agent_id(1), agent_facts(), resources("cpus:0.01;mem:31"), &[]);
    let mut wants_much = facts(&["*"]);
    wants_much
        .min_allocatable
        .insert("*".into(), MinAllocatable(vec![[("cpus".to_owned(), 2_000)].into()]));
    allocator.update_framework(&framework_id(1), wants_much);
    assert_eq!(allocator.allocate(0, 1, None)[0].framework_id, framework_id(0));
}

#[test]
fn agents_are_hidden_from_frameworks_that_cannot_use_them() {
    type Change = (fn(&mut AgentFacts), &'static str, fn(&mut FrameworkFacts), &'static str);
    let rows: [Change; 4] = [
        (|_| (), "gpus:1;", |framework| framework.gpu_resources = true, "*"),
        (
            |agent| agent.region = Some("far".into()),
            "",
            |framework| framework.region_aware = true,
            "*",
        ),
        (
            |agent| agent.multi_role = false,
            "",
            |framework| framework.multi_role = false,
            "*",
        ),
        (
            |agent| agent.hierarchical_role = false,
            "",
            |framework| framework.roles = [Arc::from("a")].into(),
            "a/b",
        ),
    ];
    for (change_agent, more, change_framework, role) in rows {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        let mut agent = agent_facts();
        change_agent(&mut agent);
        allocator.add_agent(agent_id(0), agent, resources(&format!("{more}cpus:4")), &[]);
        let mut framework = facts(&[role]);
        allocator.add_framework(framework_id(0), framework.clone(), true);
        assert!(allocator.allocate(0, 1, None).is_empty(), "{framework:?}");
        change_framework(&mut framework);
        allocator.update_framework(&framework_id(0), framework);
        assert_eq!(allocator.allocate(0, 1, None).len(), 1);
        check(&mut allocator);
    }
}

#[test]
fn reservations_go_to_their_role_and_below() {
    let total = "cpus:1;cpus(a):2;cpus(a/b):3;cpus(c):4";
    let rows = [
        ("*", "cpus(allocated: *):1"),
        (
            "a",
            "cpus(allocated: a):1; cpus(allocated: a)(reservations: [(STATIC,a)]):2",
        ),
        (
            "a/b",
            "cpus(allocated: a/b):1; cpus(allocated: a/b)(reservations: [(STATIC,a)]):2; \
             cpus(allocated: a/b)(reservations: [(STATIC,a/b)]):3",
        ),
        ("ab", "cpus(allocated: ab):1"),
    ];
    for (role, expected) in rows {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        allocator.add_agent(agent_id(0), agent_facts(), resources(total), &[]);
        allocator.add_framework(framework_id(0), facts(&[role]), true);
        let offers = allocator.allocate(0, 1, None);
        assert_eq!(offers[0].resources.to_string(), expected);
        check(&mut allocator);
    }
}

#[test]
fn one_agent_can_serve_several_roles_in_one_run() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    allocator.add_agent(agent_id(0), agent_facts(), resources("cpus(a):2;cpus(b):2"), &[]);
    allocator.add_framework(framework_id(0), facts(&["a", "b"]), true);
    let offers = allocator.allocate(0, 1, None);
    assert_eq!(offers.iter().map(|offer| &*offer.role).collect::<Vec<_>>(), ["a", "b"]);
    check(&mut allocator);
}

#[test]
fn revocable_and_refined_resources_need_their_capabilities() {
    let revocable = v1::Resource {
        revocable: Some(v1::resource::RevocableInfo::default()),
        ..resources("cpus:2").to_proto().remove(0)
    };
    let mut refined = resources("mem(a):64").to_proto().remove(0);
    refined.reservations.push(v1::resource::ReservationInfo {
        role: Some("a/b".into()),
        r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
        ..Default::default()
    });
    let total = Resources::from_proto(&[resources("cpus:1").to_proto().remove(0), revocable, refined]).unwrap();
    let offered = |framework: FrameworkFacts| {
        let mut allocator = Allocator::new(AllocatorConfig::default());
        allocator.add_agent(agent_id(0), agent_facts(), total.clone(), &[]);
        allocator.add_framework(framework_id(0), framework, true);
        allocator.allocate(0, 1, None)[0].resources.unallocated().to_string()
    };
    let mut framework = facts(&["a/b"]);
    framework.reservation_refinement = false;
    assert_eq!(offered(framework.clone()), "cpus:1");
    framework.revocable_resources = true;
    assert_eq!(offered(framework.clone()), "cpus:1; cpus{REV}:2");
    framework.reservation_refinement = true;
    assert!(offered(framework).ends_with("mem(reservations: [(STATIC,a),(DYNAMIC,a/b)]):64"));
}

#[test]
fn a_shared_volume_is_offered_again_while_it_is_in_use() {
    let volume = shared_volume();
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let mut total = Resources::from_proto(&[volume]).unwrap();
    total.add(&resources("cpus:4;mem:4096"));
    allocator.add_agent(agent_id(0), agent_facts(), total.clone(), &[]);
    allocator.add_framework(
        framework_id(0),
        FrameworkFacts {
            shared_resources: true,
            ..facts(&["a"])
        },
        true,
    );
    let first = allocator.allocate(0, 1, None);
    assert_eq!(first[0].resources.unallocated(), total);
    check(&mut allocator);
    // A part of the rest comes back: the volume is offered with it a second time.
    let back = resources("cpus:1;mem:64").allocated_to("a");
    assert!(
        allocator
            .recover_offered(0, &framework_id(0), &agent_id(0), &back, None)
            .is_empty()
    );
    let second = allocator.allocate(SECOND, 2, None);
    assert!(
        second[0].resources.to_string().contains("<SHARED>"),
        "{}",
        second[0].resources
    );
    check(&mut allocator);
    for offer in first.iter().chain(&second) {
        let mut left = offer.resources.clone();
        left.take_available(&back);
        let part = if offer == &first[0] {
            left
        } else {
            offer.resources.clone()
        };
        assert!(
            allocator
                .recover_offered(0, &framework_id(0), &agent_id(0), &part, None)
                .is_empty()
        );
        check(&mut allocator);
    }
    assert_eq!(allocator.available(&agent_id(0)), Some(&total));
}

#[test]
fn what_unknown_frameworks_use_is_withheld_until_they_give_it_back() {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let used = resources("cpus:3;mem:1024").allocated_to("*");
    let report = [(framework_id(7), used.clone())];
    allocator.add_agent(agent_id(0), agent_facts(), resources("cpus:4;mem:4096"), &report);
    allocator.add_framework(framework_id(0), facts(&["*"]), true);
    let offers = allocator.allocate(0, 1, None);
    assert_eq!(offers[0].resources.unallocated(), resources("cpus:1;mem:3072"));
    decline_all(&mut allocator, 0, &offers, None);
    check(&mut allocator);
    allocator.add_framework(framework_id(7), facts(&["*"]), true);
    check(&mut allocator);
    assert_eq!(
        allocator.allocate(SECOND, 1, None)[0].framework_id,
        framework_id(0),
        "the other one holds more"
    );
    allocator.remove_framework(&framework_id(7));
    check(&mut allocator);
    assert!(
        allocator.allocate(SECOND, 1, None).is_empty(),
        "its tasks may still be running"
    );
    assert!(allocator.recover_used(&framework_id(7), &agent_id(0), &used).is_empty());
    assert_eq!(
        allocator.allocate(SECOND, 1, None)[0].resources.unallocated(),
        used.unallocated()
    );
    check(&mut allocator);
}

#[test]
fn recovering_what_is_not_held_changes_nothing() {
    let mut allocator = cluster(1, &[&["*"]]);
    let some = resources("cpus:1").allocated_to("*");
    assert_eq!(allocator.recover_used(&framework_id(0), &agent_id(0), &some), some);
    assert_eq!(allocator.recover_used(&framework_id(5), &agent_id(0), &some), some);
    assert_eq!(allocator.recover_used(&framework_id(0), &agent_id(5), &some), some);
    assert_eq!(allocator.available(&agent_id(0)), Some(&resources("cpus:4;mem:4096")));
    check(&mut allocator);
}

#[test]
fn an_agent_that_shrinks_below_what_is_used_is_not_offered() {
    let mut allocator = cluster(1, &[&["*"]]);
    let offers = allocator.allocate(0, 1, None);
    allocator.allocated(&framework_id(0), &agent_id(0), &offers[0].resources);
    allocator.update_agent_total(&agent_id(0), resources("cpus:2;mem:2048"));
    check(&mut allocator);
    let half = resources("cpus:2;mem:2048").allocated_to("*");
    assert!(allocator.recover_used(&framework_id(0), &agent_id(0), &half).is_empty());
    assert!(allocator.allocate(SECOND, 1, None).is_empty());
    assert!(allocator.recover_used(&framework_id(0), &agent_id(0), &half).is_empty());
    assert_eq!(
        allocator.allocate(SECOND, 1, None)[0].resources.unallocated(),
        resources("cpus:2;mem:2048")
    );
    check(&mut allocator);
}

#[test]
fn a_dropped_role_keeps_its_tasks_counted_and_gets_no_offers() {
    let mut allocator = cluster(2, &[&["a", "b"]]);
    let offers = allocator.allocate(0, 1, Some(&BTreeSet::from([agent_id(0)])));
    allocator.allocated(&framework_id(0), &agent_id(0), &offers[0].resources);
    assert_eq!(&*offers[0].role, "a");
    allocator.update_framework(&framework_id(0), facts(&["b"]));
    check(&mut allocator);
    assert_eq!(&*allocator.allocate(0, 1, None)[0].role, "b");
    assert!(
        allocator
            .recover_used(&framework_id(0), &agent_id(0), &offers[0].resources)
            .is_empty()
    );
    check(&mut allocator);
}

#[test]
fn converted_resources_change_the_offer_and_the_total() {
    let mut allocator = cluster(1, &[&["a"]]);
    let offers = allocator.allocate(0, 1, None);
    let consumed = resources("cpus:1").allocated_to("a");
    let converted = resources("cpus(a):1").allocated_to("a");
    assert!(allocator.convert(&framework_id(0), &agent_id(0), &consumed, &converted));
    check(&mut allocator);
    assert!(!allocator.convert(
        &framework_id(0),
        &agent_id(0),
        &resources("cpus:9").allocated_to("a"),
        &converted
    ));
    let mut rest = offers[0].resources.clone();
    assert!(rest.subtract(&consumed));
    rest.add(&converted);
    assert!(
        allocator
            .recover_offered(0, &framework_id(0), &agent_id(0), &rest, None)
            .is_empty()
    );
    assert_eq!(allocator.available(&agent_id(0)), Some(&rest.unallocated()));
    check(&mut allocator);
}

#[test]
fn what_an_operator_holds_is_offered_to_nobody_and_its_conversion_to_its_role_only() {
    let mut allocator = cluster(1, &[&["a"], &["b"]]);
    allocator.set_quota("b", &amounts(&[("cpus", 3)]), &amounts(&[("cpus", 4)]));
    let (operator, wanted) = (FrameworkId::from("operator"), resources("cpus:1"));
    allocator.use_unoffered(&operator, &agent_id(0), &wanted);
    check(&mut allocator);
    let offers = allocator.allocate(0, 1, None);
    let offered: i64 = offers.iter().map(|offer| offer.resources.scalar("cpus")).sum();
    assert_eq!(offered, 3_000);
    decline_all(&mut allocator, 0, &offers, None);
    assert!(allocator.recover_used(&operator, &agent_id(0), &wanted).is_empty());
    let converted = resources("cpus(a):1");
    assert!(allocator.convert_available(&agent_id(0), &wanted, &converted));
    assert!(!allocator.convert_available(&agent_id(0), &resources("cpus:4"), &converted));
    check(&mut allocator);
    for offer in allocator.allocate(SECOND, 2, None) {
        let has_reserved = offer
            .resources
            .iter()
            .any(|entry| entry.kind().reservation_role().is_some());
        assert!(!has_reserved || *offer.role == *"a", "{}", offer.resources);
    }
}

#[test]
fn a_launch_that_was_not_offered_any_more_is_said_to_be() {
    let mut allocator = cluster(1, &[&["a"]]);
    let task = resources("cpus:1").allocated_to("a");
    assert_eq!(allocator.allocated(&framework_id(0), &agent_id(0), &task), task);
    allocator.allocate(0, 1, None);
    assert!(allocator.allocated(&framework_id(0), &agent_id(0), &task).is_empty());
    check(&mut allocator);
}

#[test]
fn agents_and_frameworks_ask_for_a_run_as_in_mesos() {
    let mut allocator = cluster(1, &[]);
    assert_eq!(
        allocator.take_requested(),
        Requested::Agents(BTreeSet::from([agent_id(0)]))
    );
    assert_eq!(allocator.take_requested(), Requested::Nothing);
    allocator.add_framework(framework_id(0), facts(&["*"]), true);
    allocator.add_agent(agent_id(1), agent_facts(), resources("cpus:1"), &[]);
    assert_eq!(allocator.take_requested(), Requested::AllAgents);
    let offers = allocator.allocate(0, 1, None);
    decline_all(&mut allocator, 0, &offers, None);
    allocator.suppress(&framework_id(0), &[]);
    allocator.deactivate_agent(&agent_id(0));
    assert_eq!(
        allocator.take_requested(),
        Requested::Nothing,
        "these wait for the periodic run"
    );
}

fn constrained(selector: constraint::selector::Selector, predicate: constraint::predicate::Predicate) -> bool {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let mut agent = agent_facts();
    agent.attributes = [("rack".to_owned(), Some("r1".to_owned())), ("size".to_owned(), None)].into();
    agent.zone = Some("z".into());
    allocator.add_agent(agent_id(0), agent, resources("cpus:1"), &[]);
    let attribute_constraints = vec![AttributeConstraint {
        selector: constraint::Selector {
            selector: Some(selector),
        },
        predicate: constraint::Predicate {
            predicate: Some(predicate),
        },
    }];
    let mut framework = facts(&["*"]);
    framework.constraints.insert(
        "*".into(),
        RoleConstraints {
            groups: vec![Group { attribute_constraints }],
        },
    );
    allocator.add_framework(framework_id(0), framework, true);
    !allocator.allocate(0, 1, None).is_empty()
}

#[test]
fn offer_constraints_hide_agents() {
    use constraint::predicate::{Exists, NotExists, Predicate, TextEquals, TextMatches, TextNotEquals, TextNotMatches};
    use constraint::selector::{PseudoattributeType, Selector};
    let name = |name: &str| Selector::AttributeName(name.into());
    let pseudo = |kind: PseudoattributeType| Selector::PseudoattributeType(kind.into());
    let equals = |value: &str| Predicate::TextEquals(TextEquals { value: value.into() });
    let differs = |value: &str| Predicate::TextNotEquals(TextNotEquals { value: value.into() });
    let matches = |regex: &str| Predicate::TextMatches(TextMatches { regex: regex.into() });
    let matches_not = |regex: &str| Predicate::TextNotMatches(TextNotMatches { regex: regex.into() });
    let rows = [
        (name("rack"), Predicate::Exists(Exists {}), true),
        (name("none"), Predicate::Exists(Exists {}), false),
        (name("rack"), Predicate::NotExists(NotExists {}), false),
        (name("none"), Predicate::NotExists(NotExists {}), true),
        (name("rack"), equals("r1"), true),
        (name("rack"), equals("r2"), false),
        (name("none"), equals("r1"), false),
        (name("size"), equals("r1"), true),
        (name("rack"), differs("r1"), false),
        (name("none"), differs("r1"), true),
        (name("size"), differs("r1"), true),
        (name("rack"), matches("r1"), true),
        (name("rack"), matches("r2"), false),
        (name("rack"), matches_not("r1"), false),
        (name("rack"), matches("x.*"), true), // not decided here, so not hidden
        (pseudo(PseudoattributeType::Hostname), equals("host"), true),
        (pseudo(PseudoattributeType::Zone), equals("y"), false),
        (pseudo(PseudoattributeType::Region), equals("r"), false),
    ];
    for (selector, predicate, expected) in rows {
        assert_eq!(
            constrained(selector.clone(), predicate.clone()),
            expected,
            "{selector:?} {predicate:?}"
        );
    }
}

#[test]
fn facts_are_read_from_the_wire() {
    let info = v1::FrameworkInfo {
        capabilities: vec![framework_info::Capability {
            r#type: Some(framework_info::capability::Type::MultiRole.into()),
        }],
        roles: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    let facts = FrameworkFacts::from_info(&info, &["b".into()], None);
    assert_eq!(facts.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["a", "b"]);
    assert!(facts.multi_role && facts.suppressed.contains("b"));
    assert_eq!(framework_roles(&v1::FrameworkInfo::default()), ["*"]);
}
