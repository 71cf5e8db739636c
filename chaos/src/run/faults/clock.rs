//! Wall clocks that jump or run at another speed, through libfaketime. Monotonic time, and with it every timer, is as it
//! was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::{Begun, FaultError, hold, not_now, whether_leads};
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// Jumps in seconds: over a leap second, an hour, a day, and back as well.
const JUMPS: [&str; 6] = ["+1", "-1", "+3600", "-3600", "+86400", "-86400"];
/// Speeds.
const SPEEDS: [&str; 4] = ["+0 x0.5", "+0 x0.9", "+0 x1.1", "+0 x3"];
/// As it is.
const TRUE: &str = "+0";

/// The file that sets the clock of the master at a place.
pub(crate) fn file(directory: &Path, place: usize) -> PathBuf {
    directory.join(format!("clock-{}", place + 1))
}

/// What a process needs in its environment for that.
pub(crate) fn environment(library: &Path, file: &Path) -> Vec<(String, String)> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("LD_PRELOAD", library.display().to_string()),
        pair("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        pair("FAKETIME_CACHE_DURATION", "1".to_owned()),
        pair("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        pair("DONT_FAKE_MONOTONIC", "1".to_owned()),
        // Without shared memory, which a killed process would leave behind.
        pair("FAKETIME_DONT_RESET", "1".to_owned()),
        pair("FAKETIME_DISABLE_SHM", "1".to_owned()),
    ]
}

/// Sets a clock. Written beside and renamed, so that nobody reads half of it.
pub(crate) fn set(file: &Path, to: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, format!("{to}\n"))
        .and_then(|()| fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Sets a clock right.
pub(crate) fn set_right(file: &Path) -> anyhow::Result<()> {
    set(file, TRUE)
}

/// The clock of a master jumps, and jumps back at the end.
pub(super) async fn jump(arena: &Arc<Arena>, dice: Dice) -> Result<Begun, FaultError> {
    turn(arena, dice, &JUMPS).await
}

/// The clock of a master runs at another speed.
pub(super) async fn skew(arena: &Arc<Arena>, dice: Dice) -> Result<Begun, FaultError> {
    turn(arena, dice, &SPEEDS).await
}

async fn turn(arena: &Arc<Arena>, mut dice: Dice, choices: &[&str]) -> Result<Begun, FaultError> {
    let (master, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let file = file(&arena.config.directory, master.place);
    let to = dice.pick(choices).unwrap_or(TRUE);
    set(&file, to)?;
    let detail = format!("{}, {to}", whether_leads(leads));
    let end = async move { Ok(set_right(&file)?) };
    // Longer than what the library remembers of the file.
    let time = hold(&mut dice) + std::time::Duration::from_secs(1);
    Ok(Begun::new(vec![master.name()], detail, time, end))
}
