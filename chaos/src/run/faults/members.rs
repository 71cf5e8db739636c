//! Changes of who is a member, made as an operator makes them: by `mesoraft members` and by starting masters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{BACK_LIMIT, Begun, FaultError, not_now, whether_leads};
use crate::history::{Operation, Outcome};
use crate::run::arena::Arena;
use crate::run::cluster::Said;
use crate::run::cluster::master::Master;
use crate::run::dice::Dice;

/// A command that meets an election is given again so often, after this pause.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// A master that has to refuse its directory does so after asking the others.
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);
/// What a master with an emptied directory says.
const REFUSAL: &str = "is empty, but peer";

/// Gives an operator's command and writes down what came of it.
async fn command(arena: &Arena, change: &str, node: u64, arguments: &[&str]) -> Result<Said, FaultError> {
    let operation = Operation::Membership {
        change: change.to_owned(),
        node,
    };
    let call = arena.recorder.begin("operator", operation);
    let said = arena.cluster.members_command(arguments).await?;
    let outcome = match said.well {
        true => Outcome::Ok { value: String::new() },
        // The texts are documented: `cannot …` changed nothing.
        false if said.text.contains("cannot ") => Outcome::Refused {
            text: said.text.clone(),
        },
        false => Outcome::Unknown {
            reason: said.text.clone(),
        },
    };
    arena.recorder.end(call, outcome);
    Ok(said)
}

fn master(arena: &Arena, place: usize) -> Result<&Master, FaultError> {
    arena
        .cluster
        .masters
        .get(place)
        .ok_or_else(|| not_now("there is no such place"))
}

/// Whether the leader counts this node among the voters; `None` without a leader.
async fn votes(arena: &Arena, node_id: u64) -> Option<bool> {
    let statuses = arena.statuses().await;
    let leader = statuses
        .iter()
        .filter(|(_, status)| status.role == "leader")
        .max_by_key(|(_, status)| status.term);
    leader.map(|(_, status)| status.voters.contains_key(&node_id))
}

