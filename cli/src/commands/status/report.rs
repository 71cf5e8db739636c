//! What `status` found out, what it means, and how it is printed.

use std::collections::BTreeMap;

use client::Operator;
use proto::v1::TaskState;
use serde::Serialize;

use super::replica::{LAG_MAX, Replica, not_asked};
use crate::output::table;

/// What the leader knows of agents, frameworks and tasks, as counts.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Fleet {
    pub(super) agents_active: usize,
    pub(super) agents_inactive: usize,
    /// Known from before the last failover and not back yet.
    pub(super) agents_recovered: usize,
    pub(super) frameworks_connected: usize,
    pub(super) frameworks_disconnected: usize,
    pub(super) frameworks_completed: usize,
    /// Number of tasks by state, those that have not ended.
    pub(super) tasks: BTreeMap<String, usize>,
    pub(super) tasks_unreachable: usize,
    pub(super) tasks_completed: usize,
    /// Version of the leader.
    pub(super) version: String,
}

impl Fleet {
    pub(super) async fn ask(operator: &Operator) -> Result<Fleet, String> {
        let state = operator.get_state().await.map_err(|error| error.to_string())?;
        let version = operator.get_version().await.map_err(|error| error.to_string())?.version;
        let agents = state.get_agents.unwrap_or_default();
        let frameworks = state.get_frameworks.unwrap_or_default();
        let tasks = state.get_tasks.unwrap_or_default();
        let mut by_state = BTreeMap::new();
        for task in &tasks.tasks {
            let state = TaskState::try_from(task.state).unwrap_or(TaskState::TaskUnknown);
            *by_state.entry(state.as_str_name().to_owned()).or_insert(0) += 1;
        }
        let agents_active = agents.agents.iter().filter(|agent| agent.active).count();
        let frameworks_connected = frameworks
            .frameworks
            .iter()
            .filter(|framework| framework.connected)
            .count();
        Ok(Fleet {
            agents_active,
            agents_inactive: agents.agents.len() - agents_active,
            agents_recovered: agents.recovered_agents.len(),
            frameworks_connected,
            frameworks_disconnected: frameworks.frameworks.len() - frameworks_connected,
            frameworks_completed: frameworks.completed_frameworks.len(),
            tasks: by_state,
            tasks_unreachable: tasks.unreachable_tasks.len(),
            tasks_completed: tasks.completed_tasks.len(),
            version,
        })
    }
}

/// Verdict on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Healthy,
    Degraded,
    NoLeader,
}

/// Everything `status` prints.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) verdict: Verdict,
    /// Address of the leader.
    pub(super) leader: Option<String>,
    pub(super) term: u64,
    /// Members, and how many of them have to agree.
    pub(super) voters: u64,
    pub(super) quorum: u64,
    /// How many more replicas may fail without the cluster stopping.
    pub(super) failures_tolerated: u64,
    pub(super) replicas: Vec<Replica>,
    pub(super) fleet: Option<Fleet>,
    /// What is wrong, one sentence each.
    pub(super) problems: Vec<String>,
}

