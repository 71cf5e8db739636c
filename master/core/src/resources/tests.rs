use super::*;
use proptest::prelude::*;
use proto::v1::{self, resource::reservation_info, value};

fn flag(text: &str) -> Resources {
    Resources::parse_flag(text, "*").unwrap()
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        ..Default::default()
    }
}

fn ranges(name: &str, ranges: &[(u64, u64)]) -> v1::Resource {
    let range = ranges.iter().map(|&(begin, end)| value::Range { begin, end }).collect();
    v1::Resource {
        name: name.into(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges { range }),
        ..Default::default()
    }
}

fn reserved(mut resource: v1::Resource, stack: &[(bool, &str)]) -> v1::Resource {
    let kinds = |dynamic| {
        if dynamic {
            reservation_info::Type::Dynamic
        } else {
            reservation_info::Type::Static
        }
    };
    let infos = stack.iter().map(|&(dynamic, role)| v1::resource::ReservationInfo {
        role: Some(role.into()),
        r#type: Some(kinds(dynamic).into()),
        principal: dynamic.then(|| "ops".into()),
        labels: None,
    });
    resource.reservations = infos.collect();
    resource
}

fn volume(mut resource: v1::Resource, id: &str) -> v1::Resource {
    resource.disk = Some(v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence {
            id: id.into(),
            principal: None,
        }),
        volume: Some(v1::Volume {
            container_path: "data".into(),
            mode: v1::volume::Mode::Rw.into(),
            ..Default::default()
        }),
        source: None,
    });
    resource
}

#[test]
fn texts_are_those_of_mesos() {
    let total = flag("ports:[31000-32000]; disk:10000;mem:4096;cpus:4");
    assert_eq!(total.to_string(), "cpus:4; mem:4096; disk:10000; ports:[31000-32000]");
    assert_eq!(
        flag("cpus:3.9;mem:4064").allocated_to("*").to_string(),
        "cpus(allocated: *):3.9; mem(allocated: *):4064"
    );
    let disk = reserved(scalar("disk", 100.0), &[(true, "web")]);
    let text = |resource: v1::Resource| Resources::from_proto(&[resource]).unwrap().to_string();
    assert_eq!(text(disk.clone()), "disk(reservations: [(DYNAMIC,web,ops)]):100");
    assert_eq!(
        text(volume(disk.clone(), "v1")),
        "disk(reservations: [(DYNAMIC,web,ops)])[v1:data]:100"
    );
    let mut shared = volume(disk, "v1");
    shared.shared = Some(v1::resource::SharedInfo::default());
    let two = Resources::from_proto(&[shared.clone(), shared]).unwrap();
    assert_eq!(
        two.to_string(),
        "disk(reservations: [(DYNAMIC,web,ops)])[v1:data]<SHARED>:100<2>"
    );
    assert_eq!(flag("racks:{b,a}").to_string(), "racks:{a, b}");
}

#[test]
fn numbers_print_with_fifteen_digits() {
    let rows = [
        (0.0, "0"),
        (3.9, "3.9"),
        (4064.0, "4064"),
        (-1.0, "-1"),
        (0.001, "0.001"),
        (1e30, "1e+30"),
        (f64::INFINITY, "inf"),
        (i64::MIN as f64 / 1000.0, "-9.22337203685478e+15"),
        (1e15, "1e+15"),
        (123_456_789_012_345.0, "123456789012345"),
    ];
    for (value, text) in rows {
        assert_eq!(format_number(value), text);
    }
}

