//! The event log that `frameworks/durable.py` writes, and what can be concluded from it.
//!
//! Shapes: one JSON object per line, in the order in which the framework saw things; the kinds of events are listed in
//! the framework's own documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::processes;

/// The states after which nothing more comes.
const TERMINAL: [&str; 8] = [
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
];

/// The reasons of updates that repeat a state: answers to reconciliation, and news of tasks whose agent came back.
const REPEATS: [&str; 2] = ["REASON_RECONCILIATION", "REASON_AGENT_REREGISTERED"];

/// Everything the framework has written down so far.
pub struct Journal {
    records: Vec<Value>,
}

impl Journal {
    /// Reads the file; a line that is still being written is left out.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = complete
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an event: {line}")))
            .collect::<Result<_>>()?;
        Ok(Self { records })
    }

    /// Number of events; also the position behind the last one.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The events of a kind at or after `position`, with their own positions.
    pub fn events<'a>(&'a self, kind: &'a str, position: usize) -> impl Iterator<Item = (usize, &'a Value)> + 'a {
        self.records
            .iter()
            .enumerate()
            .skip(position)
            .filter(move |(_, record)| record["event"] == kind)
    }

    /// Every framework id that the framework was ever given.
    pub fn framework_ids(&self) -> BTreeSet<String> {
        self.events("subscribed", 0)
            .map(|(_, record)| text(record, "framework_id"))
            .collect()
    }

    /// Every task that the framework tried to launch whose id begins with `prefix`.
    pub fn launched(&self, prefix: &str) -> BTreeSet<String> {
        self.events("launch", 0)
            .flat_map(|(_, record)| texts(record, "task_ids"))
            .filter(|task| task.starts_with(prefix))
            .collect()
    }

    /// The tasks of the calls that the master answered with 202.
    pub fn accepted(&self) -> BTreeSet<String> {
        self.events("launched", 0)
            .filter(|(_, record)| record["accepted"] == true)
            .flat_map(|(_, record)| texts(record, "task_ids"))
            .collect()
    }

    /// The latest state of each task that was ever heard of.
    pub fn states(&self) -> BTreeMap<String, String> {
        self.events("update", 0)
            .map(|(_, record)| (text(record, "task_id"), text(record, "state")))
            .collect()
    }

    /// The long tasks whose latest state is TASK_RUNNING.
    pub fn running_long(&self) -> BTreeSet<String> {
        self.states()
            .into_iter()
            .filter(|(task, state)| task.starts_with("long-") && state == "TASK_RUNNING")
            .map(|(task, _)| task)
            .collect()
    }

    /// The short tasks that ended with an acknowledged TASK_FINISHED.
    pub fn finished_short(&self) -> BTreeSet<String> {
        self.events("ack", 0)
            .filter(|(_, record)| record["state"] == "TASK_FINISHED" && record["accepted"] == true)
            .map(|(_, record)| text(record, "task_id"))
            .collect()
    }

    /// The states that reconciliation named, per task, in events at or after `position`.
    pub fn reconciled(&self, position: usize) -> BTreeMap<String, String> {
        self.events("update", position)
            .filter(|(_, record)| record["reason"] == "REASON_RECONCILIATION")
            .map(|(_, record)| (text(record, "task_id"), text(record, "state")))
            .collect()
    }

    /// Short tasks of which the end is still to come: launched by an accepted call, not over yet.
    pub fn open_short(&self) -> BTreeSet<String> {
        let over: BTreeSet<String> = self.outcomes().into_keys().collect();
        self.launched("short-").difference(&over).cloned().collect()
    }

    /// How each task ended, for those that did: the state and uuid of every distinct end.
    ///
    /// An end is a terminal update that had to be acknowledged and was, or one that the master made itself without a
    /// uuid (invalid offers, unknown tasks). An acknowledgement whose answer was lost counts as soon as the task is
    /// unknown to the master. Updates that only repeat a state (reconciliation, a returned agent) are no ends.
    pub fn outcomes(&self) -> BTreeMap<String, BTreeSet<(String, String)>> {
        let mut outcomes: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        let mut in_doubt: BTreeMap<String, (String, String)> = BTreeMap::new();
        for record in &self.records {
            let task = text(record, "task_id");
            let state = text(record, "state");
            let terminal = TERMINAL.contains(&state.as_str());
            match record["event"].as_str() {
                Some("update") => {
                    let repeats = record["reason"]
                        .as_str()
                        .is_some_and(|reason| REPEATS.contains(&reason));
                    if state == "TASK_UNKNOWN" && repeats && !outcomes.contains_key(&task) {
                        let end = in_doubt.remove(&task).unwrap_or((state, "none".to_owned()));
                        outcomes.entry(task).or_default().insert(end);
                    } else if terminal && record["uuid"].is_null() && !repeats {
                        outcomes.entry(task).or_default().insert((state, "none".to_owned()));
                    } else if terminal && !record["uuid"].is_null() {
                        in_doubt.insert(task, (state, text(record, "uuid")));
                    }
                }
                Some("ack") if terminal && record["accepted"] == true => {
                    in_doubt.remove(&task);
                    outcomes.entry(task).or_default().insert((state, text(record, "uuid")));
                }
                _ => {}
            }
        }
        outcomes
    }

    /// Checks that the framework met nothing it must never meet: its driver died, or the master refused it.
    pub fn check_no_error(&self) -> Result<()> {
        if let Some((_, record)) = self.events("error", 0).next() {
            bail!("the framework met an error: {record}");
        }
        Ok(())
    }

    /// Checks that every short task has ended, each exactly once, and that none that was accepted was lost.
    ///
    /// `pids` is the folder in which each start of a task leaves a file. Where agents were killed (`agents_died`), a
    /// task may have failed that was not yet started.
    pub fn check_short_tasks(&self, pids: &Path, agents_died: bool) -> Result<()> {
        let outcomes = self.outcomes();
        let accepted = self.accepted();
        for task in self.launched("short-") {
            let ends = outcomes.get(&task).with_context(|| format!("{task} has not ended"))?;
            ensure!(ends.len() == 1, "{task} ended more than once: {ends:?}");
            let (state, _) = ends.iter().next().context("an outcome without an end")?;
            let starts = starts(pids, &task)?;
            match state.as_str() {
                "TASK_FINISHED" => ensure!(
                    starts.len() == 1,
                    "{task} finished but was started {} times",
                    starts.len()
                ),
                "TASK_FAILED" if agents_died => ensure!(starts.is_empty(), "{task} failed after it was started"),
                // The offer had gone with the old leader, and the task never ran.
                "TASK_DROPPED" | "TASK_LOST" | "TASK_UNKNOWN" => {
                    ensure!(starts.is_empty(), "{task} is {state} but was started");
                    ensure!(
                        state != "TASK_UNKNOWN" || !accepted.contains(&task),
                        "the launch of {task} was accepted, then the task was unknown"
                    );
                }
                other => bail!("{task} ended as {other}"),
            }
        }
        Ok(())
    }

    /// Checks that every long task was started exactly once and that this very process still runs.
    pub fn check_long_tasks(&self, pids: &Path) -> Result<()> {
        for task in self.running_long() {
            let starts = starts(pids, &task)?;
            ensure!(
                starts.len() == 1,
                "{task} was started {} times: {starts:?}",
                starts.len()
            );
            ensure!(
                processes::is_alive(starts[0]),
                "process {} of {task} has ended",
                starts[0]
            );
        }
        Ok(())
    }
}