impl Report {
    pub(super) fn new(mut replicas: Vec<Replica>, fleet: Result<Fleet, String>) -> Report {
        // A deposed leader that has not noticed yet has an older term.
        let leader = replicas
            .iter()
            .filter(|replica| replica.leads())
            .max_by_key(|replica| replica.term)
            .cloned();
        if let Some(leader) = &leader {
            for replica in replicas.iter_mut().filter(|replica| replica.state_hash.is_some()) {
                replica.lag = Some(leader.last_log_index.saturating_sub(replica.applied_index));
            }
            let others = not_asked(leader, &replicas);
            replicas.extend(others);
        }
        let voters = replicas
            .iter()
            .map(|replica| replica.voters.len())
            .max()
            .filter(|voters| *voters > 0);
        let voters = voters.unwrap_or(replicas.len()) as u64;
        let present = replicas.iter().filter(|replica| replica.takes_part()).count() as u64;
        let quorum = voters / 2 + 1;
        // One that lost its majority goes on calling itself leader, but has nothing left to decide.
        let leader = leader.filter(|_| fleet.is_ok() || present >= quorum);
        let mut problems = problems(&replicas, leader.as_ref());
        if leader.is_none() {
            problems.insert(
                0,
                format!("nobody leads: {present} of {voters} masters answer, {quorum} are needed"),
            );
        }
        let fleet = fleet
            .map_err(|error| problems.push(format!("agents and tasks are not known: {error}")))
            .ok();
        let verdict = match (&leader, problems.is_empty()) {
            (None, _) => Verdict::NoLeader,
            (Some(_), true) => Verdict::Healthy,
            (Some(_), false) => Verdict::Degraded,
        };
        Report {
            verdict,
            term: leader
                .as_ref()
                .map_or_else(|| replicas.iter().map(|r| r.term).max().unwrap_or(0), |l| l.term),
            leader: leader.map(|leader| leader.address),
            voters,
            quorum,
            failures_tolerated: present.saturating_sub(quorum),
            replicas,
            fleet,
            problems,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Healthy => 0,
            Verdict::Degraded => 1,
            Verdict::NoLeader => 2,
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match &self.leader {
            Some(leader) => format!("leader    {leader}, term {}", self.term),
            None => "leader    none".to_owned(),
        }];
        let tolerance = match self.failures_tolerated {
            1 => "1 more failure is tolerated".to_owned(),
            n => format!("{n} more failures are tolerated"),
        };
        lines.push(format!(
            "quorum    {} of {} masters; {tolerance}",
            self.quorum, self.voters
        ));
        if let Some(fleet) = &self.fleet {
            lines.extend(fleet_lines(fleet));
        }
        lines.push(String::new());
        let head = ["master", "node", "role", "term", "last log", "applied", "lag"]
            .map(str::to_owned)
            .to_vec();
        let rows = self
            .replicas
            .iter()
            .map(|replica| replica_row(replica, self.leader.as_ref()));
        lines.extend(table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
        lines
    }
}

/// What is wrong with replicas, one sentence each.
fn problems(replicas: &[Replica], leader: Option<&Replica>) -> Vec<String> {
    let mut problems = Vec::new();
    for replica in replicas {
        let name = &replica.address;
        match &replica.error {
            Some(error) if replica.role == "absent" => problems.push(format!("master {name} does not answer: {error}")),
            Some(error) => problems.push(format!("master {name} does not take part: {error}")),
            None => {}
        }
        if let Some(lag) = replica.lag.filter(|lag| *lag > LAG_MAX) {
            problems.push(format!("master {name} is {lag} log entries behind"));
        }
        let answers = replica.state_hash.is_some() && replica.error.is_none();
        if leader.is_some() && answers && replica.leader_id.is_none() {
            problems.push(format!("master {name} knows no leader"));
        }
        let Some(hash) = &replica.state_hash else { continue };
        let differs = |other: &&Replica| {
            let other = other.state_hash.as_ref();
            other.is_some_and(|other| other.applied_index == hash.applied_index && other.hash != hash.hash)
        };
        if let Some(other) = replicas.iter().take_while(|other| other.address != *name).find(differs) {
            let index = hash.applied_index;
            problems.push(format!(
                "masters {} and {name} differ in what they applied up to index {index}",
                other.address
            ));
        }
    }
    problems
}

fn replica_row(replica: &Replica, leader: Option<&String>) -> Vec<String> {
    let is_leader = Some(&replica.address) == leader;
    // A second one that calls itself leader has been deposed and does not know it yet.
    let role = if replica.role == "leader" && !is_leader {
        "deposed"
    } else {
        &replica.role
    };
    let number = |known: bool, number: u64| if known { number.to_string() } else { "-".to_owned() };
    let answers = replica.state_hash.is_some();
    vec![
        replica.address.clone(),
        number(replica.node_id > 0, replica.node_id),
        role.to_owned(),
        number(answers, replica.term),
        number(replica.node_id > 0, replica.last_log_index),
        number(answers, replica.applied_index),
        replica.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
    ]
}

fn fleet_lines(fleet: &Fleet) -> Vec<String> {
    let by_state: Vec<String> = fleet
        .tasks
        .iter()
        .map(|(state, count)| format!("{count} {}", short(state)))
        .collect();
    let tasks = if by_state.is_empty() {
        "none running".to_owned()
    } else {
        by_state.join(", ")
    };
    vec![
        format!(
            "agents    {} active, {} inactive, {} not back yet",
            fleet.agents_active, fleet.agents_inactive, fleet.agents_recovered
        ),
        format!(
            "frameworks  {} connected, {} disconnected, {} completed",
            fleet.frameworks_connected, fleet.frameworks_disconnected, fleet.frameworks_completed
        ),
        format!(
            "tasks     {tasks}; {} unreachable, {} completed",
            fleet.tasks_unreachable, fleet.tasks_completed
        ),
        format!("version   {}", fleet.version),
    ]
}

fn short(state: &str) -> String {
    state.strip_prefix("TASK_").unwrap_or(state).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::replica::StateHash;
    use super::*;

    fn replica(node_id: u64, role: &str, applied: u64) -> Replica {
        let status = serde_json::json!({
            "node_id": node_id, "role": role, "term": 4, "leader": 1, "last_log": 100, "applied": {"term": 4, "index": applied},
            "voters": {"1": "a:9", "2": "b:9", "3": "c:9"}, "matched": {"1": 100, "2": 90, "3": null},
            "state_hash": {"applied_index": applied, "hash": "ab"}, "committed": null,
        });
        Replica::read(
            format!("{}:1", ["a", "b", "c"][node_id as usize - 1]),
            serde_json::from_value(status).unwrap(),
        )
    }

    fn absent(address: &str) -> Replica {
        let role = "absent".to_owned();
        Replica {
            address: address.to_owned(),
            role,
            error: Some("refused".to_owned()),
            ..Replica::default()
        }
    }

    #[test]
    fn three_good_replicas_are_healthy_and_tolerate_one_failure() {
        let replicas = vec![
            replica(1, "leader", 100),
            replica(2, "follower", 98),
            replica(3, "follower", 100),
        ];
        let report = Report::new(replicas, Ok(Fleet::default()));
        assert_eq!(
            (report.exit_code(), report.quorum, report.failures_tolerated),
            (0, 2, 1)
        );
        assert_eq!(report.replicas[1].lag, Some(2));
        assert_eq!(report.leader.as_deref(), Some("a:1"));
        assert!(report.lines().join("\n").contains("leader    a:1, term 4"));
    }

    #[test]
    fn an_absent_replica_degrades_and_is_named() {
        let replicas = vec![replica(1, "leader", 100), absent("b:1"), replica(3, "follower", 100)];
        let report = Report::new(replicas, Ok(Fleet::default()));
        assert_eq!((report.exit_code(), report.failures_tolerated), (1, 0));
        assert_eq!(report.problems, ["master b:1 does not answer: refused"]);
    }

    #[test]
    fn without_a_leader_the_verdict_says_so() {
        let report = Report::new(vec![absent("a:1"), absent("b:1")], Err("no".to_owned()));
        assert_eq!(report.exit_code(), 2);
        assert!(report.problems[0].starts_with("nobody leads: 0 of 2 masters answer"));
    }

    #[test]
    fn a_leader_that_lost_its_majority_and_answers_nothing_does_not_count() {
        let replicas = || vec![replica(1, "leader", 100), absent("b:1"), absent("c:1")];
        let report = Report::new(replicas(), Err("503".to_owned()));
        assert_eq!((report.exit_code(), report.leader.as_deref()), (2, None));
        assert!(report.problems[0].starts_with("nobody leads: 1 of 3 masters answer, 2 are needed"));
        // Another member that was not named answers the leader, or it could not have answered.
        let report = Report::new(replicas(), Ok(Fleet::default()));
        assert_eq!((report.exit_code(), report.leader.as_deref()), (1, Some("a:1")));
    }

    #[test]
    fn of_two_that_call_themselves_leader_the_newer_term_counts() {
        let mut old = replica(1, "leader", 100);
        old.term = 3;
        let report = Report::new(
            vec![old, replica(2, "leader", 100), replica(3, "follower", 100)],
            Err("x".to_owned()),
        );
        assert_eq!(report.leader.as_deref(), Some("b:1"));
        assert!(report.lines().join("\n").contains("deposed"));
    }

    #[test]
    fn members_that_were_not_asked_are_shown_with_what_the_leader_knows_of_them() {
        let report = Report::new(vec![replica(1, "leader", 100)], Ok(Fleet::default()));
        assert_eq!(report.replicas.len(), 3);
        assert_eq!(
            (report.replicas[1].address.as_str(), report.replicas[1].lag),
            ("b:9 (raft)", Some(10))
        );
        assert_eq!((report.exit_code(), report.voters), (0, 3));
    }

    #[test]
    fn replicas_that_differ_at_the_same_index_are_named() {
        let mut other = replica(2, "follower", 100);
        other.state_hash = Some(StateHash {
            applied_index: 100,
            hash: "cd".to_owned(),
        });
        let replicas = vec![replica(1, "leader", 100), other, replica(3, "follower", 99)];
        let report = Report::new(replicas, Ok(Fleet::default()));
        assert_eq!(
            report.problems,
            ["masters a:1 and b:1 differ in what they applied up to index 100"]
        );
    }
}
