//! What a run does to its machines, and what it reads of them.

use std::sync::Arc;

use anyhow::Result;
use chaos::history::{Record, ReplicaSample};
use replicated_log::Role;

use super::Run;
use crate::cluster::{Ended, Machine, millis};
use crate::network::{HostId, Recording};
use crate::random::Random;

/// How often replicas are looked at, microseconds.
pub(super) const SAMPLE_EVERY: u64 = 10_000;
/// After this time a master that failed is started again, as a supervisor of processes would, microseconds.
const RESTART_AFTER: u64 = 400_000;
/// Connections that are said again; each costs the time of a connection.
const REPLAYS_MAX: usize = 6;

impl Run<'_> {
    /// Machines that are members, whether their master runs or not.
    pub(crate) fn members(&self) -> Vec<HostId> {
        let is_member = |host: &HostId| self.cluster.machines[*host].lock().is_member;
        (0..self.cluster.machines.len()).filter(is_member).collect()
    }

    /// Members whose master runs.
    pub(crate) fn running(&self) -> Vec<HostId> {
        let runs = |host: &HostId| {
            let machine = self.cluster.machines[*host].lock();
            machine.is_member && machine.up && machine.ended.is_none()
        };
        (0..self.cluster.machines.len()).filter(runs).collect()
    }

    /// The machine whose master says that it leads in the highest term.
    pub(crate) fn leader(&self) -> Option<HostId> {
        let leads = |host: &HostId| {
            let machine = self.cluster.machines[*host].lock();
            let status = machine.master.as_ref()?.status();
            let status = status.borrow();
            status.is_leader().then_some((status.term, *host))
        };
        (0..self.cluster.machines.len())
            .filter_map(|host| leads(&host))
            .max()
            .map(|(_, host)| host)
    }

    /// Whom a fault hits: the leader half of the time, else any running member.
    pub(crate) fn victim(&self, random: &mut Random) -> Option<HostId> {
        let running = self.running();
        let leader = self.leader().filter(|_| random.percent(50));
        let any = if running.is_empty() {
            None
        } else {
            Some(*random.one_of(&running))
        };
        // A fault between masters needs another one.
        leader
            .or(any)
            .filter(|host| running.len() > 1 && running.contains(host))
    }

    /// The master of a machine dies at once.
    pub(crate) fn kill(&mut self, host: HostId) -> Result<()> {
        let mut machine = self.cluster.machines[host].lock();
        self.count(&machine);
        machine.down();
        let name = machine.name.clone();
        drop(machine);
        self.net.freeze(host, false);
        self.net.refuse(host, true);
        self.trace.numbers(self.now(), "killed", &[host as u64]);
        self.sim.crash(name);
        Ok(())
    }

    /// Adds up what a master has counted, which dies with it.
    pub(crate) fn count(&self, machine: &Machine) {
        let Some(master) = &machine.master else { return };
        for (name, count) in master.counters() {
            self.counters.add(&name, count);
        }
        for (event, count) in master.log_counters().all() {
            self.counters.add(&format!("raft/{}", event.name()), count);
        }
    }

    /// Asks a master to stop in order.
    pub(crate) fn ask_to_stop(&self, host: HostId) {
        let machine = self.cluster.machines[host].lock();
        self.count(&machine);
        machine.ask_to_stop();
    }

    /// Starts the master of a machine if it is a member and none runs there.
    pub(crate) fn start(&mut self, host: HostId) -> Result<()> {
        let mut machine = self.cluster.machines[host].lock();
        if !machine.is_member || (machine.up && machine.ended.is_none()) {
            return Ok(());
        }
        machine.prepare();
        let name = machine.name.clone();
        let start = machine.start;
        drop(machine);
        self.net.refuse(host, false);
        self.trace.numbers(self.now(), "started", &[host as u64, start]);
        self.sim.bounce(name);
        Ok(())
    }

    /// A process stands still, or goes on. What turmoil cannot stop are its timers: they go on, but nothing of what they
    /// set off leaves the machine, and no sync of its disk ends.
    pub(crate) fn pause(&mut self, host: HostId, paused: bool) {
        self.net.freeze(host, paused);
        if let Some(machine) = self.cluster.machines.get(host) {
            machine.lock().store.set_stalled(paused);
        }
    }

    /// The machine is without power: nobody hears of its end, and its disk loses what was not synced.
    pub(crate) fn lose_power(&mut self, host: HostId, random: &mut Random) -> Result<()> {
        self.power(host, false);
        self.cluster.machines[host].lock().store.crash(random.next());
        self.kill(host)
    }

    /// Cuts a machine off all others, or connects it again.
    pub(crate) fn power(&mut self, host: HostId, on: bool) {
        for other in (0..self.names.len()).filter(|other| *other != host) {
            for (from, to) in [(host, other), (other, host)] {
                match on {
                    true => self.net.open(from, to),
                    false => self.net.close(from, to),
                }
            }
        }
    }

    pub(crate) fn kill_framework(&mut self, number: u64) {
        self.load.kill_framework(number);
    }

    /// Takes a snapshot on a machine, which purges its log.
    pub(crate) fn take_snapshot(&mut self, host: HostId) {
        let Some(master) = self.cluster.machines[host].lock().master.clone() else {
            return;
        };
        let counters = self.counters.clone();
        let job = async move {
            if master.snapshot().await.is_ok() {
                counters.add("log/snapshot-asked", 1);
            }
        };
        if let Err(error) = self.jobs.give(job) {
            tracing::warn!(%error, "no snapshot was asked for");
        }
    }

    /// Says again, on other connections, what masters said to each other.
    pub(crate) fn replay(&mut self) -> Result<()> {
        let mut random = Random::of(self.plan.seed, &format!("replay/{}", self.now()));
        let mut recordings: Vec<Recording> = self.net.take_recordings();
        recordings.retain(|recording| !recording.bytes.is_empty());
        while recordings.len() > REPLAYS_MAX {
            let out = random.between(0, recordings.len() as u64 - 1);
            recordings.swap_remove(usize::try_from(out).unwrap_or(0));
        }
        for recording in recordings {
            let network = self.operator_seams.network.clone();
            let counters = self.counters.clone();
            self.trace.numbers(
                self.now(),
                "replay",
                &[recording.from as u64, recording.bytes.len() as u64],
            );
            self.jobs.give(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let said = async {
                    let mut stream = network.connect(&recording.to.to_string()).await?;
                    stream.write_all(&recording.bytes).await?;
                    counters.add("network/said-again", 1);
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await
                };
                // Whatever the answer is, nobody wants it.
                drop(tokio::time::timeout(millis(1_500), said).await);
            })?;
        }
        Ok(())
    }

    /// Looks after masters that ended by themselves.
    pub(super) fn watch_masters(&mut self) -> Result<()> {
        for host in 0..self.cluster.machines.len() {
            let mut machine = self.cluster.machines[host].lock();
            if machine.master.is_some() && machine.disk_fault.starts_with("corrupt: ") {
                // Said once: what comes of it is judged like anything else.
                let what = format!("node {} started with {}", machine.node, machine.disk_fault);
                machine.disk_fault = "started damaged".to_owned();
                self.oracle.violated("damage-is-refused", what);
            }
            let Some(ended) = machine.ended.clone().filter(|_| machine.up) else {
                continue;
            };
            let (node, blame, joins) = (machine.node, machine.disk_fault.clone(), machine.is_joining());
            let now = self.now();
            self.trace
                .text(now, "ended", &format_args!("node {node}: {ended:?} {blame}"));
            match &ended {
                Ended::Stopped => self.counters.add("master/stopped", 1),
                Ended::Failed(_) | Ended::Refused(_) if !blame.is_empty() => {
                    self.counters.add("master/failed-after-disk-fault", 1);
                }
                // Whom it was to join at did not answer in time; its supervisor tries again.
                Ended::Refused(_) if joins => self.counters.add("master/join-failed", 1),
                Ended::Refused(reason) => {
                    self.oracle
                        .violated("master-starts", format!("node {node} refuses to start: {reason}"));
                }
                Ended::Failed(reason) => {
                    self.oracle
                        .violated("master-lives", format!("node {node} failed: {reason}"));
                }
            }
            let refused = matches!(ended, Ended::Refused(_));
            if matches!(ended, Ended::Failed(_)) && blame == "disk-error" {
                // The error has been seen; what the disk holds from now on is judged again.
                machine.disk_fault = "after disk-error".to_owned();
            }
            drop(machine);
            self.kill(host)?;
            if refused && !blame.is_empty() && blame != "wiped" {
                self.counters.add("master/replaced", 1);
                self.replace(host, false)?;
            } else if blame != "wiped" && !(matches!(ended, Ended::Stopped) && self.will_start(host)) {
                self.restarts.push((now + RESTART_AFTER, host));
            }
        }
        let now = self.now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.restarts)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.restarts = later;
        for (_, host) in due {
            self.start(host)?;
        }
        self.go_on_upgrading();
        Ok(())
    }

    /// The next master of a rolling upgrade is stopped when all run.
    fn go_on_upgrading(&mut self) {
        let settled = self.restarts.is_empty() && self.running().len() == self.members().len();
        if self.upgrades.is_empty() || !settled {
            return;
        }
        let host = self.upgrades.remove(0);
        let machine = self.cluster.machines[host].lock();
        if machine.is_member && machine.master.is_some() {
            drop(machine);
            self.ask_to_stop(host);
            self.restarts.push((self.now() + RESTART_AFTER, host));
        }
    }

    /// Samples every replica.
    pub(super) fn sample(&mut self) {
        for shared in &self.cluster.machines {
            let machine = shared.lock();
            let Some(master) = &machine.master else { continue };
            let status = master.status();
            let status = status.borrow();
            let (index, hash) = master.state_hash();
            let role = match status.role {
                Role::Leader => "leader",
                Role::Follower => "follower",
                Role::Candidate => "candidate",
                Role::Learner => "learner",
            };
            let applied = status.applied.map(|applied| applied.index);
            let sample = ReplicaSample {
                at: self.recorder.now(),
                node: machine.node,
                start: machine.start,
                disk: machine.disk,
                term: status.term,
                role: role.to_owned(),
                leader: status.leader,
                last_log: status.last_log,
                committed: status.committed.map(|committed| committed.index),
                applied,
                snapshot: status.snapshot.map(|snapshot| snapshot.index),
                // Before anything is applied there is no state to compare.
                hash: (index > 0).then(|| format!("{hash:032x}")),
                hash_index: (index > 0).then_some(index),
                resident_bytes: None,
                descriptors: None,
            };
            drop(status);
            if self.oracle.look(&sample) {
                let numbers = [sample.node, sample.term, sample.applied.unwrap_or(0), index];
                self.trace.numbers(sample.at, "replica", &numbers);
                self.recorder.record(Record::Replica(sample));
            }
        }
    }

    /// Whether all these machines' masters have applied the same and hold the same.
    pub(crate) fn all_equal(&self, hosts: &[HostId]) -> bool {
        let mut states = hosts.iter().map(|host| {
            let machine = self.cluster.machines[*host].lock();
            machine.master.as_ref().map(Arc::clone).map(|master| {
                let applied = master.status().borrow().applied;
                (applied, master.state_hash())
            })
        });
        let Some(Some(first)) = states.next() else { return false };
        states.all(|state| state == Some(first))
    }
}