#[test]
fn invalid_resources_are_refused_with_the_texts_of_mesos() {
    let mut mixed = ranges("cpus", &[(1, 2)]);
    mixed.r#type = value::Type::Scalar.into();
    let star = v1::Resource {
        reservations: vec![v1::resource::ReservationInfo {
            role: Some("*".into()),
            principal: Some("ops".into()),
            r#type: Some(reservation_info::Type::Dynamic.into()),
            labels: None,
        }],
        ..scalar("disk", 100.0)
    };
    let mut shared = scalar("cpus", 1.0);
    shared.shared = Some(v1::resource::SharedInfo::default());
    let rows = [
        (
            scalar("cpus", -1.0),
            "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            scalar("cpus", 0.0001),
            "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            scalar("cpus", f64::INFINITY),
            "Resource 'cpus:-9.22337203685478e+15' is invalid: Invalid scalar resource: value <= 0",
        ),
        (mixed, "Resource 'cpus:0' is invalid: Invalid scalar resource"),
        (scalar("", 0.1), "Resource ':0.1' is invalid: Empty resource name"),
        (
            ranges("ports", &[(31010, 31005)]),
            "Resource 'ports:[31010-31005]' is invalid: Invalid ranges resource: begin > end",
        ),
        (
            ranges("ports", &[(1, 5), (5, 6)]),
            "Resource 'ports:[1-5, 5-6]' is invalid: Invalid ranges resource: overlapping ranges",
        ),
        (
            star,
            "Resource 'disk(reservations: [(DYNAMIC,*,ops)]):100' is invalid: Invalid reservation: role \"*\" cannot be reserved",
        ),
        (
            reserved(scalar("cpus", 1.0), &[(true, "a b")]),
            "Resource 'cpus(reservations: [(DYNAMIC,a b,ops)]):1' is invalid: Role component 'a b' is invalid because it contains backspace or whitespace",
        ),
        (
            shared,
            "Resource 'cpus<SHARED>:1' is invalid: Only persistent volumes can be shared",
        ),
    ];
    for (resource, text) in rows {
        assert_eq!(Resources::from_proto(&[resource]).unwrap_err().to_string(), text);
    }
}

#[test]
fn refinements_must_be_dynamic_and_go_down_the_tree() {
    let accepted = [
        vec![(false, "a"), (true, "a/b")],
        vec![(true, "a"), (true, "a/b"), (true, "a/b/c")],
    ];
    for stack in accepted {
        assert!(
            Resources::from_proto(&[reserved(scalar("cpus", 1.0), &stack)]).is_ok(),
            "{stack:?}"
        );
    }
    let refused = [
        vec![(true, "a"), (false, "a/b")],
        vec![(true, "a"), (true, "ab")],
        vec![(true, "a"), (true, "a")],
    ];
    for stack in refused {
        assert!(
            Resources::from_proto(&[reserved(scalar("cpus", 1.0), &stack)]).is_err(),
            "{stack:?}"
        );
    }
}

#[test]
fn zero_is_accepted_and_is_nothing() {
    assert!(Resources::from_proto(&[scalar("cpus", 0.0)]).unwrap().is_empty());
}

#[test]
#[allow(deprecated)]
fn the_old_format_means_the_same_as_the_new_one() {
    let mut old = scalar("cpus", 2.0);
    old.role = Some("web".into());
    let old_static = Resources::from_proto(&[old.clone()]).unwrap();
    assert_eq!(
        old_static,
        Resources::from_proto(&[reserved(scalar("cpus", 2.0), &[(false, "web")])]).unwrap()
    );
    old.reservation = Some(v1::resource::ReservationInfo {
        principal: Some("ops".into()),
        ..Default::default()
    });
    let old_dynamic = Resources::from_proto(&[old.clone()]).unwrap();
    assert_eq!(
        old_dynamic,
        Resources::from_proto(&[reserved(scalar("cpus", 2.0), &[(true, "web")])]).unwrap()
    );
    assert_eq!(old_dynamic.to_proto_pre_refinement(), [old]);
    assert_eq!(flag("cpus:1").to_proto_pre_refinement()[0].role.as_deref(), Some("*"));
    let refined = Resources::from_proto(&[reserved(scalar("cpus", 2.0), &[(true, "a"), (true, "a/b")])]).unwrap();
    assert!(refined.to_proto_pre_refinement().is_empty());
    assert!(refined.has_refined_reservations());
}

#[test]
fn both_formats_at_once_must_agree() {
    let mut both = reserved(scalar("cpus", 2.0), &[(true, "web")]);
    #[allow(deprecated)]
    {
        both.role = Some("web".into());
    }
    assert!(Resources::from_proto(&[both.clone()]).is_err());
    both.reservation = Some(v1::resource::ReservationInfo {
        principal: Some("ops".into()),
        ..Default::default()
    });
    assert!(Resources::from_proto(&[both]).is_ok());
}

