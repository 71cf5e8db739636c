//! What a replica has done since it was started, counted: for operators, and for tests that must know what they reached.
//!
//! Elections are told by the votes a replica stores, so that none is missed however short it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::NodeId;
use crate::type_config::{Membership, Vote};

macro_rules! events {
    ($($event:ident = $name:literal, $what:literal;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event {
            $(#[doc = $what] $event,)*
        }

        impl Event {
            /// All of them.
            pub const ALL: &'static [Event] = &[$(Event::$event,)*];

            /// Its name in metrics: lower case, with underscores.
            pub const fn name(self) -> &'static str {
                match self { $(Event::$event => $name,)* }
            }

            /// What happened, for people.
            pub const fn what(self) -> &'static str {
                match self { $(Event::$event => $what,)* }
            }
        }

        const EVENTS: usize = [$($name,)*].len();
    };
}

events! {
    ElectionsByTimer = "elections_by_timer", "this replica campaigned because it had not heard of a leader for too long";
    ElectionsByTakeover = "elections_by_takeover", "this replica campaigned because the leader's process was gone";
    ElectionsByTransfer = "elections_by_transfer", "this replica campaigned because the leader asked it to";
    ElectionsByFounding = "elections_by_founding", "this replica campaigned because it had founded the cluster";
    ElectionsWon = "elections_won", "this replica became the leader";
    ElectionsLost = "elections_lost", "this replica campaigned in vain";
    VotesGranted = "votes_granted", "this replica voted for another";
    VotesRefused = "votes_refused", "this replica refused another its vote";
    PreVotesRefused = "pre_votes_refused", "this replica told another that a campaign of it would be in vain";
    LeadershipsEnded = "leaderships_ended", "this replica led, and learned of a newer vote";
    LeasesLost = "leases_lost", "this replica led, and refused a command because no quorum confirmed that it still does";
    LeadersFoundDead = "leaders_found_dead", "the leader's host said that its process is gone";
    TransfersAsked = "transfers_asked", "this replica led, and asked another to take over";
    LogTruncations = "log_truncations", "entries that another leader had overruled were removed";
    LogPurges = "log_purges", "entries that a snapshot covers were removed";
    SnapshotsBuilt = "snapshots_built", "a snapshot was written";
    SnapshotsSent = "snapshots_sent", "a snapshot was sent to another replica, which took it";
    SnapshotsInstalled = "snapshots_installed", "a snapshot of another replica replaced the state";
    SnapshotsLoaded = "snapshots_loaded", "the state began with a snapshot of an earlier run";
    SnapshotsRefused = "snapshots_refused", "a snapshot came from another replica and was damaged, cut or unwanted";
    AppendsRefused = "appends_refused", "entries did not join on to this replica's log";
    DiskFullEpisodes = "disk_full_episodes", "the disk became full";
    TornTails = "torn_tails", "a start dropped a write that the loss of power had cut short; seen on a simulated disk only";
    LearnersAdded = "learners_added", "a membership with another learner was applied";
    VotersPromoted = "voters_promoted", "a membership with another voter was applied";
    LearnersRemoved = "learners_removed", "a membership without a former learner was applied";
    VotersRemoved = "voters_removed", "a membership without a former voter was applied";
    JointMemberships = "joint_memberships", "a membership on the way from one set of voters to the next was applied";
    MembershipChangesFinished = "membership_changes_finished", "this leader took the second step of a change that an earlier one began";
    ClustersFounded = "clusters_founded", "this replica founded a cluster";
    ClustersAdopted = "clusters_adopted", "this replica became a member of a cluster that another founded";
    ClustersJoined = "clusters_joined", "this replica became a voter of a cluster that was there before";
}

/// Why this replica campaigns, other than because of its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Takeover,
    Transfer,
    Founding,
}

/// The counts of one run of a replica. Cheap to clone; all clones are the same, and stay readable after its end.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    counts: [AtomicU64; EVENTS],
    elections: Mutex<Elections>,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            elections: Mutex::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Elections {
    node_id: NodeId,
    /// The last vote stored by this run.
    vote: Option<Vote>,
    /// Why the next campaign begins, if it begins in the term after this one.
    cause: Option<(u64, Cause)>,
}

impl Counters {
    /// How often it has happened.
    pub fn get(&self, event: Event) -> u64 {
        self.0.counts[event as usize].load(Ordering::Relaxed)
    }

    /// Everything that is counted, in the order of [`Event::ALL`].
    pub fn all(&self) -> impl Iterator<Item = (Event, u64)> {
        Event::ALL.iter().map(|event| (*event, self.get(*event)))
    }

