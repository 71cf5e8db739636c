//! The end of the demonstration: what survived.

use std::time::Duration;

use proto::v1::TaskState;

use super::{Demo, LONG_TASKS};
use crate::output::{say, table};

/// Prints the summary; `false` when anything was lost.
pub(super) fn print(demo: &Demo<'_>, same: usize) -> bool {
    let mut faults = demo.faults.clone();
    let short: Vec<_> = demo
        .framework
        .tasks()
        .values()
        .filter(|task| !task.spec.id.starts_with("long"))
        .collect();
    let finished = short
        .iter()
        .filter(|task| task.state == TaskState::TaskFinished)
        .count();
    let once = short.iter().filter(|task| task.terminal_updates == 1).count();
    if finished < short.len() || once < short.len() {
        faults.push(format!(
            "of {} short tasks {finished} finished, {once} with exactly one terminal update",
            short.len()
        ));
    }
    if same < LONG_TASKS {
        faults.push(format!(
            "only {same} of {LONG_TASKS} long tasks are the process they were at the start"
        ));
    }
    say("");
    let head = [
        "",
        "killed",
        "new leader",
        "leads",
        "subscribed",
        "reconciled",
        "new task",
        "tasks known",
        "same pid",
    ];
    let rows = demo.rounds.iter().enumerate().map(|(index, round)| {
        vec![
            (index + 1).to_string(),
            round.killed.clone(),
            round.new_leader.clone(),
            milliseconds(round.leader_after),
            milliseconds(round.subscribed_after),
            milliseconds(round.reconciled_after),
            milliseconds(round.new_task_after),
            format!("{}/{LONG_TASKS}", round.known),
            format!("{}/{LONG_TASKS}", round.same),
        ]
    });
    let head = head.map(str::to_owned).to_vec();
    for line in table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()) {
        say(&format!("  {line}"));
    }
    say("");
    say(&format!(
        "  {same} of {LONG_TASKS} long tasks ran through all of it without a restart."
    ));
    say(&format!(
        "  {finished} of {} short tasks finished, {once} of them with exactly one terminal update.",
        short.len()
    ));
    say(&format!(
        "  The framework kept its id, {}.",
        demo.framework_id.as_deref().unwrap_or("which it never got")
    ));
    say("");
    for fault in &faults {
        say(&format!("  LOST: {fault}"));
    }
    if faults.is_empty() {
        say("  Nothing was lost.");
    }
    faults.is_empty()
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
}