#[test]
fn volumes_are_only_taken_whole() {
    let role = [(true, "web")];
    let have = Resources::from_proto(&[volume(reserved(scalar("disk", 100.0), &role), "v1")]).unwrap();
    let part = Resources::from_proto(&[volume(reserved(scalar("disk", 60.0), &role), "v1")]).unwrap();
    assert!(have.contains(&have) && !have.contains(&part));
    let other = Resources::from_proto(&[volume(reserved(scalar("disk", 100.0), &role), "v2")]).unwrap();
    assert!(!have.contains(&other));
}

#[test]
fn checkpointed_reservations_and_volumes_replace_what_they_were_made_of() {
    let resources = [
        scalar("cpus", 4.0),
        scalar("disk", 1000.0),
        reserved(scalar("mem", 64.0), &[(false, "web")]),
    ];
    let role = [(true, "web")];
    let checkpointed = [
        reserved(scalar("cpus", 1.0), &role),
        volume(reserved(scalar("disk", 100.0), &role), "v1"),
        reserved(scalar("mem", 32.0), &[(false, "web"), (true, "web/a")]),
    ];
    let total = Resources::agent_total(&resources, &checkpointed).unwrap();
    assert_eq!(
        total.to_string(),
        "cpus:3; cpus(reservations: [(DYNAMIC,web,ops)]):1; mem(reservations: [(STATIC,web)]):32; \
         mem(reservations: [(STATIC,web),(DYNAMIC,web/a,ops)]):32; disk:900; \
         disk(reservations: [(DYNAMIC,web,ops)])[v1:data]:100"
    );
    assert!(
        Resources::agent_total(&resources, &[scalar("cpus", 1.0)]).is_err(),
        "not reserved"
    );
    assert!(
        Resources::agent_total(&resources, &[reserved(scalar("cpus", 5.0), &role)]).is_err(),
        "not backed"
    );
    let mut provided = reserved(scalar("cpus", 1.0), &role);
    provided.provider_id = Some(v1::ResourceProviderId { value: "p".into() });
    assert!(
        Resources::agent_total(&resources, &[provided]).is_err(),
        "of a provider"
    );
}

#[test]
fn flags_that_cannot_be_read_are_refused_by_item() {
    for text in [
        "cpus",
        "cpus:x",
        "ports:[1-2",
        "ports:[2-x]",
        "set:{a",
        "cpus(web:1",
        "cpus:-1",
        "ports:[2-1]",
    ] {
        assert!(Resources::parse_flag(text, "*").is_err(), "{text}");
    }
    let web = Resources::parse_flag("cpus:1;mem(*):5", "web").unwrap();
    assert_eq!(web.to_string(), "cpus(reservations: [(STATIC,web)]):1; mem:5");
}

#[test]
fn flags_may_be_json_lists() {
    let list = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4}},{"name":"mem","type":"SCALAR","scalar":{"value":64},
        "role":"web"},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}]"#;
    assert_eq!(
        flag(list).to_string(),
        "cpus:4; mem(reservations: [(STATIC,web)]):64; ports:[1-2]"
    );
    let ours = Resources::parse_flag(list, "ours").unwrap().to_string();
    assert!(
        ours.starts_with("cpus(reservations: [(STATIC,ours)]):4; mem(reservations: [(STATIC,web)]):64"),
        "{ours}"
    );
    for text in ["[", "[1]", r#"[{"name":"cpus"}]"#, "[]x"] {
        assert!(Resources::parse_flag(text, "*").is_err(), "{text}");
    }
}

#[test]
fn tasks_in_the_common_case_stay_small() {
    // A million tasks hold two or three entries each.
    assert!(size_of::<Entry>() <= 64, "{}", size_of::<Entry>());
}

prop_compose! {
    fn any_range()(begin in 0u64..200, length in 0u64..20) -> (u64, u64) { (begin, begin + length) }
}

fn any_intervals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec(prop_oneof![8 => any_range(), 1 => Just((u64::MAX - 3, u64::MAX))], 0..8)
}

