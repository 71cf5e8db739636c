//! Faults as they are injected and taken back: what each kind does to the simulated machines, network, disks and clocks.

mod members;

use std::time::Duration;

use chaos::fault::FaultKind;
use chaos::history::{FaultRecord, Record};

use crate::cluster::{RAFT_PORT, millis};
use crate::network::HostId;
use crate::plan::Fault;
use crate::random::Random;
use crate::run::Run;

pub(crate) use self::members::Replacement;

/// How long a machine stays down at least after it was killed: its address is free at once, its clients need a moment.
const DOWN_MIN: u64 = 20;
/// For how long no disk syncs before the power goes, at most.
const BLACKOUT_MAX: u64 = 400;
/// Pause between two bursts of loss.
const LOSS_PAUSE: u64 = 120;

/// What takes a fault back.
#[derive(Clone, Debug)]
enum Undo {
    /// Start the master of a machine.
    Start(HostId),
    /// Stop it in order, then start it: what is left of a rolling upgrade.
    Restart(Vec<HostId>),
    /// Power came back: the machine is reachable again, and its master starts.
    PowerOn(HostId),
    /// Open a direction.
    Open(HostId, HostId),
    /// Let a host go on.
    Thaw(HostId),
    /// Set the latency of a link to what it was.
    Latency(HostId, HostId),
    /// The bursts of loss end.
    StopLoss(u64),
    /// Set a clock right.
    Clock(HostId),
    /// A disk has space again.
    Space(HostId),
    /// A disk answers again, as fast as it did.
    FastDisk(HostId),
    /// Say again what was said.
    Replay,
    /// Start an agent again.
    StartAgent(u64),
}

/// A fault that has begun.
#[derive(Debug)]
pub(crate) struct Active {
    number: u64,
    kind: FaultKind,
    targets: Vec<String>,
    /// When it ends, microseconds since the run began.
    until: u64,
    undo: Vec<Undo>,
}

/// Bursts of loss on one direction.
#[derive(Debug)]
pub(crate) struct Loss {
    number: u64,
    links: Vec<(HostId, HostId)>,
    closed: bool,
    next: u64,
    random: Random,
}

