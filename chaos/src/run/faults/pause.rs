//! A master that stands still: alive to its kernel and silent to everybody.

use std::sync::Arc;

use super::{Begun, FaultError, hold, not_now, whether_leads};
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// SIGSTOP, and SIGCONT at the end.
pub(super) async fn begin(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (master, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let (place, name) = (master.place, master.name());
    master.pause().await?;
    let arena = Arc::clone(arena);
    let end = async move {
        match arena.cluster.masters.get(place) {
            Some(master) => Ok(master.resume().await?),
            None => Ok(()),
        }
    };
    Ok(Begun::new(vec![name], whether_leads(leads), hold(&mut dice), end))
}
