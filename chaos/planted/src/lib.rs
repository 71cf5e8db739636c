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
    // The log and its disk.
    AcknowledgeBeforeSync = "acknowledge-before-sync", "an append counts as durable before it is synced";
    ForgetVote = "forget-vote", "a vote is answered before it is synced";
    SnapshotNotSynced = "snapshot-not-synced", "a snapshot counts before it is synced";
    CutDamagedLog = "cut-damaged-log", "a damaged record ends the log instead of stopping the start";
    TruncateTooMuch = "truncate-too-much", "a truncation drops one entry more than it should";
    TruncateTooLittle = "truncate-too-little", "a truncation is not written to the disk";
    PurgeTooMuch = "purge-too-much", "a purge takes three entries more than it should";
    ApplyTwice = "apply-twice", "a restarted replica applies the last entry it had again";
    SnapshotClaimsLess = "snapshot-claims-less", "a snapshot claims the index before its own";
    SnapshotSkipsTask = "snapshot-skips-task", "a snapshot leaves out the last task";
    // Raft.
    SkipTermCheck = "skip-term-check", "entries of a deposed leader are taken";
    WipedVotes = "wiped-votes", "a replica with an emptied directory comes back under its old id";
    StaleRead = "stale-read", "a read is answered without asking a quorum";
    UnknownAsDone = "unknown-as-done", "a call whose command may be lost is answered as carried out";
    // The registry.
    NondeterministicApply = "nondeterministic-apply", "one of the replicas applies a kill differently";
    TerminalRevives = "terminal-revives", "an update of a task that has ended changes its state";
    KillForgotten = "kill-forgotten", "a kill is sent but not remembered";
    RefusedSilently = "refused-silently", "nobody is told of a task refused when its launch was applied";
    UnreachableForever = "unreachable-forever", "tasks of an agent that was unreachable are not taken up when it comes back";
    // The leading master.
    SendBeforeCommit = "send-before-commit", "a task is sent to its agent when it is proposed";
    UpdateBeforeCommit = "update-before-commit", "an update reaches the framework when it is proposed";
    AcknowledgeForFramework = "acknowledge-for-framework", "an update is acknowledged before the framework has";
    LosePendingKill = "lose-pending-kill", "a new leader does not send the kills that were under way";
    LoseLaunch = "lose-launch", "a new leader does not send again the launches that their agents lack";
    ReuseOfferId = "reuse-offer-id", "each leadership gives its offers the ids of the one before";
    OldOfferHonoured = "old-offer-honoured", "an ACCEPT that names an offer of another leadership launches all the same";
    FrameworkForgotten = "framework-forgotten", "the failover timeout runs on after the framework has come back";
    ReplyToWrongCaller = "reply-to-wrong-caller", "the answer to a command goes to the caller of the next one";
    TaskUpdateDropped = "task-update-dropped", "an update that comes while its framework is away is taken for acknowledged";
    DescriptorLeak = "descriptor-leak", "streams of frameworks that went away are never closed";
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
