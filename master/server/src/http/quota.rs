//! Quotas: UPDATE_QUOTA, GET_QUOTA, and the older SET_QUOTA, REMOVE_QUOTA and `/quota`.
//!
//! Statuses and texts are Mesos's. Whether a change makes sense is decided in `master_core`.

use libprocess::{HttpRequest, HttpResponse, percent};
use master_core::command::RemoveQuota;
use master_core::registry::{Amounts, Registry};
use master_core::resources::thousandths_to_f64;
use master_core::{Outcome, Rejection, validate};
use proto::ext::resource::scalar;
use proto::json::Node;
use proto::v1::master::call;
use proto::v1::quota;
use proto::v1::value::Scalar;

use super::answer::{json, parameters};
use super::service::current_state;
use super::settings::change;
use crate::actor::Context;
use crate::leadership::reply::Answer;

/// Methods of `/quota`, in the order in which a refusal names them.
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];

/// All quotas, in both forms: what a role is guaranteed alone, and with its limits.
pub(super) fn status(registry: &Registry) -> quota::QuotaStatus {
    let mut status = quota::QuotaStatus::default();
    for quota in registry.quotas() {
        let guarantees = quota.guarantees.iter();
        #[allow(deprecated)] // Older tools read nothing else.
        status.infos.push(quota::QuotaInfo {
            role: Some(quota.role.to_string()),
            guarantee: guarantees
                .map(|(name, amount)| scalar(name, thousandths_to_f64(*amount)))
                .collect(),
            ..quota::QuotaInfo::default()
        });
        status.configs.push(quota::QuotaConfig {
            role: quota.role.to_string(),
            guarantees: scalars(&quota.guarantees),
            limits: scalars(&quota.limits),
        });
    }
    status
}

fn scalars(amounts: &Amounts) -> std::collections::BTreeMap<String, Scalar> {
    let scalar = |(name, amount): (&std::sync::Arc<str>, &i64)| {
        let value = thousandths_to_f64(*amount);
        (name.to_string(), Scalar { value })
    };
    amounts.iter().map(scalar).collect()
}

/// UPDATE_QUOTA.
pub(super) async fn update(context: &Context, update: call::UpdateQuota) -> Answer {
    let force = update.force.unwrap_or(false);
    match validate::update_quota(&update.quota_configs, force, &context.validation) {
        Ok(command) => change(context, command, update_answer).await,
        Err(problem) => HttpResponse::text(400, problem).into(),
    }
}

fn update_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::Rejected(rejection @ Rejection::NestedQuota(_)) => HttpResponse::text(400, rejection.to_string()),
        Outcome::Rejected(rejection) => HttpResponse::text(400, format!("Invalid QuotaConfig: {rejection}")),
        _ => HttpResponse::new(200),
    }
}

/// SET_QUOTA.
pub(super) async fn set(context: &Context, request: &quota::QuotaRequest) -> Answer {
    match validate::set_quota(request, &context.validation) {
        Ok(command) => change(context, command, set_answer).await,
        Err(problem) => HttpResponse::text(400, format!("Failed to validate set quota request: {problem}")).into(),
    }
}

fn set_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::Rejected(Rejection::QuotaOvercommits { guarantees, capacity }) => HttpResponse::text(
            409,
            format!(
                "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees \
                 '{guarantees}' exceed cluster capacity '{capacity}'"
            ),
        ),
        Outcome::Rejected(rejection) => {
            HttpResponse::text(400, format!("Failed to validate set quota request: {rejection}"))
        }
        _ => HttpResponse::new(200),
    }
}

/// REMOVE_QUOTA.
pub(super) async fn remove(context: &Context, role: &str) -> Answer {
    change(context, RemoveQuota { role: role.into() }, remove_answer).await
}

fn remove_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::Rejected(rejection) => HttpResponse::text(400, format!("Failed to remove quota: {rejection}")),
        _ => HttpResponse::new(200),
    }
}

/// `/quota`; `path` is that of the request with the actor in front.
pub(super) async fn endpoint(context: &Context, path: &str, request: HttpRequest) -> Answer {
    match request.method {
        "GET" => match current_state(context).await {
            Ok(state) => json(&parameters(&request), &status(&state.registry)).into(),
            Err(answer) => answer,
        },
        "POST" => match quota_request(&request.body) {
            Ok(wanted) => set(context, &wanted).await,
            Err(problem) => HttpResponse::text(400, problem).into(),
        },
        "DELETE" => match role_in(path) {
            Ok(role) => change(context, RemoveQuota { role: role.into() }, delete_answer).await,
            Err(problem) => HttpResponse::text(400, problem).into(),
        },
        other => HttpResponse::method_not_allowed(&METHODS, other).into(),
    }
}

fn quota_request(body: &[u8]) -> Result<quota::QuotaRequest, String> {
    let text = String::from_utf8_lossy(body);
    let unparsable = |why: String| format!("Failed to parse set quota request JSON '{text}': {why}");
    let node = proto::json::parse(body).map_err(|error| unparsable(error.to_string()))?;
    if !matches!(node, Node::Object(_)) {
        return Err(unparsable("Unexpected JSON type parsed".to_owned()));
    }
    proto::json::from_node(&node).map_err(|why| format!("Failed to validate set quota request JSON '{text}': {why}"))
}

