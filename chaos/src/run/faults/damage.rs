//! Files of a stopped master that are damaged, and a master that was away for so long that the log has left it behind.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::kill::restart;
use super::members::replace_dead;
use super::{BACK_LIMIT, Begun, FaultError, not_now, whether_leads};
use crate::run::arena::Arena;
use crate::run::dice::Dice;

/// Longest wait until the log is purged beyond what a master has.
const PURGE_LIMIT: Duration = Duration::from_secs(45);
/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Most bytes that a file loses at its end.
const CUT_BYTES_MAX: u64 = 64 << 10;
/// One of these is in the sentence of a master that refuses what it finds.
const SENTENCES: [&str; 3] = ["damaged", "corrupt", "checksum"];

/// A bit of a stopped master's files flips, or a file loses its end. The master has to refuse its directory in a
/// sentence, or to come back as it was; then it is replaced, because only this harness knows what it may have lost.
pub(super) async fn corrupt(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let (victim, leads) = arena
        .pick_master(&mut dice)
        .await
        .ok_or_else(|| not_now("no master runs"))?;
    let (place, name) = (victim.place, victim.name());
    victim.keep(false);
    victim.kill().await?;
    let what = damage(&victim.data(), &mut dice)?;
    let detail = format!("{}, {what}", whether_leads(leads));
    let arena = Arc::clone(arena);
    let end = async move {
        let met = meet_damage(&arena, place, &what).await;
        replace_dead(&arena, place).await?;
        met
    };
    Ok(Begun::new(vec![name], detail, Duration::ZERO, end))
}

/// Starts the master on its damaged directory and judges what it does; it does not run afterwards.
async fn meet_damage(arena: &Arc<Arena>, place: usize, what: &str) -> Result<(), FaultError> {
    let Some(victim) = arena.cluster.masters.get(place) else {
        return Ok(());
    };
    arena.cluster.start_master(victim).await?;
    let deadline = Instant::now() + BACK_LIMIT;
    loop {
        if let Some((status, words)) = victim.take_ended().await {
            let lower = words.to_lowercase();
            let says_why = SENTENCES.iter().any(|sentence| lower.contains(sentence));
            return match !status.success() && says_why {
                true => Ok(()),
                false => Err(FaultError::Defect(format!(
                    "{} met {what}, and ended with {status} without a sentence about it: {words}",
                    victim.name()
                ))),
            };
        }
        let status = arena.status(victim).await;
        if status.is_some_and(|status| status.leader.is_some()) {
            victim.kill().await?;
            return Ok(());
        }
        if Instant::now() >= deadline {
            victim.kill().await?;
            let name = victim.name();
            return Err(FaultError::Defect(format!(
                "{name} met {what}, and neither refuses it nor takes part after {BACK_LIMIT:?}"
            )));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Flips a bit of a file below the directory, or cuts its end off; says which.
fn damage(directory: &Path, dice: &mut Dice) -> Result<String, FaultError> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    files.sort();
    let path = dice.pick(&files).ok_or_else(|| not_now("the directory is empty"))?;
    let name = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let length = file.metadata().context("cannot look at a file")?.len();
    let failed = || format!("cannot damage {}", path.display());
    if dice.coin() {
        let lost = 1 + dice.next() % length.clamp(1, CUT_BYTES_MAX);
        file.set_len(length.saturating_sub(lost)).with_context(failed)?;
        return Ok(format!("{name} of {length} bytes without its last {lost}"));
    }
    let (at, bit) = (dice.next() % length.max(1), dice.below(8));
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).with_context(failed)?;
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).with_context(failed)?;
    Ok(format!("{name} of {length} bytes with bit {bit} of byte {at} flipped"))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.metadata()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.len() > 0 {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A master is away until the log that it would need is purged; it has to come back by a snapshot.
pub(super) async fn snapshot(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let leader = arena.leader().await.ok_or_else(|| not_now("nobody leads"))?;
    let followers: Vec<usize> = arena
        .cluster
        .members()
        .map(|member| member.place)
        .filter(|place| *place != leader.place)
        .collect();
    let place = dice.pick(&followers).ok_or_else(|| not_now("nobody follows"))?;
    let victim = arena
        .cluster
        .masters
        .get(place)
        .ok_or_else(|| not_now("there is no such place"))?;
    let status = arena
        .status(victim)
        .await
        .ok_or_else(|| not_now("a follower does not answer"))?;
    let last = status.last_log.unwrap_or(0);
    victim.keep(false);
    victim.kill().await?;
    let (name, again) = (victim.name(), Arc::clone(arena));
    let end = async move {
        let is_purged = again
            .await_statuses(PURGE_LIMIT, |statuses| {
                let mut leaders = statuses.iter().filter(|(_, status)| status.role == "leader");
                leaders.any(|(_, status)| status.purged.is_some_and(|purged| purged.index > last))
            })
            .await;
        restart(again, vec![place]).await?;
        match is_purged {
            true => Ok(()),
            false => Err(FaultError::NotNow(format!(
                "the log was not purged within {PURGE_LIMIT:?}"
            ))),
        }
    };
    let detail = format!("it has the log up to {last}");
    Ok(Begun::new(vec![name], detail, Duration::ZERO, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_changes_one_bit_or_cuts_the_end_off() {
        let directory = std::env::temp_dir().join(format!("mesoraft-damage-{}", std::process::id()));
        fs::create_dir_all(directory.join("below")).unwrap();
        let path = directory.join("below/file");
        for seed in 0..50 {
            fs::write(&path, [7; 1000]).unwrap();
            let what = damage(&directory, &mut Dice::new(seed)).unwrap();
            let after = fs::read(&path).unwrap();
            let changed = after.iter().filter(|byte| **byte != 7).count();
            assert!((after.len() < 1000) != (changed == 1), "{what}");
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
