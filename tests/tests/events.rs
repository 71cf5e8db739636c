//! The stream of operator events while tasks are launched and leaders are killed: `mesoraft events` follows it throughout and
//! must have seen every change of every task, once and in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE, binary};
use cluster_tests::framework::{BREATH, Framework};
use cluster_tests::master;
use cluster_tests::wait::{wait_for, wait_until};
use serde_json::Value;

/// Long tasks that run throughout.
const LONG: usize = 10;

/// How often the leader is killed.
const KILLS: usize = 3;

/// A running `mesoraft events -o json`.
struct Follower {
    child: Child,
    events: PathBuf,
    errors: PathBuf,
}

impl Follower {
    fn start(cluster: &Cluster, name: &str, after: Option<&str>) -> Result<Self> {
        let events = cluster.folder().join(format!("{name}.events.json"));
        let errors = cluster.folder().join(format!("{name}.errors"));
        let mut command = Command::new(binary()?);
        command.args(["events", "--output=json"]);
        command.arg(format!("--master={}", cluster.addresses()));
        command.args(after.map(|position| format!("--after={position}")));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&events)?)
            .stderr(File::create(&errors)?)
            .spawn()
            .context("cannot start mesoraft events")?;
        Ok(Follower { child, events, errors })
    }

    /// Every line it has printed; the last one may be under way.
    fn lines(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.events)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        Ok(whole.lines().map(str::to_owned).collect())
    }

    fn records(&self) -> Result<Vec<Value>> {
        let lines = self.lines()?;
        lines
            .iter()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an event: {line}")))
            .collect()
    }

    /// Waits until it has printed `count` lines of which `wanted` holds.
    fn wait_for(&self, what: &str, count: usize, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let found = wait_until(what, PATIENCE, || {
            Ok(self.records()?.iter().filter(|record| wanted(record)).count() >= count)
        });
        found.with_context(|| errors(&self.errors))
    }
}

fn errors(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("mesoraft events: {error}");
        }
    }
}

fn is_start(record: &Value) -> bool {
    record["type"] == "SUBSCRIBED" && record["subscribed"].get("get_state").is_some()
}

fn is_resumption(record: &Value) -> bool {
    record["type"] == "SUBSCRIBED" && !is_start(record)
}

fn position(record: &Value) -> Result<(u64, u64)> {
    let text = record["position"].as_str().context("an event without a position")?;
    let (index, number) = text.split_once('.').context("not a position")?;
    Ok((index.parse()?, number.parse()?))
}

/// What a stream told of one task.
#[derive(Debug, Default)]
struct Told {
    added: usize,
    /// State of each update, and the latest one known to the agent.
    updates: Vec<(String, String)>,
}

/// What was told of each task of the framework, and whether positions grew from event to event.
fn told(records: &[Value], framework_id: &str) -> Result<BTreeMap<String, Told>> {
    let mut tasks: BTreeMap<String, Told> = BTreeMap::new();
    let mut seen = (0, 0);
    for record in records.iter().filter(|record| record["type"] != "SUBSCRIBED") {
        let position = position(record)?;
        ensure!(position > seen, "an event at {position:?} came behind {seen:?}");
        seen = position;
        if record["type"] == "TASK_ADDED" && record["task_added"]["task"]["framework_id"]["value"] == framework_id {
            let task = record["task_added"]["task"]["task_id"]["value"].as_str();
            let told = tasks.entry(task.unwrap_or_default().to_owned()).or_default();
            ensure!(told.updates.is_empty(), "an update came before its task: {record}");
            told.added += 1;
        }
        let updated = &record["task_updated"];
        if record["type"] == "TASK_UPDATED" && updated["framework_id"]["value"] == framework_id {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let told = tasks.entry(text(&updated["status"]["task_id"]["value"])).or_default();
            told.updates
                .push((text(&updated["status"]["state"]), text(&updated["state"])));
        }
    }
    Ok(tasks)
}

/// The states each task went through according to the master's own record of it.
fn histories(port: u16, framework_id: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let answer = master::operator(port, "GET_TASKS")?;
    let mut histories = BTreeMap::new();
    for list in ["tasks", "completed_tasks"] {
        for task in answer[list].as_array().into_iter().flatten() {
            if task["framework_id"]["value"] != framework_id {
                continue;
            }
            let statuses = task["statuses"].as_array().into_iter().flatten();
            let states = statuses.map(|status| status["state"].as_str().unwrap_or_default().to_owned());
            let id = task["task_id"]["value"].as_str().unwrap_or_default().to_owned();
            histories.insert(id, states.collect());
        }
    }
    Ok(histories)
}