/// The role in `/master/quota/<role>`.
fn role_in(path: &str) -> Result<String, String> {
    let tokens: Vec<&str> = path.split('/').filter(|token| !token.is_empty()).collect();
    if let [_, _, role] = tokens[..] {
        return percent::decode(role).map_err(|error| error.to_string());
    }
    let count = tokens.len();
    Err(format!(
        "Failed to parse remove quota request for path '{}': expected 3 tokens, found {count} tokens",
        path.trim_end_matches('/')
    ))
}

fn delete_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::Rejected(rejection @ Rejection::NoQuota(role)) => HttpResponse::text(
            400,
            format!("Failed to remove quota for path '/master/quota/{role}': {rejection}"),
        ),
        other => remove_answer(other),
    }
}

#[cfg(test)]
mod tests {
    use libprocess::Body;

    use super::*;

    fn answered(response: HttpResponse) -> (u16, String) {
        match response.body {
            Body::Full(body) => (response.status, String::from_utf8_lossy(&body).into_owned()),
            Body::Empty => (response.status, String::new()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_refusal_has_the_status_and_text_of_mesos() {
        let overcommits = || {
            Outcome::Rejected(Rejection::QuotaOvercommits {
                guarantees: "cpus:4000".to_owned(),
                capacity: "cpus:4; disk:10000; mem:4096".to_owned(),
            })
        };
        let no_quota = || Outcome::Rejected(Rejection::NoQuota("nope".into()));
        for (answering, outcome, status, text) in [
            (
                update_answer as fn(&Outcome) -> HttpResponse,
                overcommits(),
                400,
                "Invalid QuotaConfig: total quota guarantees 'cpus:4000' exceed cluster capacity 'cpus:4; disk:10000; \
                 mem:4096' (use 'force' flag to bypass this check)",
            ),
            (
                set_answer,
                overcommits(),
                409,
                "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees \
                 'cpus:4000' exceed cluster capacity 'cpus:4; disk:10000; mem:4096'",
            ),
            (
                set_answer,
                Outcome::Rejected(Rejection::QuotaExists("sq".into())),
                400,
                "Failed to validate set quota request: Cannot set quota for role 'sq' which already has quota",
            ),
            (
                delete_answer,
                no_quota(),
                400,
                "Failed to remove quota for path '/master/quota/nope': Role 'nope' has no quota set",
            ),
            (
                remove_answer,
                no_quota(),
                400,
                "Failed to remove quota: Role 'nope' has no quota set",
            ),
            (
                update_answer,
                Outcome::Rejected(Rejection::NestedQuota("a/b".into())),
                400,
                "Updating quota on nested role 'a/b' is not supported yet",
            ),
        ] {
            assert_eq!(answered(answering(&outcome)), (status, text.to_owned()));
        }
        let updated = Outcome::QuotaUpdated { roles: Vec::new() };
        for answering in [update_answer, set_answer, remove_answer, delete_answer] {
            assert_eq!(answered(answering(&updated)).0, 200);
        }
    }

    #[test]
    fn a_quota_is_shown_in_both_forms() {
        let registry = crate::http::tests::cluster::registry();
        assert_eq!(
            String::from_utf8_lossy(&proto::json::to_vec(&status(&registry))),
            concat!(
                r#"{"infos":[{"role":"web","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}}]}],"#,
                r#""configs":[{"role":"web","guarantees":{"cpus":{"value":0.5}},"#,
                r#""limits":{"cpus":{"value":3.0},"gpus":{"value":0.0}}}]}"#
            )
        );
        assert_eq!(proto::json::to_vec(&status(&Registry::default())), b"{}");
    }

    #[test]
    fn the_body_of_a_request_is_an_object() {
        let refused = |body: &str| quota_request(body.as_bytes()).unwrap_err();
        assert_eq!(
            refused("{"),
            "Failed to parse set quota request JSON '{': syntax error at line 1 near: "
        );
        assert_eq!(
            refused("[]"),
            "Failed to parse set quota request JSON '[]': Unexpected JSON type parsed"
        );
        let request = quota_request(
            br#"{"role":"web","force":true,"guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5}}]}"#,
        );
        let request = request.unwrap();
        assert_eq!((request.role.as_deref(), request.force), (Some("web"), Some(true)));
        assert_eq!(request.guarantee.len(), 1);
    }

    #[test]
    fn the_role_to_remove_is_the_last_part_of_the_path() {
        assert_eq!(role_in("/master/quota/web%2Da"), Ok("web-a".to_owned()));
        assert_eq!(
            role_in("/master/quota").unwrap_err(),
            "Failed to parse remove quota request for path '/master/quota': expected 3 tokens, found 2 tokens"
        );
        assert_eq!(role_in("/master/quota/"), role_in("/master/quota"));
        assert!(role_in("/master/quota/a/b").unwrap_err().ends_with("found 4 tokens"));
    }
}
