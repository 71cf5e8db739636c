//! What `status` found out, what it means, and how it is printed.

use std::collections::BTreeMap;

use client::Operator;
use proto::v1::TaskState;
use serde::Serialize;

use crate::output::table;

/// A follower this many log entries behind would take noticeable time to take part in a decision again.
const LAG_MAX: u64 = 10_000;

/// One replica, as it describes itself in `/metrics/snapshot`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Replica {
    /// Where it was asked, `host:port`.
    pub(super) address: String,
    /// Raft node id; 0 when unknown.
    pub(super) node_id: u64,
    /// Whether it leads and says so.
    pub(super) elected: bool,
    /// The node it follows; 0 for none.
    pub(super) leader_id: u64,
    /// Raft term.
    pub(super) term: u64,
    /// Members that count for the quorum.
    pub(super) voters: u64,
    /// Index of its last log entry.
    pub(super) last_log_index: u64,
    /// Index of the last entry it applied.
    pub(super) applied_index: u64,
    /// Entries it is behind the leader.
    pub(super) lag: Option<u64>,
    /// Why it did not answer.
    pub(super) error: Option<String>,
}

impl Replica {
    pub(super) async fn ask(operator: &Operator, address: String) -> Replica {
        let answer = match operator.get_from(&address, "/metrics/snapshot").await {
            Ok(body) => serde_json::from_slice::<BTreeMap<String, f64>>(&body).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(metrics) => Replica::read(address, &metrics),
            Err(error) => Replica {
                address,
                error: Some(error),
                ..Replica::default()
            },
        }
    }

    fn read(address: String, metrics: &BTreeMap<String, f64>) -> Replica {
        // Indexes stay far below 2^53.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = |name: &str| metrics.get(name).copied().unwrap_or(0.0).max(0.0) as u64;
        Replica {
            address,
            node_id: number("raft/node_id"),
            elected: number("master/elected") == 1,
            leader_id: number("raft/leader_id"),
            term: number("raft/term"),
            voters: number("raft/voters"),
            last_log_index: number("raft/last_log_index"),
            applied_index: number("raft/applied_index"),
            lag: None,
            error: None,
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.elected && self.error.is_none()
    }
}

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
        let present = replicas.iter().filter(|replica| replica.error.is_none()).count() as u64;
        let voters = replicas
            .iter()
            .map(|replica| replica.voters)
            .max()
            .filter(|voters| *voters > 0);
        let voters = voters.unwrap_or(replicas.len() as u64);
        let quorum = voters / 2 + 1;
        let mut problems = Vec::new();
        match &leader {
            Some(leader) => {
                for replica in replicas.iter_mut().filter(|replica| replica.error.is_none()) {
                    replica.lag = Some(leader.last_log_index.saturating_sub(replica.applied_index));
                }
            }
            None => problems.push(format!(
                "nobody leads: {present} of {voters} masters answer, {quorum} are needed"
            )),
        }
        for replica in &replicas {
            if let Some(error) = &replica.error {
                problems.push(format!("master {} does not answer: {error}", replica.address));
            }
            if let Some(lag) = replica.lag.filter(|lag| *lag > LAG_MAX) {
                problems.push(format!("master {} is {lag} log entries behind", replica.address));
            }
            let follows_nobody = leader.is_some() && replica.error.is_none() && replica.leader_id == 0;
            if follows_nobody && replica.voters > 0 {
                problems.push(format!("master {} knows no leader", replica.address));
            }
        }
        if leader.is_some() && present < voters && replicas.iter().all(|replica| replica.error.is_none()) {
            problems.push(format!(
                "only {present} of {voters} masters were asked: name all of them with --master"
            ));
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

fn replica_row(replica: &Replica, leader: Option<&String>) -> Vec<String> {
    if replica.error.is_some() {
        return [&replica.address, "-", "absent", "-", "-", "-", "-"]
            .map(str::to_owned)
            .to_vec();
    }
    let role = if Some(&replica.address) == leader {
        "leader"
    } else {
        "follower"
    };
    vec![
        replica.address.clone(),
        replica.node_id.to_string(),
        role.to_owned(),
        replica.term.to_string(),
        replica.last_log_index.to_string(),
        replica.applied_index.to_string(),
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
    use super::*;

    fn replica(address: &str, elected: bool, applied: u64) -> Replica {
        let metrics = [
            ("master/elected", if elected { 1.0 } else { 0.0 }),
            ("raft/leader_id", 1.0),
            ("raft/term", 4.0),
            ("raft/voters", 3.0),
            ("raft/last_log_index", 100.0),
            ("raft/applied_index", applied as f64),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        Replica::read(address.to_owned(), &metrics)
    }

    fn absent(address: &str) -> Replica {
        Replica {
            address: address.to_owned(),
            error: Some("refused".to_owned()),
            ..Replica::default()
        }
    }

    #[test]
    fn three_good_replicas_are_healthy_and_tolerate_one_failure() {
        let replicas = vec![
            replica("a:1", true, 100),
            replica("b:1", false, 98),
            replica("c:1", false, 100),
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
        let replicas = vec![replica("a:1", true, 100), absent("b:1"), replica("c:1", false, 100)];
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
    fn of_two_that_call_themselves_leader_the_newer_term_counts() {
        let mut old = replica("a:1", true, 100);
        old.term = 3;
        let report = Report::new(
            vec![old, replica("b:1", true, 100), replica("c:1", false, 100)],
            Err("x".to_owned()),
        );
        assert_eq!(report.leader.as_deref(), Some("b:1"));
    }
}