/// Removes a member, whatever elections come in between.
async fn remove_until_gone(arena: &Arena, node_id: u64) -> Result<(), FaultError> {
    let mut last = String::new();
    for _ in 0..TRIES {
        last = command(arena, "remove", node_id, &["remove", &node_id.to_string()])
            .await?
            .text;
        if votes(arena, node_id).await == Some(false) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(FaultError::Defect(format!(
        "node {node_id} cannot be removed from a calm cluster: {last}"
    )))
}

/// Starts a master with an empty directory under a node id that was never used, and waits until it votes.
async fn join(arena: &Arena, place: usize) -> Result<(), FaultError> {
    let master = master(arena, place)?;
    let node_id = arena.cluster.fresh_node_id();
    master.set_node_id(node_id);
    let call = arena.recorder.begin(
        "operator",
        Operation::Membership {
            change: "add".to_owned(),
            node: node_id,
        },
    );
    arena.cluster.start_master(master).await?;
    master.keep(true);
    let is_voter = arena
        .await_statuses(BACK_LIMIT, |statuses| {
            let leads = statuses.iter().filter(|(_, status)| status.role == "leader");
            leads
                .into_iter()
                .any(|(_, status)| status.voters.contains_key(&node_id))
        })
        .await;
    if !is_voter {
        arena.recorder.end(
            call,
            Outcome::Unknown {
                reason: format!("it does not vote after {BACK_LIMIT:?}"),
            },
        );
        let sentence = format!("node {node_id} has joined a calm cluster and does not vote after {BACK_LIMIT:?}");
        return Err(FaultError::Defect(sentence));
    }
    arena.recorder.end(call, Outcome::Ok { value: String::new() });
    Ok(())
}

/// Leadership is handed to another master.
pub(super) async fn transfer(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let leader = arena.leader().await.ok_or_else(|| not_now("nobody leads"))?;
    let others: Vec<u64> = arena
        .cluster
        .members()
        .filter(|member| member.place != leader.place)
        .map(Master::node_id)
        .collect();
    let to = dice.pick(&others).ok_or_else(|| not_now("there is one member only"))?;
    let said = match dice.coin() {
        true => command(arena, "transfer", to, &["transfer-leader", &to.to_string()]).await?,
        false => command(arena, "transfer", 0, &["transfer-leader"]).await?,
    };
    // Under another fault it may be refused; then nothing has happened.
    match said.well {
        true => Ok(Begun::new(vec![leader.name()], said.output, Duration::ZERO, async {
            Ok(())
        })),
        false => Err(FaultError::NotNow(said.text)),
    }
}

/// One master more, as long as there is a place and only one more than at the beginning.
pub(super) async fn add(arena: &Arc<Arena>, _dice: Dice) -> Result<Begun, FaultError> {
    if arena.cluster.members().count() > arena.config.masters {
        return Err(not_now("a member was added already"));
    }
    let spare = arena.cluster.spare().ok_or_else(|| not_now("there is no place left"))?;
    let (place, name) = (spare.place, spare.name());
    spare.wipe()?;
    let arena = Arc::clone(arena);
    let end = async move { join(&arena, place).await };
    Ok(Begun::new(vec![name], "", Duration::ZERO, end))
}

/// One master less, as long as there are more than at the beginning.
pub(super) async fn remove(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    if arena.cluster.members().count() <= arena.config.masters {
        return Err(not_now("no member was added yet"));
    }
    let (victim, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let (place, name) = (victim.place, victim.name());
    let arena = Arc::clone(arena);
    let end = async move {
        let victim = master(&arena, place)?;
        let removed = remove_until_gone(&arena, victim.node_id()).await;
        victim.keep(false);
        victim.kill().await?;
        victim.wipe()?;
        victim.set_node_id(0);
        removed
    };
    Ok(Begun::new(vec![name], whether_leads(leads), Duration::ZERO, end))
}

/// A master dies for good, is removed, and another takes its place.
pub(super) async fn replace(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (victim, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let (place, name) = (victim.place, victim.name());
    victim.keep(false);
    victim.kill().await?;
    let arena = Arc::clone(arena);
    let end = async move { replace_dead(&arena, place).await };
    Ok(Begun::new(vec![name], whether_leads(leads), Duration::ZERO, end))
}

/// Removes the member of this place, whose process is gone, and lets another join in its place.
pub(super) async fn replace_dead(arena: &Arena, place: usize) -> Result<(), FaultError> {
    let victim = master(arena, place)?;
    remove_until_gone(arena, victim.node_id()).await?;
    victim.wipe()?;
    join(arena, place).await
}

/// A master loses its directory. Under its old id it has to refuse to start; then it is replaced.
pub(super) async fn wipe(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (victim, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let (place, name) = (victim.place, victim.name());
    victim.keep(false);
    victim.kill().await?;
    victim.wipe()?;
    let arena = Arc::clone(arena);
    let end = async move {
        let refused = expect_refusal(&arena, place, &[REFUSAL]).await;
        replace_dead(&arena, place).await?;
        refused
    };
    Ok(Begun::new(vec![name], whether_leads(leads), Duration::ZERO, end))
}

/// Starts the master of this place, which has to end without success and with one of these sentences.
pub(super) async fn expect_refusal(arena: &Arena, place: usize, sentences: &[&str]) -> Result<(), FaultError> {
    let victim = master(arena, place)?;
    arena.cluster.start_master(victim).await?;
    let defect = |text: String| Err(FaultError::Defect(text));
    match victim.ended_within(REFUSAL_LIMIT).await {
        Some((status, words)) if !status.success() && sentences.iter().any(|sentence| words.contains(sentence)) => {
            Ok(())
        }
        Some((status, words)) => defect(format!(
            "{} must refuse its directory with '{}', and ended with {status}: {words}",
            victim.name(),
            sentences.join("' or '")
        )),
        None => {
            victim.kill().await?;
            defect(format!(
                "{} must refuse its directory and runs {REFUSAL_LIMIT:?} after its start",
                victim.name()
            ))
        }
    }
}
