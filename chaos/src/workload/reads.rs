//! Reading the master's state, at whoever leads or at one certain master, and what a history makes of the answer.

use std::collections::BTreeMap;

use client::{MasterList, Operator};
use proto::v1::master::call::Type;
use proto::v1::master::response::GetTasks;
use proto::v1::master::{Call, Response};

use super::draw::Draw;
use super::scribe::{Open, Scribe, unknown};
use crate::history::{Operation, Outcome};

/// Whom to ask: in half of all cases whoever leads (empty text), else any master.
pub(super) fn draw_master(masters: &MasterList, draw: &mut Draw) -> String {
    if draw.percent(50) {
        return String::new();
    }
    draw.pick(masters.addresses()).cloned().unwrap_or_default()
}

/// Reads several tasks with one question; each is a call of its own, all of the same time.
pub(super) async fn read_tasks(
    scribe: &Scribe,
    operator: &Operator,
    client: &str,
    at: &str,
    framework: &str,
    tasks: &[String],
) {
    let begin = |(number, task): (usize, &String)| {
        let operation = Operation::ReadTask {
            framework: framework.to_owned(),
            task: task.clone(),
            at: at.to_owned(),
        };
        // Reads that are under way at once are those of different clients.
        (
            task.clone(),
            scribe.begin(&format!("{client}/read-{number}"), operation),
        )
    };
    let open: Vec<(String, Open)> = tasks.iter().enumerate().map(begin).collect();
    let states = ask(operator, at, Type::GetTasks).await.and_then(|answer| {
        let tasks = answer.get_tasks.ok_or("an answer without tasks")?;
        Ok(states_of(framework, &tasks))
    });
    for (task, open) in open {
        let outcome = match &states {
            Ok(states) => Outcome::Ok {
                value: states.get(&task).cloned().unwrap_or_default(),
            },
            Err(reason) => unknown(reason.clone()),
        };
        scribe.end(open, outcome);
    }
}

/// Asks the leader, or first the master `at`; errors as text, since they all mean that nothing was read.
pub(super) async fn ask(operator: &Operator, at: &str, what: Type) -> Result<Response, String> {
    let call = Call {
        r#type: Some(what.into()),
        ..Call::default()
    };
    let answer = if at.is_empty() {
        operator.call(call).await
    } else {
        operator.call_at(at, call).await
    };
    answer.map_err(|error| error.to_string())
}

/// The state of every task of a framework; where a task is in several lists, the list of present tasks counts.
fn states_of(framework: &str, answer: &GetTasks) -> BTreeMap<String, String> {
    let lists = [
        &answer.completed_tasks,
        &answer.unreachable_tasks,
        &answer.orphan_tasks,
        &answer.pending_tasks,
        &answer.tasks,
    ];
    let tasks = lists.into_iter().flatten();
    tasks
        .filter(|task| task.framework_id.value == framework)
        .map(|task| (task.task_id.value.clone(), task.state().as_str_name().to_owned()))
        .collect()
}

/// The name of a framework; empty when the master knows none of this id.
pub(super) async fn framework_name(operator: &Operator, at: &str, id: &str) -> Result<String, String> {
    let answer = ask(operator, at, Type::GetFrameworks).await?;
    let frameworks = answer.get_frameworks.ok_or("an answer without frameworks")?;
    let infos = frameworks
        .frameworks
        .into_iter()
        .map(|framework| framework.framework_info);
    let found = infos
        .chain(frameworks.recovered_frameworks)
        .find(|info| info.id.as_ref().is_some_and(|found| found.value == id));
    Ok(found.map(|info| info.name).unwrap_or_default())
}
