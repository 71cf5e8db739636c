//! Snapshots on a disk that loses its power: there is always the old one or the new one, and it is whole.

use std::io::Write;

use super::super::Mount;
use super::*;
use crate::LogPosition;
use crate::state_machine::StateMachine;
use crate::type_config::SnapshotMeta;

struct Text;

impl StateMachine for Text {
    type Outcome = ();
    type View = String;
    fn apply(&mut self, _position: LogPosition, _command: &[u8]) {}
    fn applied(&mut self, _upto: LogPosition) {}
    fn view(&self) -> String {
        String::new()
    }
    fn write_snapshot(view: &String, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(view.as_bytes())
    }
    fn read_snapshot(input: &mut dyn std::io::Read) -> std::io::Result<String> {
        let mut text = String::new();
        input.read_to_string(&mut text)?;
        Ok(text)
    }
    fn install(&mut self, _upto: LogPosition, _view: String) {}
}

/// Writes a snapshot up to an index and makes it the current one.
pub(super) fn keep(store: &SnapshotStore, index: u64, content: &str) -> std::io::Result<()> {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(index)),
        ..SnapshotMeta::default()
    };
    let image = store.write::<Text>(&meta, &content.to_owned())?;
    store.keep(&meta, image).map(drop)
}

/// The current snapshot's content, read as a starting replica does.
pub(super) fn read(mount: Mount) -> Result<Option<String>, String> {
    let store = SnapshotStore::in_memory(mount).map_err(|error| error.to_string())?;
    let Some((_, image)) = store.current() else {
        return Ok(None);
    };
    let (_, content) = image.read_view::<Text>().map_err(|error| error.to_string())?;
    Ok(Some(content))
}

#[test]
fn a_snapshot_replaces_the_one_before_or_leaves_it_whichever_operation_the_power_ends() {
    let (mut old, mut new) = (0, 0);
    for (operation, entropy) in (0..24).flat_map(|operation| (0..30).map(move |entropy| (operation, entropy))) {
        let disk = MemoryStore::new();
        let store = SnapshotStore::in_memory(disk.mount()).unwrap();
        keep(&store, 5, "the old one").unwrap();
        disk.lose_power_after(operation, entropy);
        let kept = keep(&store, 9, "the new one");
        assert_eq!(kept.is_err(), disk.has_lost_power());
        match read(disk.mount()).unwrap().as_deref() {
            Some("the old one") => {
                assert!(kept.is_err(), "a snapshot that was kept is lost");
                old += 1;
            }
            Some("the new one") => new += 1,
            other => panic!("operation {operation}, seed {entropy}: {other:?}"),
        }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

#[test]
fn a_snapshot_without_a_durable_name_may_be_lost_but_is_never_torn() {
    let mut found = std::collections::BTreeSet::new();
    for entropy in 0..50 {
        let disk = MemoryStore::new();
        let mount = disk.mount();
        mount.create_file("0.partial").unwrap();
        mount.append_to_file("0.partial", &[7; 100]).unwrap();
        disk.crash(entropy);
        let mount = disk.mount();
        found.insert(mount.read_file("0.partial").map_or(0, |bytes| bytes.len()));
        // What was not finished is removed by the next start.
        assert_eq!(read(mount.clone()).unwrap(), None);
        assert_eq!(mount.file_names(), [] as [&str; 0]);
    }
    assert!(found.len() > 3, "{found:?}");
}

#[test]
fn a_full_disk_takes_no_snapshot_and_keeps_the_one_it_has() {
    let disk = MemoryStore::new();
    let store = SnapshotStore::in_memory(disk.mount()).unwrap();
    keep(&store, 5, "the old one").unwrap();
    disk.set_full(true);
    let error = keep(&store, 9, "the new one").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(read(disk.mount()).unwrap().as_deref(), Some("the old one"));
}
