//! Quotas and weights: each refusal with the text of an unmodified master.

use proto::ext::resource::{ranges, scalar};
use proto::v1::value::Scalar;
use proto::v1::{WeightInfo, quota};

use super::super::Config;
use super::super::quota::{set_quota, update_quota, update_weights};

fn config(role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> quota::QuotaConfig {
    let map = |amounts: &[(&str, f64)]| {
        let amount = |&(name, value): &(&str, f64)| (name.to_owned(), Scalar { value });
        amounts.iter().map(amount).collect()
    };
    quota::QuotaConfig {
        role: role.to_owned(),
        guarantees: map(guarantees),
        limits: map(limits),
    }
}

fn refused(config: quota::QuotaConfig) -> String {
    update_quota(&[config], true, &Config::default()).unwrap_err()
}

#[test]
fn each_wrong_quota_has_the_text_of_mesos() {
    for (config, text) in [
        (
            config("a/b", &[], &[]),
            "Updating quota on nested role 'a/b' is not supported yet",
        ),
        (
            config("a b", &[], &[]),
            "Invalid QuotaConfig: Invalid 'QuotaConfig.role': Role component 'a b' is invalid because it contains \
             backspace or whitespace",
        ),
        (
            config("a", &[], &[("cpus", -1.0)]),
            "Invalid QuotaConfig: Invalid limit configuration {'cpus': -1}: Negative values not supported",
        ),
        (
            config("a", &[("mem", -0.000_1)], &[]),
            "Invalid QuotaConfig: Invalid guarantee configuration {'mem': -0.001}: Negative values not supported",
        ),
        (
            config("a", &[], &[("cpus", 1e13)]),
            "Invalid QuotaConfig: Invalid 'QuotaConfig.limits': {'cpus': 10000000000000} is invalid: values greater than 1 \
             trillion (1000000000000) are not supported",
        ),
        (
            config("a", &[("cpus", f64::INFINITY)], &[]),
            "Invalid QuotaConfig: Invalid 'QuotaConfig.guarantees': {'cpus': -9.22337203685478e+15} is invalid: values \
             greater than 1 trillion (1000000000000) are not supported",
        ),
        (
            config("a", &[], &[("disk", 2e12)]),
            "Invalid QuotaConfig: Invalid 'QuotaConfig.limits': {'disk': 2000000000000} is invalid: values greater than 1 \
             exabyte (1099511627776) are not supported",
        ),
        (
            config("a", &[("cpus", 2.0)], &[("cpus", 1.0)]),
            "Invalid QuotaConfig: 'QuotaConfig.guarantees' { cpus: 2 } is not contained within the 'QuotaConfig.limits' { \
             cpus: 1 }",
        ),
    ] {
        assert_eq!(refused(config), text);
    }
    for odd in [f64::NAN, f64::NEG_INFINITY] {
        assert!(
            refused(config("a", &[], &[("cpus", odd)])).starts_with("Invalid QuotaConfig: "),
            "{odd}"
        );
    }
}

#[test]
fn a_quota_keeps_limits_of_nothing_and_drops_guarantees_of_nothing() {
    let wire = [config("*", &[("cpus", 0.0), ("mem", 1.5)], &[("gpus", 0.0)])];
    let command = update_quota(&wire, false, &Config::default()).unwrap();
    assert_eq!(command.quotas[0].guarantees, [("mem".into(), 1_500)].into());
    assert_eq!(command.quotas[0].limits, [("gpus".into(), 0)].into());
    let only_listed = Config {
        roles: Some(["web".to_owned()].into()),
        ..Config::default()
    };
    assert!(update_quota(&wire, false, &only_listed).is_ok());
    let text = update_quota(&[config("db", &[], &[])], false, &only_listed).unwrap_err();
    assert_eq!(text, "Invalid QuotaConfig: Unknown role 'db'");
}

#[test]
fn the_older_request_is_refused_with_the_text_of_mesos() {
    let request = |role: &str, guarantee| quota::QuotaRequest {
        role: Some(role.to_owned()),
        guarantee,
        force: None,
    };
    let reserved = proto::v1::Resource {
        reservations: vec![proto::v1::resource::ReservationInfo {
            role: Some("a".to_owned()),
            r#type: Some(proto::v1::resource::reservation_info::Type::Dynamic as i32),
            ..Default::default()
        }],
        ..scalar("cpus", 1.0)
    };
    for (request, text) in [
        (
            quota::QuotaRequest::default(),
            "QuotaInfo with invalid role: Role names cannot be the empty string",
        ),
        (request("a", vec![]), "QuotaInfo with empty 'guarantee'"),
        (
            request("a", vec![ranges("ports", &[(1, 2)])]),
            "QuotaInfo must not include non-scalar resources",
        ),
        (
            request("a", vec![reserved]),
            "QuotaInfo must not contain any ReservationInfo",
        ),
        (
            request("a", vec![scalar("cpus", 1.0), scalar("cpus", 2.0)]),
            "QuotaInfo contains duplicate resource name 'cpus'",
        ),
        (
            request("a/b", vec![scalar("cpus", 1.0)]),
            "Setting quota on nested role 'a/b' is not supported yet",
        ),
    ] {
        assert_eq!(set_quota(&request, &Config::default()).unwrap_err(), text);
    }
    let command = set_quota(&request("a", vec![scalar("cpus", 2.0)]), &Config::default()).unwrap();
    assert_eq!(command.quota.guarantees, command.quota.limits);
    assert!(!command.force);
}

#[test]
fn weights_are_positive_and_their_roles_valid() {
    let weight = |role: Option<&str>, weight| WeightInfo {
        role: role.map(str::to_owned),
        weight,
    };
    let refused = |wire| update_weights(&[wire], &Config::default()).unwrap_err();
    assert_eq!(
        refused(weight(Some("a"), 0.0)),
        "Failed to validate update weights request JSON for role 'a': Invalid weight '0': Weights must be positive"
    );
    assert_eq!(
        refused(weight(Some("a//b"), 1.0)),
        "Failed to validate update weights request JSON: Invalid role 'a//b': Role 'a//b' cannot contain two adjacent \
         slashes"
    );
    assert_eq!(
        refused(weight(None, 1.0)),
        "Failed to validate update weights request JSON: Invalid role '': Role names cannot be the empty string"
    );
    for odd in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(
            refused(weight(Some("a"), odd)).ends_with("Weights must be positive"),
            "{odd}"
        );
    }
    let command = update_weights(&[weight(Some(" a/b "), 2.5)], &Config::default()).unwrap();
    assert_eq!((&*command.weights[0].role, command.weights[0].weight), ("a/b", 2.5));
    assert_eq!(update_weights(&[], &Config::default()).unwrap().weights, []);
}
