//! What is left when the power goes.

use super::super::super::Change;
use super::*;
use crate::log_store::Disk;

/// What survived of a log whose first `acknowledged` entries were acknowledged and whose others were being written.
async fn after_power_loss(disk: &MemoryStore, acknowledged: u64, entropy: u64) -> Result<Recovered, OpenError> {
    disk.set_latency(LATENCY..=LATENCY);
    let mut store = start(disk);
    for index in 0..acknowledged {
        append_and_wait(&mut store, index..index + 1).await;
        store.save_vote(&vote(index)).await.unwrap();
    }
    let unanswered = append(&mut store, acknowledged..acknowledged + 10).await;
    write_but_do_not_sync(disk).await;
    disk.crash(entropy);
    drop(unanswered);
    recover(disk)
}

#[tokio::test(start_paused = true)]
async fn whatever_was_acknowledged_survives_and_the_rest_is_lost_from_some_entry_on() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for entropy in 0..300 {
        let disk = MemoryStore::new();
        let recovered = after_power_loss(&disk, 5, entropy).await.unwrap();
        let end = end_of(&recovered);
        assert!(end >= 5, "seed {entropy}: acknowledged entry {end} is lost");
        assert_eq!(recovered.vote, Some(vote(4)), "seed {entropy}");
        lost += u64::from(end < 15);
        kept += u64::from(end == 15);
        torn += disk.torn_tails();
        // What was dropped stays dropped.
        assert_eq!(end_of(&recover(&disk).unwrap()), end);
    }
    assert!(
        lost > 0 && kept > 0 && torn > 0,
        "{lost} lost, {kept} kept, {torn} torn"
    );
}

/// Shows that the test above would notice a replica that acknowledges before the sync.
#[tokio::test(start_paused = true)]
async fn on_a_disk_that_reports_early_an_acknowledged_entry_is_lost() {
    let (mut lost, mut refused) = (0, 0);
    for entropy in 0..300 {
        let disk = MemoryStore::new();
        disk.report_early(true);
        match after_power_loss(&disk, 5, entropy).await {
            Ok(recovered) => lost += u64::from(end_of(&recovered) < 5 || recovered.vote != Some(vote(4))),
            // The note beside the log may have survived.
            Err(OpenError::Damaged(reason)) => {
                assert!(reason.contains("the end of the log is missing"), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(lost > 0 && refused > 0, "{lost} lost, {refused} refused");
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_failed_may_have_lost_what_it_covered() {
    let (mut lost, mut kept) = (0, 0);
    for entropy in 0..50 {
        let disk = MemoryStore::new();
        let mut store = start(&disk);
        append_and_wait(&mut store, 0..3).await;
        disk.fail_next_sync();
        assert!(append(&mut store, 3..4).await.await.unwrap().is_err());
        disk.crash(entropy);
        match end_of(&recover(&disk).unwrap()) {
            3 => lost += 1,
            4 => kept += 1,
            other => panic!("seed {entropy}: {other} entries"),
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
}

/// Appends, truncations, purges and votes, as openraft orders them; each write may end anywhere.
fn script() -> Vec<Vec<Change>> {
    let append = |range: std::ops::Range<u64>| Change::Append(range.map(entry).collect());
    vec![
        vec![append(0..3)],
        vec![append(3..6), Change::Vote(vote(1)), append(6..9)],
        vec![Change::TruncateFrom(5), append(5..6)],
        vec![
            Change::Purge(log_id(2)),
            append(6..7),
            Change::Committed(Some(log_id(6))),
        ],
        vec![Change::TruncateFrom(6), Change::Vote(vote(2)), append(6..12)],
        vec![Change::Purge(log_id(11))],
        vec![append(12..14), Change::Vote(vote(3))],
    ]
}

/// First and last index, vote.
type Summary = (Option<u64>, Option<u64>, Option<Vote>);

fn summary(recovered: &Recovered) -> Summary {
    let purged = recovered.purged.map(|purged| purged.index);
    let kept = || {
        let indexes = recovered.entries.iter().map(|entry| entry.log_id.index);
        indexes.filter(|index| purged.is_none_or(|purged| *index > purged))
    };
    (kept().min(), kept().max(), recovered.vote)
}

#[tokio::test(start_paused = true)]
async fn a_log_is_whole_whichever_operation_the_power_ends() {
    let mut ends = std::collections::BTreeSet::new();
    for (operation, entropy) in (0..60).flat_map(|operation| (0..20).map(move |entropy| (operation, entropy))) {
        let disk = MemoryStore::new();
        let (mut memory_disk, _) = disk.mount().open_log(&node()).unwrap();
        disk.lose_power_after(operation, entropy);
        let mut last_durable = None;
        for changes in script() {
            if memory_disk.write(&changes).is_err() || memory_disk.sync().await.is_err() {
                break;
            }
            last_durable = Some(summary(&recover_copy(&script(), &changes)));
        }
        let finished = !disk.has_lost_power();
        drop(memory_disk);
        let recovered = match recover(&disk) {
            // It went during the start.
            Err(_) if disk.has_lost_power() => recover(&disk),
            other => other,
        };
        let recovered = recovered.unwrap_or_else(|error| panic!("operation {operation}: {error:?}"));
        for pair in recovered.entries.windows(2) {
            assert_eq!(pair[0].log_id.index + 1, pair[1].log_id.index, "operation {operation}");
        }
        if let Some((_, _, Some(durable))) = last_durable {
            assert!(
                recovered.vote.is_some_and(|vote| vote >= durable),
                "operation {operation}"
            );
        }
        if finished {
            assert_eq!(Some(summary(&recovered)), last_durable);
        }
        ends.insert(recovered.entries.len());
    }
    assert!(ends.len() > 5, "{ends:?}");
}

/// What a disk that loses nothing holds after the script up to and including `last`.
fn recover_copy(script: &[Vec<Change>], last: &[Change]) -> Recovered {
    let disk = MemoryStore::new();
    let (mut memory_disk, _) = disk.mount().open_log(&node()).unwrap();
    for changes in script {
        memory_disk.write(changes).unwrap();
        if format!("{changes:?}") == format!("{last:?}") {
            break;
        }
    }
    recover(&disk).unwrap()
}