fn any_resources() -> impl Strategy<Value = Vec<v1::Resource>> {
    let amount = (1i64..5_000_000).prop_map(|thousandths| thousandths as f64 / 1000.0);
    let plain = (prop_oneof!["cpus", "mem", "disk", "gold"], amount).prop_map(|(name, value)| scalar(&name, value));
    let stacks = prop_oneof![
        Just(vec![]),
        Just(vec![(false, "a")]),
        Just(vec![(true, "a")]),
        Just(vec![(true, "a"), (true, "a/b")]),
    ];
    let scalars = (plain, stacks, any::<bool>(), any::<bool>()).prop_map(|(resource, stack, revocable, allocated)| {
        let mut resource = reserved(resource, &stack);
        resource.revocable = revocable.then(v1::resource::RevocableInfo::default);
        resource.allocation_info = allocated.then(|| v1::resource::AllocationInfo { role: Some("a".into()) });
        resource
    });
    let ports = any_intervals().prop_map(|intervals| ranges("ports", Ranges::from_intervals(intervals).intervals()));
    let sets = proptest::collection::btree_set("[a-d]", 0..4).prop_map(|items| v1::Resource {
        name: "racks".into(),
        r#type: value::Type::Set.into(),
        set: Some(value::Set {
            item: items.into_iter().collect(),
        }),
        ..Default::default()
    });
    proptest::collection::vec(prop_oneof![4 => scalars, 1 => ports, 1 => sets], 0..8)
}

fn without_sets(resources: &Resources) -> Resources {
    resources.filter(|entry| matches!(entry.value(), Value::Scalar(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_and_taking_away_gives_the_same_again(a in any_resources(), b in any_resources()) {
        let (a, b) = (Resources::from_proto(&a).unwrap(), Resources::from_proto(&b).unwrap());
        let (a, b) = (without_sets(&a), without_sets(&b));
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert!(sum.subtract(&b));
        prop_assert_eq!(sum, a);
    }

    #[test]
    fn disjoint_ranges_come_back_as_well(all in any_intervals(), cut in any_intervals()) {
        let (all, cut) = (Ranges::from_intervals(all), Ranges::from_intervals(cut));
        let mut rest = all.clone();
        rest.subtract(&cut);
        prop_assert!(!rest.overlaps(&cut));
        prop_assert!(all.contains(&rest));
        for value in (0..230).chain(u64::MAX - 5..=u64::MAX) {
            let has = |ranges: &Ranges| ranges.contains(&Ranges::from_intervals([(value, value)]));
            prop_assert_eq!(has(&rest), has(&all) && !has(&cut));
        }
        let mut taken = all.clone();
        taken.subtract(&rest);
        let mut whole = rest;
        whole.add(&taken);
        prop_assert_eq!(whole, all);
    }

    #[test]
    fn containment_is_transitive(a in any_resources(), b in any_resources(), c in any_resources()) {
        let [a, mut b, mut c] = [a, b, c].map(|list| Resources::from_proto(&list).unwrap());
        b.add(&a);
        c.add(&b);
        prop_assert!(b.contains(&a) && c.contains(&b) && c.contains(&a));
    }

    #[test]
    fn the_wire_form_says_everything(list in any_resources()) {
        let resources = Resources::from_proto(&list).unwrap();
        let wire = resources.to_proto();
        prop_assert_eq!(&Resources::from_proto(&wire).unwrap(), &resources);
        let stored = postcard::to_stdvec(&resources).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Resources>(&stored).unwrap(), resources);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(mut list in any_resources()) {
        let resources = Resources::from_proto(&list).unwrap();
        list.reverse();
        prop_assert_eq!(Resources::from_proto(&list).unwrap(), resources);
    }

    #[test]
    fn taking_away_more_than_there_is_changes_nothing(list in any_resources()) {
        let resources = Resources::from_proto(&list).unwrap();
        let mut more = resources.clone();
        more.add(&Resources::from_scalars(&[("gold", 1)]));
        let mut same = resources.clone();
        prop_assert!(!same.subtract(&more));
        prop_assert_eq!(same, resources);
    }

    #[test]
    fn extreme_values_do_not_panic(values in proptest::collection::vec(any::<f64>(), 1..5), begin: u64, end: u64) {
        for &value in &values {
            let list = [scalar("cpus", value), ranges("ports", &[(begin, end)])];
            let printed = list.iter().map(|resource| WireText(resource).to_string()).collect::<String>();
            prop_assert!(!printed.is_empty());
            if let Ok(mut resources) = Resources::from_proto(&list) {
                let other = resources.clone();
                resources.add(&other);
                resources.add(&Resources::from_scalars(&[("cpus", i64::MAX)]));
                prop_assert!(resources.subtract(&other));
                prop_assert!(resources.scalar("cpus") >= 0);
                prop_assert!(other.ranges("ports").count() >= 1);
            }
        }
    }
}
