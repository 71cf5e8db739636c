//! Faults of a cluster that is not ours: a program of its operator is called with the fault, its target and `begin` or
//! `end`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Begun, FaultError, hold, not_now};
use crate::fault::FaultKind;
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// Limit of one call of the program.
const HOOK_LIMIT: Duration = Duration::from_secs(120);

/// Calls the program; the target is the address of a master, in half of the cases of the leader.
pub(super) async fn begin(kind: FaultKind, arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let hook = arena.config.hook.clone().ok_or_else(|| not_now("there is no --hook"))?;
    let leader = arena.given_leader().await;
    let target = match leader {
        Some(leader) if dice.coin() => leader,
        _ => dice.pick(&arena.given()).ok_or_else(|| not_now("no master is known"))?,
    };
    call(&hook, kind, &target, "begin").await?;
    let again = target.clone();
    let end = async move { Ok(call(&hook, kind, &again, "end").await?) };
    Ok(Begun::new(vec![target], "", hold(&mut dice), end))
}

async fn call(hook: &Path, kind: FaultKind, target: &str, what: &str) -> anyhow::Result<()> {
    let line = format!("{} {kind} {target} {what}", hook.display());
    let mut child = Command::new(hook)
        .args([kind.name(), target, what])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start '{line}'"))?;
    match timeout(HOOK_LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => anyhow::bail!("'{line}' ended with {status}"),
        Ok(Err(error)) => Err(error).with_context(|| format!("cannot wait for '{line}'")),
        Err(_) => anyhow::bail!("'{line}' does not end within {HOOK_LIMIT:?}"),
    }
}
