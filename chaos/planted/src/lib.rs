//! Small, realistic defects that the chaos tests must find: the test of the tests.
//!
//! The product asks [`is_planted`] at the places where such a mistake could have been made. Without the feature
//! `planted-bugs` the answer is a constant, and nothing of a defect is compiled; with it, one defect at most is chosen,
//! by [`plant`] or by the variable [`VARIABLE`] of the environment. A build without debug assertions refuses the feature.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("the feature planted-bugs is for tests: a build without debug assertions cannot have it");

use std::fmt::{Display, Formatter};
use std::str::FromStr;
#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicU32, Ordering};

/// Variable of the environment that names the defect of a process built with them.
pub const VARIABLE: &str = "MESORAFT_PLANTED_BUG";

macro_rules! bugs {
    ($($bug:ident = $name:literal, $what:literal;)*) => {
        /// A defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$bug,)*];

            /// As it is typed and reported.
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            /// What is wrong.
            pub const fn what(self) -> &'static str {
                match self { $(Bug::$bug => $what,)* }
            }
        }
    };
}

bugs! {
    AcknowledgeBeforeSync = "acknowledge-before-sync", "an append counts as durable before it is synced";
    ForgetVote = "forget-vote", "a vote is answered before it is synced";
    ApplyTwice = "apply-twice", "a restarted replica applies the last committed entry again";
    SkipTermCheck = "skip-term-check", "an append of an older term is taken";
    SendBeforeCommit = "send-before-commit", "a task is sent to its agent when it is proposed";
    StaleRead = "stale-read", "a read is answered without asking a quorum";
    TruncateTooMuch = "truncate-too-much", "a truncation drops one entry more than it should";
    TruncateTooLittle = "truncate-too-little", "a truncation is not written to the disk";
    LosePendingKill = "lose-pending-kill", "a new leader does not send the kills that were under way";
    ReuseOfferId = "reuse-offer-id", "a new leadership counts its offers from the beginning";
    WipedVotes = "wiped-votes", "a replica with an emptied directory votes under its old id";
    UnknownAsDone = "unknown-as-done", "a proposal that timed out is answered as carried out";
    AcceptTornTail = "accept-torn-tail", "a record with a wrong checksum is taken at start-up";
    PurgeTooMuch = "purge-too-much", "the log is purged beyond the snapshot";
    SnapshotSkipsTask = "snapshot-skips-task", "a snapshot leaves out the youngest task";
    SnapshotOldIndex = "snapshot-old-index", "a restored snapshot claims the index before its own";
    InstallKeepsOld = "install-keeps-old", "an installed snapshot is merged into what was there";
    LaunchTwice = "launch-twice", "a new leader sends every launch again, also to agents that have started it";
    TerminalRevives = "terminal-revives", "an update of a terminal task changes its state";
    UpdateOutOfOrder = "update-out-of-order", "updates of a task waiting for a framework are sent newest first";
    UpdateLostAtFailover = "update-lost-at-failover", "a new leader does not send updates that are not acknowledged";
    UpdateBeforeCommit = "update-before-commit", "an update reaches the framework before it is committed";
    AcknowledgeOther = "acknowledge-other", "an acknowledgement is passed on without comparing the update's id";
    OldOfferHonoured = "old-offer-honoured", "an ACCEPT naming an offer that is gone launches on its agent all the same";
    FrameworkForgotten = "framework-forgotten", "the failover timeout of a framework runs on after it has come back";
    AgentTasksForgotten = "agent-tasks-forgotten", "an agent that reregisters without a task is believed at once and nobody is told";
    SkipAnnouncement = "skip-announcement", "a new leader takes calls before its own first entry is committed";
    QuotaNotReplicated = "quota-not-replicated", "followers do not apply a change of a quota";
    NondeterministicApply = "nondeterministic-apply", "applying depends on which replica applies";
    EventTwice = "event-twice", "a resumed event stream begins one event too early";
    DescriptorLeak = "descriptor-leak", "connections of frameworks that went away are kept";
    ReplyToWrongCaller = "reply-to-wrong-caller", "a launch that failed validation at apply is answered as accepted";
}

impl Display for Bug {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no defect has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no planted bug '{name}'; there are: {}", names())]
pub struct UnknownBug {
    /// What was asked for.
    pub name: String,
}

fn names() -> String {
    Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let found = Bug::ALL.iter().find(|bug| bug.name() == name);
        found.copied().ok_or_else(|| UnknownBug { name: name.to_owned() })
    }
}

/// Whether this build has the defects in it.
pub const COMPILED_IN: bool = cfg!(feature = "planted-bugs");

/// Whether this process is to behave as if `bug` had been made.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}

/// Whether this process is to behave as if `bug` had been made.
#[cfg(feature = "planted-bugs")]
pub fn is_planted(bug: Bug) -> bool {
    match CHOSEN.load(Ordering::Relaxed) {
        UNREAD => {
            plant(from_environment());
            is_planted(bug)
        }
        chosen => chosen == bug as u32,
    }
}

#[cfg(feature = "planted-bugs")]
const UNREAD: u32 = u32::MAX;
#[cfg(feature = "planted-bugs")]
const NONE: u32 = u32::MAX - 1;
#[cfg(feature = "planted-bugs")]
static CHOSEN: AtomicU32 = AtomicU32::new(UNREAD);

/// Chooses the defect of this process, whatever the environment says.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    CHOSEN.store(bug.map_or(NONE, |bug| bug as u32), Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
fn from_environment() -> Option<Bug> {
    let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
    match name.parse() {
        Ok(bug) => Some(bug),
        // A misspelt defect must not pass for a test of it.
        Err(error) => {
            eprintln!("{VARIABLE}: {error}");
            std::process::exit(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_written_and_another_is_refused_with_all_names() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
        }
        let error = "none".parse::<Bug>().map(drop).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("'none'") && text.contains("forget-vote")));
    }

    #[test]
    fn nothing_is_planted_unless_it_is_chosen() {
        #[cfg(feature = "planted-bugs")]
        {
            plant(Some(Bug::ForgetVote));
            assert!(is_planted(Bug::ForgetVote) && !is_planted(Bug::StaleRead));
            plant(None);
        }
        assert!(Bug::ALL.iter().all(|bug| !is_planted(*bug)));
    }
}
