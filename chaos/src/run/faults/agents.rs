//! Agents and frameworks that die or stand still. Of hollow agents the host cannot be paused; its links are cut instead.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::partition::begun;
use super::{Begun, FaultError, HOLD_MIN, hold, not_now};
use crate::run::arena::Arena;
use crate::run::dice::Dice;
use crate::run::network::{Effect, Host};

/// Longest silence of an agent: beyond that after which the masters of a run hold it for unreachable.
const PAUSE_MAX: Duration = Duration::from_secs(9);

/// `kill -9` of an agent, which is started again; connections of all hollow agents are reset where there are only those.
pub(super) async fn kill(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let place = dice.below(arena.cluster.agents.len());
    let Some(agent) = arena.cluster.agents.get(place) else {
        let count = arena
            .switchboard
            .reset(|from, to| from == Host::Hollow || to == Host::Hollow);
        if count == 0 {
            return Err(not_now("no agent has a connection"));
        }
        let detail = format!("{count} connections reset");
        let end = async { Ok(()) };
        return Ok(Begun::new(vec![Host::Hollow.to_string()], detail, hold(&mut dice), end));
    };
    agent.kill().await?;
    let (name, again) = (agent.name(), Arc::clone(arena));
    let end = async move {
        match again.cluster.agents.get(place) {
            Some(agent) => Ok(agent.start().await?),
            None => Ok(()),
        }
    };
    Ok(Begun::new(vec![name], "", hold(&mut dice), end))
}

/// SIGSTOP of an agent, SIGCONT at the end.
pub(super) async fn pause(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let place = dice.below(arena.cluster.agents.len() + 1);
    let Some(agent) = arena.cluster.agents.get(place) else {
        let rule = arena
            .switchboard
            .add(Effect::Block, |from, to| from == Host::Hollow || to == Host::Hollow);
        let targets = vec![Host::Hollow.to_string()];
        return Ok(Begun {
            hold: dice.between(HOLD_MIN, PAUSE_MAX),
            ..begun(arena, &mut dice, targets, "cut off".to_owned(), rule)
        });
    };
    agent.signal(Signal::SIGSTOP).await?;
    let (name, again) = (agent.name(), Arc::clone(arena));
    let end = async move {
        match again.cluster.agents.get(place) {
            Some(agent) => Ok(agent.signal(Signal::SIGCONT).await?),
            None => Ok(()),
        }
    };
    Ok(Begun::new(vec![name], "", dice.between(HOLD_MIN, PAUSE_MAX), end))
}

/// A scheduler of a workload dies; another takes its framework over.
pub(super) fn kill_framework(arena: &Arc<Arena>, mut dice: Dice) -> Begun {
    arena.framework_kills.kill(dice.next());
    Begun::new(vec!["a framework".to_owned()], "", hold(&mut dice), async { Ok(()) })
}
