//! `/tasks`: all tasks, newest first, a page of them at a time.

use master_core::registry::Task;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::list::List;
use super::task::TaskJson;
use crate::http::answer::Parameters;
use crate::http::view::{TasksOf, framework_ids};
use crate::leadership::SoftState;

/// Tasks of one answer when no limit is given.
const DEFAULT_LIMIT: usize = 100;

/// The body of `/tasks`.
pub(super) struct Tasks<'a>(Vec<&'a Task>);

impl<'a> Tasks<'a> {
    /// Picks by `framework_id` and `task_id`, orders by the time of the first status, cuts by `offset` and `limit`.
    pub(super) fn new(state: &'a SoftState, parameters: &Parameters) -> Tasks<'a> {
        let wanted = |name: &str, id: &str| parameters.get(name).is_none_or(|value| value == id);
        let mut timed: Vec<(Option<f64>, &Task)> = framework_ids(state)
            .filter(|id| wanted("framework_id", id.as_str()))
            .flat_map(|id| TasksOf::new(state, id).all())
            .filter(|task| wanted("task_id", task.id.as_str()))
            .map(|task| (task.statuses().first().and_then(|status| status.timestamp), task))
            .collect();
        // Stable, and a task without a status is older than any.
        let ascending = parameters.get("order").is_some_and(|order| order == "asc");
        let key = |time: &Option<f64>| time.unwrap_or(f64::NEG_INFINITY);
        timed.sort_by(|(a, _), (b, _)| {
            let order = key(a).total_cmp(&key(b));
            if ascending { order } else { order.reverse() }
        });
        let page =
            timed
                .into_iter()
                .skip(number(parameters, "offset", 0))
                .take(number(parameters, "limit", DEFAULT_LIMIT));
        Tasks(page.map(|(_, task)| task).collect())
    }
}

/// A negative number counts as endless, as in Mesos; what is no number as the default.
fn number(parameters: &Parameters, name: &str, default: usize) -> usize {
    match parameters.get(name).map(|text| text.parse::<i64>()) {
        Some(Ok(number)) => usize::try_from(number).unwrap_or(usize::MAX),
        Some(Err(_)) | None => default,
    }
}

impl Serialize for Tasks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tasks", &List(|| self.0.iter().map(|task| TaskJson(task))))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_limits_and_offsets_are_no_errors() {
        let parsed = |value: &str| number(&Parameters::from([("n".to_owned(), value.to_owned())]), "n", 100);
        assert_eq!(parsed("7"), 7);
        assert_eq!(parsed("0"), 0);
        assert_eq!(parsed("-1"), usize::MAX);
        for odd in ["x", "1.5", "", "99999999999999999999"] {
            assert_eq!(parsed(odd), 100, "{odd}");
        }
    }
}
