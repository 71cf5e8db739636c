//! Every fault, one file each or one for a family. A fault begins, holds for a while and ends; its end undoes it.
//!
//! What a fault does to processes, rules and disks also ends with this process, however it ends: processes are told by
//! the system, rules are ours, and mounts belong to a name space of ours.

mod agents;
mod availability;
pub(crate) mod clock;
mod damage;
mod disks;
mod hook;
mod kill;
mod links;
mod members;
mod partition;
mod pause;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

pub(crate) use self::availability::{Surroundings, unavailable};
use super::arena::Arena;
use super::dice::Dice;
use crate::fault::FaultKind;

/// Shortest and longest time that most faults hold: some elections long.
const HOLD_MIN: Duration = Duration::from_millis(300);
const HOLD_MAX: Duration = Duration::from_millis(3000);
/// Within this time a master that was started again takes part; far more than it needs, since a defect is reported
/// otherwise.
pub(crate) const BACK_LIMIT: Duration = Duration::from_secs(60);

/// Why a fault did not begin, or did not end as it should.
#[derive(Debug)]
pub(crate) enum FaultError {
    /// Not possible at this moment: nothing was done.
    NotNow(String),
    /// The cluster did something it must not do.
    Defect(String),
    /// This harness failed.
    Harness(anyhow::Error),
}

impl From<anyhow::Error> for FaultError {
    fn from(error: anyhow::Error) -> Self {
        FaultError::Harness(error)
    }
}

/// A fault that has begun.
pub(crate) struct Begun {
    /// Names of the hosts or links it is about.
    pub(crate) targets: Vec<String>,
    /// Durations, amounts, shapes.
    pub(crate) detail: String,
    /// How long until it is ended.
    pub(crate) hold: Duration,
    /// Undoes it.
    pub(crate) end: BoxFuture<'static, Result<(), FaultError>>,
}

impl Begun {
    fn new(
        targets: Vec<String>,
        detail: impl Into<String>,
        hold: Duration,
        end: impl Future<Output = Result<(), FaultError>> + Send + 'static,
    ) -> Self {
        Begun {
            targets,
            detail: detail.into(),
            hold,
            end: Box::pin(end),
        }
    }
}

/// What a fault has its hands on. Faults of different lanes may overlap, two of the same never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Processes, disks and clocks of masters.
    Masters,
    /// Links.
    Network,
    /// Masters, and the links must be whole meanwhile: changes of the membership, which have to succeed.
    MastersInCalm,
    /// Agents and frameworks.
    Others,
}

/// The lane of a kind.
pub(crate) fn lane(kind: FaultKind) -> Lane {
    use FaultKind as K;
    match kind {
        K::Partition
        | K::PartitionOneWay
        | K::PartitionRing
        | K::PartitionMajorityRing
        | K::PartitionClients
        | K::Delay
        | K::Loss
        | K::Duplicate
        | K::Reorder
        | K::Reset => Lane::Network,
        K::AgentKill | K::AgentPause | K::FrameworkKill => Lane::Others,
        K::Wipe
        | K::Corrupt
        | K::AddMember
        | K::RemoveMember
        | K::ReplaceMember
        | K::Transfer
        | K::Upgrade
        | K::Snapshot => Lane::MastersInCalm,
        K::Kill
        | K::KillAll
        | K::Stop
        | K::Pause
        | K::ClockJump
        | K::ClockSkew
        | K::DiskLost
        | K::DiskError
        | K::DiskFull
        | K::DiskSlow => Lane::Masters,
    }
}

/// How often a kind is in the deck from which faults are drawn: the commonest ones are drawn most.
pub(crate) fn weight(kind: FaultKind) -> usize {
    match kind {
        FaultKind::Kill => 4,
        FaultKind::Pause | FaultKind::Partition => 2,
        _ => 1,
    }
}

/// Begins a fault.
pub(crate) async fn begin(kind: FaultKind, arena: &Arc<Arena>, dice: Dice) -> Result<Begun, FaultError> {
    use FaultKind as K;
    match kind {
        _ if arena.config.cluster.is_some() => hook::begin(kind, arena, dice).await,
        K::Kill => kill::kill(arena, dice).await,
        K::KillAll => kill::kill_all(arena, dice).await,
        K::Stop => kill::stop(arena, dice).await,
        K::Pause => pause::begin(arena, dice).await,
        K::Partition => partition::halves(arena, dice).await,
        K::PartitionOneWay => partition::one_way(arena, dice).await,
        K::PartitionRing => partition::ring(arena, dice).await,
        K::PartitionMajorityRing => partition::majority_ring(arena, dice).await,
        K::PartitionClients => partition::clients(arena, dice).await,
        K::Delay => links::delay(arena, dice).await,
        K::Loss => links::loss(arena, dice).await,
        K::Reorder => links::reorder(arena, dice).await,
        K::Duplicate => links::duplicate(arena, dice).await,
        K::Reset => links::reset(arena, dice).await,
        K::AgentKill => agents::kill(arena, dice).await,
        K::AgentPause => agents::pause(arena, dice).await,
        K::FrameworkKill => Ok(agents::kill_framework(arena, dice)),
        K::Transfer => members::transfer(arena, dice).await,
        K::AddMember => members::add(arena, dice).await,
        K::RemoveMember => members::remove(arena, dice).await,
        K::ReplaceMember => members::replace(arena, dice).await,
        K::Wipe => members::wipe(arena, dice).await,
        K::Upgrade => upgrade::begin(arena, dice).await,
        K::Corrupt => damage::corrupt(arena, dice).await,
        K::Snapshot => damage::snapshot(arena, dice).await,
        K::ClockJump => clock::jump(arena, dice).await,
        K::ClockSkew => clock::skew(arena, dice).await,
        K::DiskLost => disks::lose_power(arena, dice).await,
        K::DiskError => disks::fail(arena, dice).await,
        K::DiskFull => disks::fill(arena, dice).await,
        K::DiskSlow => disks::slow(arena, dice).await,
    }
}

fn hold(dice: &mut Dice) -> Duration {
    dice.between(HOLD_MIN, HOLD_MAX)
}

fn whether_leads(leads: bool) -> &'static str {
    if leads { "leads" } else { "follows" }
}

fn not_now(what: &str) -> FaultError {
    FaultError::NotNow(what.to_owned())
}
