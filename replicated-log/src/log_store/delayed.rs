//! Reports of durability that come late and out of order, as a store may send them. For tests of what rests on them.

use std::sync::{Arc, Mutex, PoisonError};

type Report = Box<dyn FnOnce() + Send>;

/// Holds reports back until they are released. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Delay(Arc<Mutex<DelayState>>);

#[derive(Default)]
struct DelayState {
    holding: bool,
    held: Vec<Report>,
}

impl Delay {
    pub(super) fn later(&self, report: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holding {
            state.held.push(Box::new(report));
        } else {
            drop(state);
            report();
        }
    }
}

impl Delay {
    /// From now on reports wait.
    pub(crate) fn hold(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).holding = true;
    }

    /// How many reports wait.
    pub(crate) fn held(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.len()
    }

    /// Fires the waiting reports, the youngest first, and holds no more.
    pub(crate) fn release_reversed(&self) {
        let held = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.holding = false;
            std::mem::take(&mut state.held)
        };
        for report in held.into_iter().rev() {
            report();
        }
    }
}

/// A replica that becomes the leader while entries are still on their way to its disk must not count them as stored.
/// openraft did so before 0.10.0-alpha.37 (its issue 2118); keep this when openraft is upgraded.
#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use openraft::async_runtime::watch::WatchReceiver;
    use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
    use openraft::network::RPCOption;
    use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
    use openraft::{EntryPayload, RaftNetworkFactory, RaftNetworkV2};

    use super::Delay;
    use crate::LogPosition;
    use crate::log_store::{LogStore, MemoryStore, NodeRecord};
    use crate::snapshot::{SnapshotData, SnapshotStore};
    use crate::state_machine::{Machine, StateMachine};
    use crate::type_config::{Entry, LeaderId, LogId, Membership, Node, Snapshot, TypeConfig, Vote};
    use crate::waiting::Waiting;

    struct Nothing;

    impl StateMachine for Nothing {
        type Outcome = ();
        type View = ();
        fn apply(&mut self, _position: LogPosition, _command: &[u8]) {}
        fn applied(&mut self, _upto: LogPosition) {}
        fn view(&self) {}
        fn write_snapshot((): &(), _out: &mut dyn io::Write) -> io::Result<()> {
            Ok(())
        }
        fn read_snapshot(_input: &mut dyn io::Read) -> io::Result<()> {
            Ok(())
        }
        fn install(&mut self, _upto: LogPosition, (): ()) {}
    }

    /// Member 3 grants every vote and stores everything at once; member 1 is dead.
    struct Obliging;
    struct ObligingPeer(u64);

    impl RaftNetworkFactory<TypeConfig> for Obliging {
        type Network = ObligingPeer;
        async fn new_client(&mut self, target: u64, _node: &Node) -> ObligingPeer {
            ObligingPeer(target)
        }
    }

    impl ObligingPeer {
        fn alive(&self) -> Result<(), Unreachable<TypeConfig>> {
            if self.0 == 3 {
                Ok(())
            } else {
                Err(Unreachable::new(&io::Error::other("dead")))
            }
        }
    }

    impl RaftNetworkV2<TypeConfig> for ObligingPeer {
        type SnapshotData = SnapshotData<()>;

        async fn append_entries(
            &mut self,
            _request: AppendEntriesRequest<TypeConfig>,
            _option: RPCOption,
        ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
            self.alive()?;
            Ok(AppendEntriesResponse::Success)
        }

        async fn vote(
            &mut self,
            request: VoteRequest<TypeConfig>,
            _option: RPCOption,
        ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
            self.alive()?;
            Ok(VoteResponse::new(request.vote, None, true))
        }

        async fn full_snapshot(
            &mut self,
            _vote: Vote,
            _snapshot: Snapshot<Self::SnapshotData>,
            _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
            _option: RPCOption,
        ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
            Err(Unreachable::new(&io::Error::other("no snapshots")).into())
        }
    }

    const OLD_LEADER: LeaderId = LeaderId { term: 1, node_id: 1 };

    fn append(entries: Vec<Entry>, prev_log_id: Option<LogId>) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: Vote {
                leader_id: OLD_LEADER,
                committed: true,
            },
            prev_log_id,
            entries,
            leader_commit: None,
        }
    }

    fn old_entry(index: u64, payload: openraft::alias::PayloadOf<TypeConfig>) -> Entry {
        Entry {
            log_id: LogId {
                leader_id: OLD_LEADER,
                index,
            },
            payload,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_leader_does_not_count_its_own_entries_before_they_are_durable() {
        let (delay, mount) = (Delay::default(), MemoryStore::new().mount());
        let node = NodeRecord {
            node_id: 2,
            cluster_name: "delayed".into(),
        };
        let (disk, recovered) = mount.open_log(&node).unwrap();
        let store = LogStore::delayed(recovered, disk, delay.clone());
        let snapshots = Arc::new(SnapshotStore::in_memory(mount).unwrap());
        let machine = Machine::new(
            Nothing,
            Arc::new(Waiting::new(0)),
            snapshots,
            crate::Counters::default(),
        );
        let options = openraft::Config {
            enable_elect: false,
            ..openraft::Config::default()
        };
        let raft = openraft::Raft::new(2, Arc::new(options), Obliging, store, machine)
            .await
            .unwrap();

        let nodes = BTreeMap::from([1, 2, 3].map(|id| (id, Node::new(id.to_string()))));
        let membership = Membership::new(vec![BTreeSet::from([1, 2, 3])], nodes).unwrap();
        let first = old_entry(0, EntryPayload::Membership(membership));
        let first_id = first.log_id;
        raft.append_entries(append(vec![first], None)).await.unwrap();

        delay.hold();
        let late = append(
            (1..4).map(|index| old_entry(index, EntryPayload::Blank)).collect(),
            Some(first_id),
        );
        let unanswered = tokio::spawn({
            let raft = raft.clone();
            async move { raft.append_entries(late).await }
        });
        let wait = raft.wait(Some(Duration::from_secs(30)));
        wait.metrics(|metrics| metrics.last_log_index == Some(3), "the late entries came")
            .await
            .unwrap();
        raft.trigger().elect(false).await.unwrap();
        // The blank entry of the new term is appended at once; member 3 confirms it at once, this replica's disk later.
        wait.metrics(|metrics| metrics.last_log_index == Some(4), "it leads")
            .await
            .unwrap();
        wait.metrics(
            |metrics| {
                let matched = metrics
                    .replication
                    .as_ref()
                    .and_then(|replication| replication.get(&3).cloned().flatten());
                matched.is_some_and(|log_id| log_id.index == 4)
            },
            "member 3 has all",
        )
        .await
        .unwrap();
        let both_held = async {
            while delay.held() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), both_held).await.unwrap();
        let early = raft.metrics().borrow_watched().local_committed;
        assert!(
            early.is_none_or(|committed| committed.index == 0),
            "committed {early:?} on one durable copy"
        );

        delay.release_reversed();
        wait.metrics(
            |metrics| metrics.local_committed.is_some_and(|log_id| log_id.index == 4),
            "committed",
        )
        .await
        .unwrap();
        // Its leader is deposed; whatever it is told, it must be told something.
        drop(unanswered.await.unwrap());
        raft.shutdown().await.unwrap();
    }
}