/// The process ids that the starts of the task left in the folder.
pub fn starts(pids: &Path, task: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(pids).with_context(|| format!("cannot list {}", pids.display()))? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(pid) = name.strip_prefix(task).and_then(|rest| rest.strip_prefix('.')) {
            found.push(pid.parse().with_context(|| format!("not a process id: {name}"))?);
        }
    }
    Ok(found)
}

fn text(record: &Value, key: &str) -> String {
    record[key].as_str().unwrap_or_default().to_owned()
}

fn texts(record: &Value, key: &str) -> Vec<String> {
    let list = record[key].as_array().into_iter().flatten();
    list.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(lines: &str) -> Journal {
        Journal {
            records: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        }
    }

    #[test]
    fn an_update_sent_twice_is_one_end() {
        let journal = journal(
            r#"{"event":"ack","task_id":"short-1","state":"TASK_FINISHED","uuid":"a","accepted":false}
{"event":"ack","task_id":"short-1","state":"TASK_FINISHED","uuid":"a","accepted":true}
{"event":"ack","task_id":"short-1","state":"TASK_FINISHED","uuid":"a","accepted":true}
{"event":"update","task_id":"short-1","state":"TASK_UNKNOWN","reason":"REASON_RECONCILIATION","uuid":null}"#,
        );
        assert_eq!(journal.outcomes()["short-1"].len(), 1);
    }

    #[test]
    fn two_different_terminal_updates_are_two_ends() {
        let journal = journal(
            r#"{"event":"ack","task_id":"short-1","state":"TASK_FINISHED","uuid":"a","accepted":true}
{"event":"update","task_id":"short-1","state":"TASK_LOST","reason":"REASON_AGENT_REMOVED","uuid":null}"#,
        );
        assert_eq!(journal.outcomes()["short-1"].len(), 2);
    }

    #[test]
    fn a_task_that_is_unknown_after_a_lost_acknowledgement_has_ended_as_it_said() {
        let journal = journal(
            r#"{"event":"update","task_id":"short-1","state":"TASK_FINISHED","uuid":"a"}
{"event":"ack","task_id":"short-1","state":"TASK_FINISHED","uuid":"a","accepted":false}
{"event":"update","task_id":"short-1","state":"TASK_UNKNOWN","reason":"REASON_RECONCILIATION","uuid":null}"#,
        );
        let end = ("TASK_FINISHED".to_owned(), "a".to_owned());
        assert_eq!(journal.outcomes()["short-1"], BTreeSet::from([end]));
    }

    #[test]
    fn a_repeated_state_is_no_end() {
        let journal = journal(
            r#"{"event":"update","task_id":"short-1","state":"TASK_FINISHED","reason":"REASON_RECONCILIATION","uuid":null}"#,
        );
        assert!(journal.outcomes().is_empty());
    }
}
