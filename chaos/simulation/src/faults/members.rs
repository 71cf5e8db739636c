//! Faults that change who is a member, and what else goes through the operator's tools.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use replicated_log::{Admin, AdminError};

use crate::network::HostId;
use crate::run::Run;

/// Members below which none is removed.
const MEMBERS_MIN: usize = 3;
/// Members above which none is added.
const MEMBERS_MAX: usize = 6;
/// Pause between two tries of a removal.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

const PENDING: u8 = 0;
const DONE: u8 = 1;

/// A member that is on its way out, and perhaps another on its way in.
#[derive(Debug)]
pub(crate) struct Replacement {
    host: HostId,
    old: u64,
    comes_back: bool,
    state: Arc<AtomicU8>,
}

impl Run<'_> {
    /// Whether the cluster can bear that one more member forgets what it promised: all others are well and up to date, and
    /// no other is being replaced. Otherwise committed entries would be lost, and rightly so.
    pub(crate) fn may_lose_a_disk(&self) -> bool {
        if !self.replacements.is_empty()
            || self
                .cluster
                .machines
                .iter()
                .any(|machine| !machine.lock().disk_fault.is_empty())
        {
            return false;
        }
        let members = self.members();
        members.len() >= MEMBERS_MIN && self.all_vote(&members) && self.all_equal(&members)
    }

    /// Whether each of these is a voter in the eyes of each: one that is still joining counts for no quorum.
    fn all_vote(&self, members: &[HostId]) -> bool {
        let nodes: BTreeSet<u64> = members
            .iter()
            .map(|host| self.cluster.machines[*host].lock().node)
            .collect();
        members.iter().all(|host| {
            let machine = self.cluster.machines[*host].lock();
            let status = machine.master.as_ref().map(|master| master.status().borrow().clone());
            status
                .is_some_and(|status| !status.is_joint && status.voters.into_keys().collect::<BTreeSet<u64>>() == nodes)
        })
    }

    /// Starts the master of an idle machine as a new member.
    pub(crate) fn add_member(&mut self) -> anyhow::Result<Option<HostId>> {
        let members = self.members();
        if members.len() >= MEMBERS_MAX || !self.replacements.is_empty() {
            return Ok(None);
        }
        let idle = self
            .cluster
            .machines
            .iter()
            .position(|machine| !machine.lock().is_member);
        let (Some(host), Some(member)) = (idle, self.running().first().copied()) else {
            return Ok(None);
        };
        self.join(host, member)?;
        Ok(Some(host))
    }

    fn join(&mut self, host: HostId, member: HostId) -> anyhow::Result<()> {
        let address = self.cluster.machines[member].lock().raft_address().1;
        let node = self.next_node;
        self.next_node += 1;
        let mut machine = self.cluster.machines[host].lock();
        machine.become_new_member(node, address);
        machine.is_member = true;
        drop(machine);
        self.start(host)
    }

    /// Asks the leader to remove a member for good; its master is killed when that is done.
    pub(crate) fn remove_member(&mut self, host: HostId) -> anyhow::Result<bool> {
        if self.members().len() <= MEMBERS_MIN || !self.replacements.is_empty() {
            return Ok(false);
        }
        self.ask_to_remove(host, false)?;
        Ok(true)
    }

    /// A member's directory is gone: it is removed and comes back under a new id. `under_old_id`: before that its
    /// operator starts it as it was, which it has to refuse.
    pub(crate) fn replace(&mut self, host: HostId, under_old_id: bool) -> anyhow::Result<()> {
        self.kill(host)?;
        let mut machine = self.cluster.machines[host].lock();
        machine.store.wipe();
        machine.disk += 1;
        machine.disk_fault = "wiped".to_owned();
        drop(machine);
        if under_old_id {
            self.start(host)?;
        }
        self.ask_to_remove(host, true)
    }

    fn ask_to_remove(&mut self, host: HostId, comes_back: bool) -> anyhow::Result<()> {
        let old = self.cluster.machines[host].lock().node;
        let admin = self.admin(Some(host));
        let state = Arc::new(AtomicU8::new(PENDING));
        let done = state.clone();
        self.jobs.give(async move {
            loop {
                let members = admin.members().await;
                if members.is_ok_and(|members| members.get(old).is_none()) {
                    break;
                }
                if let Err(error) = admin.remove(old).await {
                    tracing::info!(%error, "a member is not removed yet");
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            done.store(DONE, Ordering::Relaxed);
        })?;
        self.replacements.push(Replacement {
            host,
            old,
            comes_back,
            state,
        });
        Ok(())
    }

    /// Goes on with replacements that have come so far.
    pub(crate) fn replacements(&mut self) -> anyhow::Result<()> {
        let (done, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.replacements)
            .into_iter()
            .partition(|replacement| replacement.state.load(Ordering::Relaxed) == DONE);
        self.replacements = pending;
        for Replacement {
            host, old, comes_back, ..
        } in done
        {
            self.trace.numbers(self.now(), "removed", &[old]);
            self.counters.add("membership/removed", 1);
            self.judge_wiped(host, old);
            self.kill(host)?;
            let mut machine = self.cluster.machines[host].lock();
            machine.is_member = false;
            machine.disk_fault.clear();
            drop(machine);
            if comes_back {
                match self.running().first().copied() {
                    Some(member) => self.join(host, member)?,
                    None => self.counters.add("membership/nobody-to-join", 1),
                }
            }
        }
        Ok(())
    }

    /// A master that lost its directory must not take part under its old id. While it reaches nobody it may wait, but it
    /// belongs to no cluster then.
    fn judge_wiped(&mut self, host: HostId, old: u64) {
        let machine = self.cluster.machines[host].lock();
        let takes_part = machine
            .master
            .as_ref()
            .is_some_and(|master| master.status().borrow().cluster_id.is_some());
        if machine.disk_fault == "wiped" && takes_part {
            let what = format!("node {old} lost its directory and takes part under its old id");
            self.oracle.violated("lost-directory-is-refused", what);
        }
    }

    /// Hands the leadership to whom the leader chooses.
    pub(crate) fn transfer(&mut self) -> anyhow::Result<()> {
        let admin = self.admin(None);
        let counters = self.counters.clone();
        self.jobs.give(async move {
            match admin.transfer_leadership(None).await {
                Ok(_) => counters.add("membership/transferred", 1),
                Err(AdminError::Refused { .. }) => counters.add("membership/transfer-refused", 1),
                Err(_) => counters.add("membership/transfer-unknown", 1),
            }
        })
    }

    fn admin(&self, without: Option<HostId>) -> Admin {
        let members = self.members().into_iter().filter(|host| Some(*host) != without);
        let addresses = members.map(|host| self.cluster.machines[host].lock().raft_address().1);
        Admin::new(addresses.collect(), self.operator_seams.clone())
    }
}