/// Each of the items where it comes first.
fn first<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut kept, item| {
        if !kept.contains(&item) {
            kept.push(item);
        }
        kept
    })
}

/// What was told of each task is what became of it.
fn check(tasks: &BTreeMap<String, Told>, histories: &BTreeMap<String, Vec<String>>) -> Result<()> {
    for (task, states) in histories {
        let told = tasks.get(task).with_context(|| format!("{task} was never told of"))?;
        ensure!(told.added == 1, "{task} was added {} times", told.added);
        // After a failover the record can name a state again: its agent reported it, and then sent the update once more.
        // Of an update of the stream it can be that only the latest state differs from the one before.
        let updates = &told.updates;
        ensure!(
            first(updates.iter()).len() == updates.len(),
            "{task} was told of twice: {updates:?}"
        );
        ensure!(
            first(updates.iter().map(|(state, _)| state)) == first(states.iter()),
            "{task}: told {updates:?}, recorded {states:?}"
        );
        let latest = told.updates.last().map(|(_, latest)| latest);
        ensure!(latest == states.last(), "{task} was last told to be {latest:?}");
    }
    for task in tasks.keys() {
        ensure!(histories.contains_key(task), "{task} was told of and is not known");
    }
    Ok(())
}

#[test]
fn three_killed_leaders_cost_a_subscriber_no_event_and_none_comes_twice() -> Result<()> {
    let mut cluster = Cluster::builder().agents(2).own_timers().start()?;
    let follower = Follower::start(&cluster, "follower", None)?;
    follower.wait_for("the stream starts", 1, is_start)?;
    let mut framework = Framework::start(&cluster, "durable", &[&format!("--long={LONG}"), "--shorts"])?;
    framework.wait_for_running(LONG)?;
    framework.wait_for_progress(3)?;
    for kill in 1..=KILLS {
        let leader = cluster.wait_for_leader()?;
        cluster.masters[leader].kill9()?;
        follower.wait_for("the stream goes on", kill, is_resumption)?;
        framework.wait_for_progress(3)?;
        cluster.masters[leader].start()?;
        cluster.wait_until_follows(leader)?;
        std::thread::sleep(BREATH);
    }
    framework.wind_down()?;
    framework.check()?;

    let framework_id = framework.id()?;
    let leader = cluster.leader_port()?;
    let histories = histories(leader, &framework_id)?;
    let shorts = framework.journal()?.finished_short();
    ensure!(
        shorts.len() >= 3 * KILLS,
        "only {} short tasks have finished",
        shorts.len()
    );
    ensure!(
        shorts.iter().all(|task| histories.contains_key(task)),
        "the master has forgotten tasks: there were too many"
    );
    let ended = wait_for("every end was told of", PATIENCE, || {
        match told(&follower.records()?, &framework_id).and_then(|tasks| check(&tasks, &histories)) {
            Ok(()) => Ok(Some(())),
            Err(error) => bail!("{error:#}"),
        }
    });
    ended.with_context(|| errors(&follower.errors))?;

    // It started once, and went on after each kill.
    let records = follower.records()?;
    ensure!(records.iter().filter(|record| is_start(record)).count() == 1);
    // Whoever goes on from the same start at the last leader, whose events come from no other master, sees the same.
    let start = records[0]["position"].as_str().context("no position")?;
    let witness = Follower::start(&cluster, "witness", Some(start))?;
    let events = |follower: &Follower| -> Result<Vec<String>> {
        let lines = follower.lines()?.into_iter();
        Ok(lines
            .filter(|line| !line.starts_with("{\"type\":\"SUBSCRIBED\""))
            .collect())
    };
    let seen = events(&follower)?;
    wait_until("a second subscriber has seen as much", PATIENCE, || {
        Ok(events(&witness)?.len() >= seen.len())
    })?;
    ensure!(is_resumption(&witness.records()?[0]), "the witness did not go on");
    for (number, (first, second)) in seen.iter().zip(events(&witness)?).enumerate() {
        ensure!(*first == second, "event {number}: {first} and {second}");
    }
    println!(
        "{} events of {} tasks, the same at every master",
        seen.len(),
        histories.len()
    );
    cluster.passed()
}