    pub(crate) fn count(&self, event: Event) {
        self.0.counts[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn elections(&self) -> std::sync::MutexGuard<'_, Elections> {
        self.0.elections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose votes are counted, and which it had stored before.
    pub(crate) fn begin(&self, node_id: NodeId, vote: Option<Vote>) {
        let mut elections = self.elections();
        elections.node_id = node_id;
        elections.vote = vote;
    }

    /// A campaign in the term after `term` will have this cause; `None` takes that back.
    pub(crate) fn expect_campaign(&self, term: u64, cause: Option<Cause>) {
        self.elections().cause = cause.map(|cause| (term, cause));
    }

    /// Counts what storing a vote means.
    pub(crate) fn vote_stored(&self, vote: &Vote) {
        let mut elections = self.elections();
        let node_id = elections.node_id;
        let is_own = |vote: &Vote| vote.leader_id.node_id == node_id;
        let former = elections.vote.replace(*vote);
        let was_leading = former.as_ref().is_some_and(|former| is_own(former) && former.committed);
        let was_campaigning = former
            .as_ref()
            .is_some_and(|former| is_own(former) && !former.committed);
        match (is_own(vote), vote.committed) {
            (true, true) => self.count(Event::ElectionsWon),
            (true, false) => {
                let cause = elections
                    .cause
                    .take()
                    .filter(|(term, _)| term + 1 == vote.leader_id.term);
                self.count(match cause {
                    None => Event::ElectionsByTimer,
                    Some((_, Cause::Takeover)) => Event::ElectionsByTakeover,
                    Some((_, Cause::Transfer)) => Event::ElectionsByTransfer,
                    Some((_, Cause::Founding)) => Event::ElectionsByFounding,
                });
            }
            (false, false) => self.count(Event::VotesGranted),
            (false, true) => {}
        }
        if was_leading && former.as_ref() != Some(vote) {
            self.count(Event::LeadershipsEnded);
        }
        if was_campaigning && !(is_own(vote) && vote.committed) {
            self.count(Event::ElectionsLost);
        }
    }

    /// Counts what applying a membership after another means.
    pub(crate) fn membership_applied(&self, former: &Membership, membership: &Membership) {
        if membership.get_joint_config().len() > 1 {
            self.count(Event::JointMemberships);
        }
        // The first one founds the cluster.
        if former.nodes().next().is_none() {
            return;
        }
        let votes = |membership: &Membership, node_id| membership.voter_ids().any(|voter| voter == node_id);
        for (node_id, _) in membership.nodes() {
            let was_member = former.get_node(node_id).is_some();
            match (was_member, votes(former, *node_id), votes(membership, *node_id)) {
                (false, _, false) => self.count(Event::LearnersAdded),
                (_, false, true) => self.count(Event::VotersPromoted),
                _ => {}
            }
        }
        for (node_id, _) in former.nodes() {
            if membership.get_node(node_id).is_none() {
                self.count(match votes(former, *node_id) {
                    true => Event::VotersRemoved,
                    false => Event::LearnersRemoved,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::type_config::{LeaderId, Node};

    fn vote(term: u64, node_id: u64, committed: bool) -> Vote {
        Vote {
            leader_id: LeaderId { term, node_id },
            committed,
        }
    }

    fn counted(counters: &Counters) -> Vec<(&'static str, u64)> {
        let happened = counters.all().filter(|(_, count)| *count > 0);
        happened.map(|(event, count)| (event.name(), count)).collect()
    }

    #[test]
    fn names_are_unique_and_fit_metrics() {
        let names: BTreeSet<_> = Event::ALL.iter().map(|event| event.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        }
    }

    #[test]
    fn votes_tell_how_elections_began_and_ended() {
        let counters = Counters::default();
        counters.begin(1, Some(vote(1, 2, true)));
        counters.vote_stored(&vote(2, 1, false));
        counters.vote_stored(&vote(3, 1, false));
        counters.expect_campaign(3, Some(Cause::Takeover));
        counters.vote_stored(&vote(4, 1, false));
        counters.vote_stored(&vote(4, 1, true));
        counters.vote_stored(&vote(5, 3, false));
        // Meant for another term.
        counters.expect_campaign(4, Some(Cause::Transfer));
        counters.vote_stored(&vote(6, 1, false));
        counters.vote_stored(&vote(6, 2, true));
        assert_eq!(
            counted(&counters),
            [
                ("elections_by_timer", 3),
                ("elections_by_takeover", 1),
                ("elections_won", 1),
                ("elections_lost", 3),
                ("votes_granted", 1),
                ("leaderships_ended", 1),
            ]
        );
    }

    #[test]
    fn memberships_are_counted_by_what_changes() {
        let membership = |voters: &[&[u64]], nodes: &[u64]| {
            let voters = voters.iter().map(|set| set.iter().copied().collect()).collect();
            let nodes = nodes.iter().map(|id| (*id, Node::new(id.to_string())));
            Membership::new(voters, nodes.collect::<BTreeMap<_, _>>()).unwrap()
        };
        let counters = Counters::default();
        let steps = [
            Membership::default(),
            membership(&[&[1, 2, 3]], &[1, 2, 3]),
            membership(&[&[1, 2, 3]], &[1, 2, 3, 4, 5]),
            membership(&[&[1, 2, 3], &[1, 2, 3, 4]], &[1, 2, 3, 4, 5]),
            membership(&[&[1, 2, 3, 4]], &[1, 2, 3, 4]),
            membership(&[&[2, 3, 4]], &[2, 3, 4]),
        ];
        for pair in steps.windows(2) {
            counters.membership_applied(&pair[0], &pair[1]);
        }
        assert_eq!(
            counted(&counters),
            [
                ("learners_added", 2),
                ("voters_promoted", 1),
                ("learners_removed", 1),
                ("voters_removed", 1),
                ("joint_memberships", 1),
            ]
        );
    }
}
