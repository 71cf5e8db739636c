//! A rolling upgrade: every master is stopped in order and started as another build, one after the other.

use std::sync::Arc;
use std::time::Duration;

use super::kill::restart;
use super::{Begun, FaultError};
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// Goes to the other build, or back to the first one; without another build it is a rolling restart.
pub(super) async fn begin(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (first, other) = (&arena.config.program, &arena.config.other_program);
    let mut places: Vec<usize> = arena.cluster.members().map(|master| master.place).collect();
    dice.shuffle(&mut places);
    let runs_other = places
        .iter()
        .any(|place| Some(&arena.cluster.program(*place)) == other.as_ref());
    let to = match other {
        Some(other) if !runs_other => other.clone(),
        _ => first.clone(),
    };
    let detail = match other {
        Some(_) => format!("to {}", to.display()),
        None => "to the same build".to_owned(),
    };
    let targets = places.iter().filter_map(|place| arena.cluster.masters.get(*place));
    let targets = targets.map(|master| master.name()).collect();
    let arena = Arc::clone(arena);
    let end = async move {
        let mut failed = None;
        for place in places {
            let Some(master) = arena.cluster.masters.get(place) else {
                continue;
            };
            master.keep(false);
            if let Err(error) = master.stop().await {
                failed.get_or_insert(FaultError::Defect(format!("{error:#}")));
            }
            arena.cluster.set_program(place, &to);
            restart(Arc::clone(&arena), vec![place]).await?;
        }
        failed.map_or(Ok(()), Err)
    };
    Ok(Begun::new(targets, detail, Duration::ZERO, end))
}