impl Run<'_> {
    /// Begins every fault whose time has come, and ends those whose time is over.
    pub(crate) fn faults(&mut self, phase_began: u64) -> anyhow::Result<()> {
        let now = self.now();
        while let Some(fault) = self.plan.faults.get(self.next_fault).cloned() {
            if phase_began + fault.at * 1_000 > now {
                break;
            }
            self.next_fault += 1;
            self.inject(&fault)?;
        }
        self.blackouts(now)?;
        let (over, active): (Vec<_>, Vec<_>) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|fault| fault.until <= now);
        self.active = active;
        for fault in over {
            self.end(fault)?;
        }
        self.bursts(now);
        Ok(())
    }

    /// Whether the end of a fault under way starts the master of `host`.
    pub(crate) fn will_start(&self, host: HostId) -> bool {
        let starts = |undo: &Undo| matches!(undo, Undo::Start(other) | Undo::PowerOn(other) if *other == host);
        self.active.iter().any(|fault| fault.undo.iter().any(starts))
    }

    /// Power goes where its time has come.
    fn blackouts(&mut self, now: u64) -> anyhow::Result<()> {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.blackouts)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.blackouts = later;
        for (_, victims, mut random) in due {
            for victim in victims {
                self.lose_power(victim, &mut random)?;
                self.cluster.machines[victim].lock().store.set_stalled(false);
            }
        }
        Ok(())
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        self.blackouts(u64::MAX)?;
        for fault in std::mem::take(&mut self.active) {
            self.end(fault)?;
        }
        self.upgrades.clear();
        Ok(())
    }

    fn record_fault(&self, number: u64, kind: FaultKind, targets: &[String], detail: String, ended: bool) {
        let record = FaultRecord {
            at: self.recorder.now(),
            number,
            kind,
            targets: targets.to_vec(),
            detail,
            ended,
        };
        self.trace.text(record.at, "fault", &format_args!("{record:?}"));
        self.recorder.record(Record::Fault(record));
    }

    fn name(&self, host: HostId) -> String {
        self.names[host].clone()
    }

    fn inject(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let mut random = Random::of(fault.entropy, "inject");
        let Some((targets, detail, undo)) = self.begin(fault, &mut random)? else {
            self.counters.add(&format!("skipped/{}", fault.kind), 1);
            self.trace.numbers(self.now(), "skipped", &[fault.number]);
            return Ok(());
        };
        let targets: Vec<String> = targets.into_iter().map(|host| self.name(host)).collect();
        self.counters.add(&format!("fault/{}", fault.kind), 1);
        self.record_fault(fault.number, fault.kind, &targets, detail, false);
        self.active.push(Active {
            number: fault.number,
            kind: fault.kind,
            targets,
            until: self.now() + fault.lasts.max(DOWN_MIN) * 1_000,
            undo,
        });
        Ok(())
    }

    /// Does what a fault does; `None` when there is nothing to do it to.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each kind of fault; splitting it would hide that none is left out"
    )]
    #[expect(
        clippy::type_complexity,
        reason = "targets, detail and what takes it back, in the one place that builds them"
    )]
    fn begin(
        &mut self,
        fault: &Fault,
        random: &mut Random,
    ) -> anyhow::Result<Option<(Vec<HostId>, String, Vec<Undo>)>> {
        let Some(victim) = self.victim(random) else {
            return Ok(None);
        };
        let members = self.running();
        Ok(Some(match fault.kind {
            FaultKind::Kill => {
                self.kill(victim)?;
                (vec![victim], String::new(), vec![Undo::Start(victim)])
            }
            FaultKind::KillAll => {
                for member in &members {
                    self.kill(*member)?;
                }
                let undo = members.iter().map(|member| Undo::Start(*member)).collect();
                (members, String::new(), undo)
            }
            FaultKind::Stop => {
                self.ask_to_stop(victim);
                (vec![victim], String::new(), vec![Undo::Start(victim)])
            }
            FaultKind::Upgrade => {
                self.ask_to_stop(victim);
                let rest = members.iter().copied().filter(|member| *member != victim).collect();
                (members, String::new(), vec![Undo::Start(victim), Undo::Restart(rest)])
            }
            FaultKind::Pause => {
                self.pause(victim, true);
                (vec![victim], String::new(), vec![Undo::Thaw(victim)])
            }
            FaultKind::AgentPause => {
                let host = self.agents_host;
                self.net.freeze(host, true);
                (vec![host], String::new(), vec![Undo::Thaw(host)])
            }
            FaultKind::AgentKill => {
                let number = random.next();
                if !self.load.kill_agent(number)? {
                    return Ok(None);
                }
                (vec![self.agents_host], String::new(), vec![Undo::StartAgent(number)])
            }
            FaultKind::FrameworkKill => {
                self.kill_framework(random.next());
                (vec![self.clients_host], String::new(), Vec::new())
            }
            FaultKind::Partition => {
                let alone = usize::try_from(random.between(1, (members.len() as u64 / 2).max(1))).unwrap_or(1);
                let mut left = vec![victim];
                left.extend(
                    members
                        .iter()
                        .copied()
                        .filter(|member| *member != victim)
                        .take(alone - 1),
                );
                let right: Vec<HostId> = members
                    .iter()
                    .copied()
                    .filter(|member| !left.contains(member))
                    .collect();
                let links = pairs(&left, &right);
                self.cut(left, links)
            }
            FaultKind::PartitionOneWay => {
                let others: Vec<HostId> = members.iter().copied().filter(|member| *member != victim).collect();
                let outbound = random.percent(50);
                let links = others
                    .iter()
                    .map(|other| if outbound { (victim, *other) } else { (*other, victim) });
                self.cut(vec![victim], links.collect())
            }
            FaultKind::PartitionRing => {
                if members.len() < 4 {
                    return Ok(None);
                }
                let links = outside_ring(&members, 1);
                self.cut(members, links)
            }
            FaultKind::PartitionMajorityRing => {
                let reach = members.len() / 4;
                let links = match members.len() {
                    0..3 => return Ok(None),
                    // Of three, the two others are a majority of each only if one pair is cut.
                    3 => pairs(&members[1..2], &members[2..3]),
                    _ => outside_ring(&members, reach.max(1)),
                };
                self.cut(members, links)
            }
            FaultKind::PartitionClients => {
                let Some(leader) = self.leader() else { return Ok(None) };
                let outside: Vec<HostId> = (self.cluster.machines.len()..self.names.len()).collect();
                let links = pairs(&[leader], &outside);
                self.cut(vec![leader], links)
            }
            FaultKind::Delay | FaultKind::Reorder => {
                let most = match fault.kind {
                    FaultKind::Delay => random.between(50, 1_500),
                    _ => random.between(20, 120),
                };
                let mut undo = Vec::new();
                for other in members.iter().copied().filter(|member| *member != victim) {
                    self.sim
                        .set_link_max_message_latency(self.name(victim), self.name(other), millis(most));
                    undo.push(Undo::Latency(victim, other));
                }
                (vec![victim], format!("up to {most} ms"), undo)
            }
            FaultKind::Loss => {
                let others: Vec<HostId> = members.iter().copied().filter(|member| *member != victim).collect();
                let links = if random.percent(50) {
                    pairs(&[victim], &others)
                } else {
                    pairs(&[victim], &others[..1])
                };
                self.losses.push(Loss {
                    number: fault.number,
                    links,
                    closed: false,
                    next: self.now(),
                    random: Random::of(fault.entropy, "loss"),
                });
                (vec![victim], String::new(), vec![Undo::StopLoss(fault.number)])
            }
            FaultKind::Duplicate => {
                self.net.record(RAFT_PORT);
                self.net
                    .reset(|me, peer| members.contains(&me) && members.contains(&peer));
                (members, String::new(), vec![Undo::Replay])
            }
            FaultKind::Reset => {
                let leader = self.leader().unwrap_or(victim);
                let ends = self.net.reset(|me, peer| me == leader || peer == leader);
                (vec![leader], format!("{ends} ends"), Vec::new())
            }
            FaultKind::ClockJump => {
                let millis = i64::try_from(random.between(0, 7_200_000)).unwrap_or(0) - 3_600_000;
                self.cluster.machines[victim].lock().clock.jump(millis * 1_000);
                (vec![victim], format!("{millis} ms"), vec![Undo::Clock(victim)])
            }
            FaultKind::ClockSkew => {
                let millionths = i64::try_from(random.between(0, 400_000)).unwrap_or(0) - 200_000;
                self.cluster.machines[victim].lock().clock.skew(millionths);
                (
                    vec![victim],
                    format!("{millionths} millionths"),
                    vec![Undo::Clock(victim)],
                )
            }
            FaultKind::Transfer => {
                self.transfer()?;
                (vec![victim], String::new(), Vec::new())
            }
            FaultKind::AddMember => match self.add_member()? {
                Some(host) => (vec![host], String::new(), Vec::new()),
                None => return Ok(None),
            },
            FaultKind::RemoveMember => match self.remove_member(victim)? {
                true => (vec![victim], String::new(), Vec::new()),
                false => return Ok(None),
            },
            FaultKind::ReplaceMember | FaultKind::Wipe => {
                if !self.may_lose_a_disk() {
                    return Ok(None);
                }
                let wiped_first = fault.kind == FaultKind::Wipe;
                self.replace(victim, wiped_first)?;
                (vec![victim], String::new(), Vec::new())
            }
            FaultKind::Snapshot => {
                self.take_snapshot(victim);
                (vec![victim], String::new(), Vec::new())
            }
            FaultKind::DiskLost => {
                // Half of the time the whole rack is without power: only then is what a majority forgot gone for good.
                let victims = if random.percent(50) { members } else { vec![victim] };
                // A disk that syncs no more for a moment before: nothing may be acknowledged that rests on it.
                let stalled = random.between(0, BLACKOUT_MAX.min(fault.lasts.saturating_sub(DOWN_MIN)));
                for victim in &victims {
                    self.cluster.machines[*victim].lock().store.set_stalled(true);
                }
                let at = self.now() + stalled * 1_000;
                self.blackouts
                    .push((at, victims.clone(), Random::of(fault.entropy, "blackout")));
                let undo = victims.iter().map(|victim| Undo::PowerOn(*victim)).collect();
                (victims, String::new(), undo)
            }
            FaultKind::DiskError => {
                if !self.may_lose_a_disk() {
                    return Ok(None);
                }
                let mut machine = self.cluster.machines[victim].lock();
                machine.disk_fault = "disk-error".to_owned();
                let what = match random.next() % 2 {
                    0 => {
                        machine.store.fail_next_write();
                        "the next write fails"
                    }
                    _ => {
                        machine.store.fail_next_sync();
                        "the next sync fails"
                    }
                };
                drop(machine);
                (vec![victim], what.to_owned(), vec![Undo::Start(victim)])
            }
            FaultKind::DiskFull => {
                self.cluster.machines[victim].lock().store.set_full(true);
                (vec![victim], String::new(), vec![Undo::Space(victim)])
            }
            FaultKind::DiskSlow => {
                let machine = self.cluster.machines[victim].lock();
                let detail = if random.percent(40) {
                    machine.store.set_stalled(true);
                    "no sync ends".to_owned()
                } else {
                    let most = random.between(20, 400);
                    machine.store.set_latency(millis(5)..=millis(most));
                    format!("up to {most} ms")
                };
                drop(machine);
                (vec![victim], detail, vec![Undo::FastDisk(victim)])
            }
            FaultKind::Corrupt => {
                if !self.may_lose_a_disk() {
                    return Ok(None);
                }
                self.kill(victim)?;
                let mut machine = self.cluster.machines[victim].lock();
                let Some(flipped) = machine.store.corrupt(random.next()) else {
                    drop(machine);
                    return Ok(Some((
                        vec![victim],
                        "nothing stored".to_owned(),
                        vec![Undo::Start(victim)],
                    )));
                };
                machine.disk_fault = format!("corrupt: {flipped}");
                drop(machine);
                (vec![victim], flipped, vec![Undo::Start(victim)])
            }
        }))
    }

    fn cut(&mut self, targets: Vec<HostId>, links: Vec<(HostId, HostId)>) -> (Vec<HostId>, String, Vec<Undo>) {
        let detail: Vec<String> = links
            .iter()
            .map(|(from, to)| format!("{}>{}", self.name(*from), self.name(*to)))
            .collect();
        for (from, to) in &links {
            self.net.close(*from, *to);
        }
        let undo = links.into_iter().map(|(from, to)| Undo::Open(from, to)).collect();
        (targets, detail.join(" "), undo)
    }

    fn end(&mut self, fault: Active) -> anyhow::Result<()> {
        for undo in fault.undo {
            self.undo(undo)?;
        }
        self.record_fault(fault.number, fault.kind, &fault.targets, String::new(), true);
        Ok(())
    }

    fn undo(&mut self, undo: Undo) -> anyhow::Result<()> {
        match undo {
            Undo::Start(host) => self.start(host)?,
            Undo::Restart(hosts) => self.upgrades.extend(hosts),
            Undo::PowerOn(host) => {
                self.power(host, true);
                self.start(host)?;
            }
            Undo::Open(from, to) => self.net.open(from, to),
            Undo::Thaw(host) => self.pause(host, false),
            Undo::Latency(from, to) => {
                let usual = Duration::from_micros(self.plan.latency_max);
                self.sim
                    .set_link_max_message_latency(self.name(from), self.name(to), usual);
            }
            Undo::StopLoss(number) => {
                let (over, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.losses)
                    .into_iter()
                    .partition(|loss| loss.number == number);
                self.losses = rest;
                for loss in over.into_iter().filter(|loss| loss.closed) {
                    for (from, to) in loss.links {
                        self.net.open(from, to);
                    }
                }
            }
            Undo::Clock(host) => self.cluster.machines[host].lock().clock.repair(),
            Undo::Space(host) => self.cluster.machines[host].lock().store.set_full(false),
            Undo::FastDisk(host) => {
                let machine = self.cluster.machines[host].lock();
                machine.store.set_stalled(false);
                machine
                    .store
                    .set_latency(Duration::ZERO..=Duration::from_micros(self.plan.sync_max));
            }
            Undo::Replay => self.replay()?,
            Undo::StartAgent(number) => {
                self.load.restart_agent(number)?;
            }
        }
        Ok(())
    }

    /// Loss as a connection feels it: nothing for the time of a retransmission, which doubles while it goes on.
    fn bursts(&mut self, now: u64) {
        for loss in self.losses.iter_mut().filter(|loss| loss.next <= now) {
            loss.closed = !loss.closed;
            for (from, to) in &loss.links {
                match loss.closed {
                    true => self.net.close(*from, *to),
                    false => self.net.open(*from, *to),
                }
            }
            let lasts = match loss.closed {
                true => 200 << loss.random.between(0, 3),
                false => loss.random.between(5, LOSS_PAUSE),
            };
            loss.next = now + lasts * 1_000;
        }
    }
}

/// Both directions between each of `left` and each of `right`.
fn pairs(left: &[HostId], right: &[HostId]) -> Vec<(HostId, HostId)> {
    let both = |(a, b): (HostId, HostId)| [(a, b), (b, a)];
    left.iter()
        .flat_map(|a| right.iter().map(|b| (*a, *b)))
        .flat_map(both)
        .collect()
}

/// Every direction between hosts more than `reach` places apart in the ring of `members`.
fn outside_ring(members: &[HostId], reach: usize) -> Vec<(HostId, HostId)> {
    let count = members.len();
    let mut links = Vec::new();
    for a in 0..count {
        for b in 0..count {
            let apart = a.abs_diff(b).min(count - a.abs_diff(b));
            if apart > reach {
                links.push((members[a], members[b]));
            }
        }
    }
    links
}
