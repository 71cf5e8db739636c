//! Weights: UPDATE_WEIGHTS, GET_WEIGHTS and the older `/weights`. Statuses and texts are Mesos's.

use libprocess::{HttpRequest, HttpResponse};
use master_core::{Outcome, Registry, validate};
use proto::json::Node;
use proto::v1::WeightInfo;

use super::answer::{json, parameters};
use super::service::current_state;
use super::settings::change;
use crate::actor::Context;
use crate::leadership::reply::Answer;

/// Methods of `/weights`, in the order in which a refusal names them.
const METHODS: [&str; 2] = ["GET", "PUT"];

/// The weights that were set, in the order of their roles.
pub(super) fn weight_infos(registry: &Registry) -> Vec<WeightInfo> {
    let weights = registry.weights().map(|weight| WeightInfo {
        weight: weight.weight,
        role: Some(weight.role.to_string()),
    });
    weights.collect()
}

/// UPDATE_WEIGHTS.
pub(super) async fn update(context: &Context, weights: &[WeightInfo]) -> Answer {
    match validate::update_weights(weights, &context.validation) {
        Ok(command) => change(context, command, update_answer).await,
        Err(problem) => HttpResponse::text(400, problem).into(),
    }
}

fn update_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::Rejected(rejection) => HttpResponse::text(400, rejection.to_string()),
        _ => HttpResponse::new(200),
    }
}

/// `/weights`.
pub(super) async fn endpoint(context: &Context, request: HttpRequest) -> Answer {
    match request.method {
        "GET" => match current_state(context).await {
            Ok(state) => json(&parameters(&request), &weight_infos(&state.registry)).into(),
            Err(answer) => answer,
        },
        "PUT" => match wanted(&request.body) {
            Ok(weights) => update(context, &weights).await,
            Err(problem) => HttpResponse::text(400, problem).into(),
        },
        other => HttpResponse::method_not_allowed(&METHODS, other).into(),
    }
}

fn wanted(body: &[u8]) -> Result<Vec<WeightInfo>, String> {
    let text = String::from_utf8_lossy(body);
    let unparsable = |why: String| format!("Failed to parse update weights request JSON '{text}': {why}");
    let node = proto::json::parse(body).map_err(|error| unparsable(error.to_string()))?;
    let Node::List(items) = &node else {
        return Err(unparsable("Unexpected JSON type parsed".to_owned()));
    };
    let infos = items.iter().map(proto::json::from_node);
    let infos: Result<_, _> = infos.collect();
    infos.map_err(|why| format!("Failed to convert weights JSON array to protobuf '{text}': {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shown_as_they_were_set() {
        let weights = weight_infos(&crate::http::tests::cluster::registry());
        assert_eq!(
            serde_json::to_string(&weights).unwrap(),
            r#"[{"weight":2.5,"role":"web"}]"#
        );
    }

    #[test]
    fn the_body_of_an_update_is_a_list_of_weights() {
        for (body, text) in [
            (
                "x",
                "Failed to parse update weights request JSON 'x': syntax error at line 1 near: x",
            ),
            (
                "{}",
                "Failed to parse update weights request JSON '{}': Unexpected JSON type parsed",
            ),
            (
                r#"[{"role":"a"}]"#,
                r#"Failed to convert weights JSON array to protobuf '[{"role":"a"}]': Missing required fields: weight"#,
            ),
        ] {
            assert_eq!(wanted(body.as_bytes()).unwrap_err(), text);
        }
        let weights = wanted(br#"[{"role":"a","weight":2.5}]"#).unwrap();
        assert_eq!((weights[0].role.as_deref(), weights[0].weight), (Some("a"), 2.5));
        assert_eq!(wanted(b"[]").unwrap(), []);
    }
}
