//! SUBSCRIBE, UPDATE_FRAMEWORK, REVIVE and SUPPRESS.

use super::*;
use proto::v1::scheduler::call;

fn subscribe_call(info: &str, rest: &str) -> call::Subscribe {
    let info_separator = if info.is_empty() { "" } else { "," };
    let rest_separator = if rest.is_empty() { "" } else { "," };
    json(&format!(
        r#"{{"framework_info":{{{FRAMEWORK}{info_separator}{info}}}{rest_separator}{rest}}}"#
    ))
}

#[track_caller]
fn refused(config: &Config, info: &str, rest: &str, text: &str) {
    let fixture = Fixture::new();
    let result = subscribe(&fixture.registry, &subscribe_call(info, rest), config);
    assert_eq!(result, Err(text.to_owned()), "{info} {rest}");
}

#[test]
fn subscriptions_that_mesos_accepts_are_accepted() {
    let fixture = Fixture::new();
    let rows = [
        ("", ""),
        (r#""id":{"value":""}"#, ""),
        (r#""id":{"value":"f"}"#, ""),
        (r#""id":{"value":"f"},"user":"other","checkpoint":false,"name":"x""#, ""),
        (r#""id":{"value":"unknown é x"}"#, ""),
        (r#""failover_timeout":-1"#, ""),
        (r#""roles":[]"#, ""),
        (r#""roles":["a/b"]"#, r#""suppressed_roles":["a/b"]"#),
        (r#""capabilities":[],"roles":[],"role":"web""#, ""),
        (r#""capabilities":[],"roles":[]"#, ""),
        (
            r#""offer_filters":{"zz":{"min_allocatable_resources":{"quantities":[{"quantities":{"cpus":{"value":0}}}]}}}"#,
            "",
        ),
    ];
    for (info, rest) in rows {
        let call = subscribe_call(info, rest);
        assert_eq!(
            subscribe(&fixture.registry, &call, &Config::default()),
            Ok(()),
            "{info} {rest}"
        );
    }
}

#[test]
fn subscriptions_are_refused_with_the_texts_of_mesos() {
    let long = format!(r#""id":{{"value":"{}"}}"#, "x".repeat(256));
    let rows = [
        (r#""id":{"value":"a/b"}"#, "'a/b' contains invalid characters"),
        (r#""id":{"value":".."}"#, "'..' is disallowed"),
        (&long, "ID must not be greater than 255 characters"),
        (
            r#""id":{"value":"f"},"principal":"zz""#,
            "Changing framework's principal is not allowed.",
        ),
        (
            r#""id":{"value":"f"},"principal":null"#,
            "Changing framework's principal is not allowed.",
        ),
        (
            r#""role":"a""#,
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ),
        (
            r#""capabilities":[]"#,
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
        ),
        (
            r#""roles":["a","b","a"]"#,
            "'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
        (
            r#""failover_timeout":1e30"#,
            "The framework failover_timeout (1e+30) is invalid",
        ),
        (
            r#""failover_timeout":"Infinity""#,
            "The framework failover_timeout (inf) is invalid",
        ),
        (
            r#""offer_filters":{"*":{"min_allocatable_resources":{"quantities":[{}]}}}"#,
            "Resource quantities must contain at least one quantity",
        ),
        (
            r#""offer_filters":{"*":{"min_allocatable_resources":{"quantities":[{"quantities":{"cpus":{"value":-1}}}]}}}"#,
            "Invalid resource quantity for 'cpus': Negative values not supported",
        ),
    ];
    rows.into_iter()
        .for_each(|(info, text)| refused(&Config::default(), info, "", text));
    let suppressed = "Suppressed roles { zz } are not contained in the set of roles";
    refused(&Config::default(), "", r#""suppressed_roles":["zz","web"]"#, suppressed);
}

#[test]
fn role_names_are_refused_with_the_texts_of_mesos() {
    let rows = [
        ("/a", "Role '/a' cannot start with a slash"),
        ("a/", "Role 'a/' cannot end with a slash"),
        ("a//b", "Role 'a//b' cannot contain two adjacent slashes"),
        (".", "Role '.' cannot include '.' as a component"),
        ("a/..", "Role 'a/..' cannot include '..' as a component"),
        ("a/*", "Role 'a/*' cannot include '*' as a component"),
        ("-a", "Role component '-a' is invalid because it starts with a dash"),
        (
            "a b",
            "Role component 'a b' is invalid because it contains backspace or whitespace",
        ),
        ("", "Role names cannot be the empty string"),
    ];
    for (role, text) in rows {
        let many = format!(r#""roles":["{role}"]"#);
        refused(
            &Config::default(),
            &many,
            "",
            &format!("'FrameworkInfo.roles' contains invalid role: {text}"),
        );
        let one = format!(r#""capabilities":[],"roles":[],"role":"{role}""#);
        refused(
            &Config::default(),
            &one,
            "",
            &format!("'FrameworkInfo.role' is not a valid role: {text}"),
        );
    }
    let fixture = Fixture::new();
    let control = subscribe_call(r#""roles":["\u0001"]"#, "");
    assert_eq!(subscribe(&fixture.registry, &control, &Config::default()), Ok(()));
}

#[test]
fn the_operator_limits_users_and_roles() {
    let config = Config {
        roles: Some(["a".to_owned()].into()),
        root_submissions: false,
    };
    let root = "User 'root' is not allowed to run frameworks without --root_submissions set";
    refused(&config, r#""user":"root","roles":["a"]"#, "", root);
    refused(
        &config,
        r#""roles":["*","d","a","c"]"#,
        "",
        "Roles { c, d } are not present in the master's --roles",
    );
}

#[test]
fn removed_frameworks_stay_away() {
    let mut fixture = Fixture::new();
    let removal = crate::command::RemoveFramework {
        framework_id: fixture.framework.clone(),
        reason: crate::command::FrameworkRemoval::Teardown,
    };
    fixture.apply(CommandKind::RemoveFramework(removal));
    let call = subscribe_call(r#""id":{"value":"f"}"#, "");
    let result = subscribe(&fixture.registry, &call, &Config::default());
    assert_eq!(result, Err("Framework has been removed".to_owned()));
}

#[test]
fn offer_constraints_are_refused_with_the_texts_of_mesos() {
    let invalid = |text: &str| format!("Offer constraints are not valid: {text}");
    let attribute = |text: &str| invalid(&format!("A role * has an invalid 'AttributeConstraint': {text}"));
    let group = |constraint: &str| format!(r#"{{"*":{{"groups":[{{"attribute_constraints":[{constraint}]}}]}}}}"#);
    let regex = |pattern: &str| {
        group(&format!(
            r#"{{"selector":{{"attribute_name":"a"}},"predicate":{{"text_matches":{{"regex":"{pattern}"}}}}}}"#
        ))
    };
    let rows = [
        (
            r#"{"zz":{"groups":[]}}"#.to_owned(),
            "Offer constraints specify `role_constraints` for a role 'zz'not contained in the set of roles".to_owned(),
        ),
        (
            r#"{"*":{}}"#.to_owned(),
            invalid("'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role *"),
        ),
        (
            r#"{"*":{"groups":[{}]}}"#.to_owned(),
            invalid("'OfferConstraints::RoleConstraints::groups' for role *contains an empty RoleConstraints::Group"),
        ),
        (
            regex("("),
            attribute("Failed to construct regex from pattern '(': missing ): ("),
        ),
        (
            group(r#"{"selector":{},"predicate":{"exists":{}}}"#),
            attribute(
                "Exactly one of 'AttributeConstraint::Selector::name' or \
                 'AttributeConstraint::Selector::pseudoattribute_type' must be set",
            ),
        ),
    ];
    for (constraints, text) in rows {
        let rest = format!(r#""offer_constraints":{{"role_constraints":{constraints}}}"#);
        refused(&Config::default(), "", &rest, &text);
    }
    let fixture = Fixture::new();
    for pattern in ["a(b|c)*", "[(]", "\\\\(", "[^])]x", "[[:alpha:]]+", "\\\\Q(\\\\E"] {
        let rest = format!(r#""offer_constraints":{{"role_constraints":{}}}"#, regex(pattern));
        let call = subscribe_call("", &rest);
        assert_eq!(
            subscribe(&fixture.registry, &call, &Config::default()),
            Ok(()),
            "{pattern}"
        );
    }
}

#[test]
fn updates_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let update = |info: &str, rest: &str| {
        let info_separator = if info.is_empty() { "" } else { "," };
        let rest_separator = if rest.is_empty() { "" } else { "," };
        let text = format!(
            r#"{{"framework_info":{{"id":{{"value":"f"}},{FRAMEWORK}{info_separator}{info}}}{rest_separator}{rest}}}"#
        );
        update_framework(&fixture.registry, &json(&text), &Config::default())
    };
    assert_eq!(update("", ""), Ok(()));
    assert_eq!(update(r#""roles":["other"],"name":"x""#, ""), Ok(()));
    let rows = [
        (
            r#""roles":["a","a"]"#,
            "",
            "Supplied FrameworkInfo is not valid: 'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
        (
            r#""user":"nobody""#,
            "",
            "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'u' to \
             'nobody'",
        ),
        (
            r#""checkpoint":false"#,
            "",
            "FrameworkInfo update is not valid: Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from \
             'true' to 'false'",
        ),
        (
            r#""principal":"zz""#,
            "",
            "FrameworkInfo update is not valid: Changing framework's principal is not allowed.",
        ),
        (
            "",
            r#""suppressed_roles":["zz"]"#,
            "'UpdateFramework' call is not valid: Suppressed roles { zz } are not contained in the set of roles",
        ),
        (
            "",
            r#""offer_constraints":{"role_constraints":{"*":{}}}"#,
            "'UpdateFramework' call is not valid: Offer constraints are not valid: 'OfferConstraints::role_constraints' has \
             an empty 'RoleConstraints::groups' for role *",
        ),
    ];
    for (info, rest, text) in rows {
        assert_eq!(update(info, rest), Err(text.to_owned()));
    }
}

#[test]
fn only_subscribed_roles_are_revived_and_suppressed() {
    let fixture = Fixture::new();
    let framework = fixture.registry.framework(&fixture.framework).unwrap();
    let check = |roles: &[&str]| {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        subscribed_roles(framework, &roles).is_ok()
    };
    assert!(check(&[]) && check(&["web", "*"]));
    assert!(!check(&["web", "other"]) && !check(&["a//b"]));
}
