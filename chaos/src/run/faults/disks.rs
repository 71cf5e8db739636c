//! Disks that lose power, fail, are full or slow.

use std::sync::Arc;
use std::time::Duration;

use super::kill::restart;
use super::{BACK_LIMIT, Begun, FaultError, hold, not_now, whether_leads};
use crate::run::arena::Arena;
use crate::run::cluster::master::Master;
use crate::run::dice::Dice;
use crate::run::disks::Disk;

/// What a write and a sync take on a slow disk: from several heartbeats to some elections.
const SLOW_MIN: Duration = Duration::from_millis(5);
const SLOW_MAX: Duration = Duration::from_millis(400);
/// One power cut in so many hits the whole machine room.
const ALL_ONE_IN: usize = 4;
/// How long a disk may be full.
const FULL_MAX: Duration = Duration::from_secs(5);

/// A running master on such a disk: the leader, if it has one, in half of the cases. The flag says whether it leads.
async fn pick<'a>(
    arena: &'a Arena,
    dice: &mut Dice,
    fits: impl Fn(&Disk) -> bool,
) -> Result<(&'a Master, bool), FaultError> {
    let leader = arena.leader().await.map(|leader| leader.place);
    let mut candidates = Vec::new();
    for master in arena.cluster.members() {
        if arena.disks.get(master.place).is_some_and(&fits) && master.is_running().await {
            candidates.push(master.place);
        }
    }
    let aimed = candidates.iter().copied().find(|place| Some(*place) == leader);
    let place = match aimed {
        Some(leader) if dice.coin() => leader,
        _ => dice
            .pick(&candidates)
            .ok_or_else(|| not_now("no master runs on such a disk"))?,
    };
    let master = arena.cluster.masters.get(place);
    let master = master.ok_or_else(|| not_now("there is no such place"))?;
    Ok((master, Some(place) == leader))
}

fn is_volume(disk: &Disk) -> bool {
    matches!(disk, Disk::Volume(_))
}

/// Gives an order to the disk of a place, if it takes orders.
async fn order(arena: &Arena, place: usize, order: &str) -> Result<(), FaultError> {
    match arena.disks.get(place) {
        Some(Disk::Volume(volume)) => Ok(volume.order(order).await?),
        _ => Ok(()),
    }
}

/// Power is lost at one master, or at all of them at once.
pub(super) async fn lose_power(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = pick(arena, &mut dice, is_volume).await?;
    let hits_all = dice.below(ALL_ONE_IN) == 0;
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for member in arena.cluster.members() {
        if hits_all || member.place == master.place {
            member.keep(false);
            member.kill().await?;
            places.push(member.place);
            targets.push(member.name());
        }
    }
    let torn = dice.coin();
    for place in &places {
        let cut = if torn {
            format!("tear {}", dice.next())
        } else {
            "cut".to_owned()
        };
        order(arena, *place, &cut).await?;
    }
    let detail = format!(
        "{}, {}",
        if hits_all { "everywhere" } else { whether_leads(leads) },
        if torn {
            "writes under way are torn"
        } else {
            "nothing unsynced arrives"
        }
    );
    Ok(Begun::new(
        targets,
        detail,
        hold(&mut dice),
        restart(Arc::clone(arena), places),
    ))
}

/// Writes and syncs of one master fail. It has to end, or to go on as if nothing had been: what it must not do is to
/// acknowledge what is not there, and that the checks see.
pub(super) async fn fail(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = pick(arena, &mut dice, is_volume).await?;
    let (place, name) = (master.place, master.name());
    master.keep(false);
    let what = dice.pick(&["fail", "fail-syncs"]).unwrap_or("fail");
    order(arena, place, what).await?;
    let detail = format!("{}, {what}", whether_leads(leads));
    let again = Arc::clone(arena);
    let end = async move {
        order(&again, place, "heal").await?;
        let Some(master) = again.cluster.masters.get(place) else {
            return Ok(());
        };
        if let Some((status, words)) = master.take_ended().await {
            tracing::info!(master = master.name(), %status, words, "ended by its failing disk");
        }
        // One that lives may hold in its memory what its disk does not have; it must not matter.
        master.kill().await?;
        order(&again, place, "cut").await?;
        restart(again, vec![place]).await
    };
    Ok(Begun::new(vec![name], detail, hold(&mut dice), end))
}

/// The disk of one master is full for a while. It has to live, and to take part again when there is room.
pub(super) async fn fill(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = pick(arena, &mut dice, |disk| !matches!(disk, Disk::Plain)).await?;
    let (place, name) = (master.place, master.name());
    match arena.disks.get(place) {
        Some(Disk::Small(small)) => small.fill()?,
        _ => order(arena, place, "full").await?,
    }
    let again = Arc::clone(arena);
    let end = async move {
        if let Some(disk) = again.disks.get(place) {
            disk.heal().await?;
        }
        match again.await_back(place, BACK_LIMIT).await {
            true => Ok(()),
            false => {
                let sentence = format!(
                    "master-{} knows no leader {BACK_LIMIT:?} after its disk was full",
                    place + 1
                );
                Err(FaultError::Defect(sentence))
            }
        }
    };
    let time = dice.between(Duration::from_millis(500), FULL_MAX);
    Ok(Begun::new(vec![name], whether_leads(leads), time, end))
}

/// The disk of one master takes long.
pub(super) async fn slow(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = pick(arena, &mut dice, is_volume).await?;
    let (place, name) = (master.place, master.name());
    let latency = dice.between(SLOW_MIN, SLOW_MAX);
    order(arena, place, &format!("slow {}", latency.as_micros())).await?;
    let detail = format!(
        "{}, {} ms for each write and sync",
        whether_leads(leads),
        latency.as_millis()
    );
    let again = Arc::clone(arena);
    let end = async move { order(&again, place, "heal").await };
    Ok(Begun::new(vec![name], detail, hold(&mut dice), end))
}
