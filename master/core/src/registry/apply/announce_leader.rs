//! AnnounceLeader: the first command of a leadership; the very first one names the cluster.

use std::sync::Arc;

use super::Changes;
use crate::command::AnnounceLeader;
use crate::outcome::{Outcome, Rejection};
use crate::registry::{LeaderRecord, Registry};

impl Registry {
    pub(super) fn announce_leader(
        &mut self,
        command: &AnnounceLeader,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let announced = self.cluster().leader.as_ref().map_or(0, |leader| leader.term);
        // Of two that lead in one term, in turn, the later counts: its announcement is later in the log.
        if command.term < announced {
            return Err(Rejection::StaleTerm {
                term: command.term,
                announced,
            });
        }
        command.master.decode().map_err(|error| Rejection::Malformed {
            what: "master",
            why: error.to_string(),
        })?;
        let cluster = self.cluster_mut();
        let cluster_id = cluster
            .id
            .get_or_insert_with(|| Arc::from(command.cluster_id.as_str()))
            .clone();
        cluster.masters.insert(command.node_id, command.master.clone());
        cluster.leader = Some(LeaderRecord {
            node_id: command.node_id,
            term: command.term,
            master: command.master.clone(),
            announced_at: changes.now,
        });
        Ok(Outcome::LeaderAnnounced { cluster_id })
    }

    /// `<cluster id><separator><number>`: the counter only grows, so that no id is ever given twice.
    pub(super) fn minted(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.cluster().id.as_deref().unwrap_or_default())
    }
}
