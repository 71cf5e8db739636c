//! The vocabulary of faults: one name for each, in the simulator, in the real-process runner, in histories and counters.
//!
//! Must never inject anything itself; the two harnesses do, each in its own way.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a fault can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the simulator only.
    Simulation,
    /// In real processes only, by any user.
    Processes,
    /// In real processes only, as root.
    ProcessesAsRoot,
    /// In both, by any user.
    Both,
}

macro_rules! faults {
    ($($kind:ident = $name:literal, $reach:ident, $what:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultKind {
            $(#[doc = $what] #[serde(rename = $name)] $kind,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [FaultKind] = &[$(FaultKind::$kind,)*];

            /// As it is typed and recorded.
            pub const fn name(self) -> &'static str {
                match self { $(FaultKind::$kind => $name,)* }
            }

            /// One line for people.
            pub const fn what(self) -> &'static str {
                match self { $(FaultKind::$kind => $what,)* }
            }

            /// Where it can be injected.
            pub const fn reach(self) -> Reach {
                match self { $(FaultKind::$kind => Reach::$reach,)* }
            }
        }
    };
}

faults! {
    Kill = "kill", Both, "a master dies at once (kill -9) and is started again";
    KillAll = "kill-all", Both, "all masters die at once and are started again";
    Stop = "stop", Both, "a master is stopped in order (SIGTERM), hands over if it leads, and is started again";
    Pause = "pause", Both, "a master stands still (SIGSTOP) and goes on later";
    Wipe = "wipe", Both, "a master's directory is emptied, the member replaced under a new id";
    Partition = "partition", Both, "the masters are cut into two groups";
    PartitionOneWay = "partition-one-way", Both, "messages pass in one direction only";
    PartitionRing = "partition-ring", Both, "each master reaches only its neighbours in a ring";
    PartitionMajorityRing = "partition-majority-ring", Both, "each master reaches a majority, and no two the same one";
    PartitionClients = "partition-clients", Both, "the leader reaches the other masters, but no agent nor framework";
    Delay = "delay", Both, "messages between two hosts take long";
    Loss = "loss", Both, "messages between two hosts are lost for a while, and their connections stall";
    Duplicate = "duplicate", Both, "what one master said to another is said again later, on another connection";
    Reorder = "reorder", Both, "messages of different connections overtake each other";
    Reset = "reset", Both, "connections of a live leader are reset";
    ClockJump = "clock-jump", Both, "the wall clock of a master jumps";
    ClockSkew = "clock-skew", Both, "the wall clock of a master runs fast or slow";
    AddMember = "add-member", Both, "a master joins the cluster";
    RemoveMember = "remove-member", Both, "a master is removed from the cluster for good";
    ReplaceMember = "replace-member", Both, "a master is replaced by another with a new id";
    Transfer = "transfer", Both, "leadership is handed to another master";
    Upgrade = "upgrade", Both, "the masters are replaced by another build, one after the other";
    Snapshot = "snapshot", Both, "a snapshot is taken and the log purged";
    AgentKill = "agent-kill", Both, "an agent dies and comes back";
    AgentPause = "agent-pause", Both, "an agent stands still and goes on later";
    FrameworkKill = "framework-kill", Both, "a framework dies and fails over to another scheduler";
    DiskLost = "disk-lost", Both, "a master loses power: what was not synced is gone, the last write may be torn";
    DiskError = "disk-error", Both, "reads or writes of a master's disk fail";
    DiskFull = "disk-full", Both, "a master's disk is full for a while";
    DiskSlow = "disk-slow", Both, "a master's disk takes long";
    Corrupt = "corrupt", Both, "a bit of a stopped master's files flips, or a file is cut off";
}

impl FaultKind {
    /// Whether the simulator can inject it.
    pub fn in_simulation(self) -> bool {
        matches!(self.reach(), Reach::Simulation | Reach::Both)
    }

    /// Whether the real-process runner can inject it; some only `as_root`.
    pub fn in_processes(self, as_root: bool) -> bool {
        match self.reach() {
            Reach::Processes | Reach::Both => true,
            Reach::ProcessesAsRoot => as_root,
            Reach::Simulation => false,
        }
    }
}

impl Display for FaultKind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault '{name}'; there are: {}", names())]
pub struct UnknownFault {
    /// What was asked for.
    pub name: String,
}

fn names() -> String {
    FaultKind::ALL
        .iter()
        .map(|kind| kind.name())
        .collect::<Vec<_>>()
        .join(", ")
}

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = FaultKind::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_written_and_another_is_refused_with_all_names() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.name().parse::<FaultKind>().unwrap(), *kind);
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
        let error = "kil".parse::<FaultKind>().unwrap_err().to_string();
        assert!(
            error.contains("'kil'") && error.contains("partition-majority-ring"),
            "{error}"
        );
    }
}
