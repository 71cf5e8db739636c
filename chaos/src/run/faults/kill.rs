//! Masters that die or stop, and are started again.

use std::sync::Arc;
use std::time::Duration;

use super::{BACK_LIMIT, Begun, FaultError, hold, not_now, whether_leads};
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// Longest time without any master.
const DARKNESS_MAX: Duration = Duration::from_millis(1500);

/// `kill -9` of one master.
pub(super) async fn kill(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = arena
        .pick_victim(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let place = master.place;
    master.keep(false);
    master.kill().await?;
    let end = restart(Arc::clone(arena), vec![place]);
    Ok(Begun::new(
        vec![master.name()],
        whether_leads(leads),
        hold(&mut dice),
        end,
    ))
}

/// `kill -9` of all of them.
pub(super) async fn kill_all(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for master in arena.cluster.members() {
        master.keep(false);
        master.kill().await?;
        places.push(master.place);
        targets.push(master.name());
    }
    let darkness = dice.between(Duration::ZERO, DARKNESS_MAX);
    dice.shuffle(&mut places);
    Ok(Begun::new(targets, "", darkness, restart(Arc::clone(arena), places)))
}

/// SIGTERM to one master, which hands over first.
pub(super) async fn stop(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let place = master.place;
    master.keep(false);
    let stopped = master.stop().await;
    let again = Arc::clone(arena);
    let end = async move {
        restart(again, vec![place]).await?;
        stopped.map_err(|error| FaultError::Defect(format!("{error:#}")))
    };
    Ok(Begun::new(
        vec![master.name()],
        whether_leads(leads),
        hold(&mut dice),
        end,
    ))
}

/// Starts masters again; what they do from then on counts. Waits for those that can know a leader.
pub(super) async fn restart(arena: Arc<Arena>, places: Vec<usize>) -> Result<(), FaultError> {
    for place in &places {
        let Some(master) = arena.cluster.masters.get(*place) else {
            continue;
        };
        arena.cluster.start_master(master).await?;
        master.keep(true);
    }
    for place in places {
        // Under another fault it may take until that one has ended; then the healed phase looks.
        if !arena.await_back(place, BACK_LIMIT).await {
            let name = arena
                .cluster
                .masters
                .get(place)
                .map(|master| master.name())
                .unwrap_or_default();
            let sentence = format!("{name} knows no leader {BACK_LIMIT:?} after it was started again");
            return Err(FaultError::Defect(sentence));
        }
    }
    Ok(())
}
