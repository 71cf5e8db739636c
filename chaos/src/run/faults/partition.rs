//! Partitions: which hosts do not hear which.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Begun, FaultError, hold, not_now};
use crate::run::arena::Arena;
use crate::run::dice::Dice;
use crate::run::network::{Effect, Host, RuleId};

/// Places of the members, in an order drawn anew; the leader first in half of the cases.
async fn members(arena: &Arena, dice: &mut Dice) -> Result<Vec<usize>, FaultError> {
    let mut places: Vec<usize> = arena.cluster.members().map(|master| master.place).collect();
    if places.len() < 3 {
        return Err(not_now("fewer than three members"));
    }
    dice.shuffle(&mut places);
    if dice.coin()
        && let Some(leader) = arena.leader().await.map(|leader| leader.place)
        && let Some(at) = places.iter().position(|place| *place == leader)
    {
        places.swap(0, at);
    }
    Ok(places)
}

fn names(places: impl IntoIterator<Item = usize>) -> Vec<String> {
    places
        .into_iter()
        .map(|place| Host::Master(place).to_string())
        .collect()
}

/// Ends by taking rules away.
pub(super) fn begun(arena: &Arc<Arena>, dice: &mut Dice, targets: Vec<String>, detail: String, rule: RuleId) -> Begun {
    let switchboard = Arc::clone(&arena.switchboard);
    let end = async move {
        switchboard.remove(rule);
        Ok(())
    };
    Begun::new(targets, detail, hold(dice), end)
}

/// Two groups of masters, the first one smaller than a majority. In half of the cases clients reach only one of them.
pub(super) async fn halves(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let places = members(arena, &mut dice).await?;
    let minority_max = (places.len() - 1) / 2;
    let size = 1 + dice.below(minority_max);
    let minority: BTreeSet<usize> = places[..size].iter().copied().collect();
    let clients_with_majority = dice.coin();
    let targets = names(minority.iter().copied());
    let is_in = move |host| match host {
        Host::Master(place) => minority.contains(&place),
        _ => false,
    };
    let rule = arena.switchboard.add(Effect::Block, move |from: Host, to: Host| {
        is_in(from) != is_in(to) && (clients_with_majority || (from.is_master() && to.is_master()))
    });
    let detail = match clients_with_majority {
        true => "cut off from the other masters and from everybody else",
        false => "cut off from the other masters",
    };
    Ok(begun(arena, &mut dice, targets, detail.to_owned(), rule))
}

/// One master hears the others and is not heard, or is heard and does not hear.
pub(super) async fn one_way(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let victim = Host::Master(members(arena, &mut dice).await?[0]);
    let is_deaf = dice.coin();
    let rule = arena.switchboard.add(Effect::Block, move |from: Host, to: Host| {
        let silent = if is_deaf { to } else { from };
        silent == victim && from.is_master() && to.is_master()
    });
    let detail = if is_deaf {
        "hears no other master"
    } else {
        "is heard by no other master"
    };
    Ok(begun(
        arena,
        &mut dice,
        vec![victim.to_string()],
        detail.to_owned(),
        rule,
    ))
}

/// Everybody reaches both neighbours and nobody else. With three masters a ring is whole, so that one link is cut then.
pub(super) async fn ring(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let places = members(arena, &mut dice).await?;
    let is_closed = places.len() > 3;
    let reach = 1;
    let detail = if is_closed {
        "a ring"
    } else {
        "a chain: a ring of three has every link"
    };
    Ok(around(arena, &mut dice, places, reach, is_closed, detail))
}

/// Everybody reaches as many of the nearest as make a majority, each another one.
pub(super) async fn majority_ring(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let places = members(arena, &mut dice).await?;
    // Neighbours on both sides, and the place itself, are a majority; with three masters of one side only.
    let reach = (places.len() / 2).div_ceil(2);
    let is_closed = places.len() > 3;
    Ok(around(
        arena,
        &mut dice,
        places,
        reach,
        is_closed,
        "each has a majority of its own",
    ))
}

fn around(
    arena: &Arc<Arena>,
    dice: &mut Dice,
    places: Vec<usize>,
    reach: usize,
    is_closed: bool,
    detail: &str,
) -> Begun {
    let targets = names(places.iter().copied());
    let rule = arena.switchboard.add(Effect::Block, move |from: Host, to: Host| {
        let at = |host| match host {
            Host::Master(place) => places.iter().position(|other| *other == place),
            _ => None,
        };
        match (at(from), at(to)) {
            (Some(from), Some(to)) => distance(from, to, places.len(), is_closed) > reach,
            _ => false,
        }
    });
    begun(arena, dice, targets, detail.to_owned(), rule)
}

/// Steps between two places of a ring, or of a row.
fn distance(a: usize, b: usize, count: usize, is_closed: bool) -> usize {
    let direct = a.abs_diff(b);
    if is_closed { direct.min(count - direct) } else { direct }
}

/// The leader, or another master, reaches no agent, no framework and no operator.
pub(super) async fn clients(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let leader = arena.leader().await.ok_or_else(|| not_now("nobody leads"))?;
    let victim = Host::Master(leader.place);
    let rule = arena.switchboard.add(Effect::Block, move |from: Host, to: Host| {
        (from == victim || to == victim) && from.is_master() != to.is_master()
    });
    Ok(begun(
        arena,
        &mut dice,
        vec![victim.to_string()],
        "leads".to_owned(),
        rule,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_of_five_everybody_is_at_most_two_steps_away_and_in_a_row_four() {
        let all = |closed| (0..5).flat_map(move |a| (0..5).map(move |b| distance(a, b, 5, closed)));
        assert_eq!(all(true).max(), Some(2));
        assert_eq!(all(false).max(), Some(4));
        // Each with both neighbours: three of five.
        assert!((0..5).all(|a| (0..5).filter(|b| distance(a, *b, 5, true) <= 1).count() == 3));
    }
}
