//! Through real system calls, where FUSE is there; otherwise each says so.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn mounted() -> Option<(TempDir, VolatileFs, BackgroundSession)> {
    let (directory, disk) = (tempfile::tempdir().unwrap(), VolatileFs::new());
    let mounted = disk.mount(directory.path());
    let session = mounted
        .inspect_err(|error| println!("NOT TESTED: mounting a file system: {error}"))
        .ok()?;
    Some((directory, disk, session))
}

fn synced(path: &Path, content: &[u8]) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
    File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
    file
}

#[test]
fn only_what_was_synced_survives_and_a_name_only_with_its_directory() {
    let Some((directory, disk, _session)) = mounted() else {
        return;
    };
    let (kept, nameless) = (directory.path().join("kept"), directory.path().join("nameless"));
    let file = synced(&kept, &[1; 2000]);
    file.write_all_at(&[2; 100], 500).unwrap();
    file.write_all_at(&[3; 100], 1990).unwrap();
    drop(file);
    let mut other = File::create(&nameless).unwrap();
    other.write_all(b"x").unwrap();
    other.sync_all().unwrap();
    drop(other);
    assert_eq!(fs::read(&kept).unwrap().len(), 2090);
    disk.cut_power(None);
    assert_eq!(fs::read(&kept).unwrap(), vec![1; 2000]);
    assert!(!nameless.exists());
}

#[test]
fn a_torn_write_leaves_whole_sectors_and_a_beginning_of_what_was_appended() {
    let Some((directory, disk, _session)) = mounted() else {
        return;
    };
    let path = directory.path().join("file");
    let mut mixed = 0;
    for seed in 0..20 {
        let file = synced(&path, &[1; 4096]);
        file.write_all_at(&[2; 6000], 0).unwrap();
        drop(file);
        disk.cut_power(Some(seed));
        let content = fs::read(&path).unwrap();
        assert!((4096..=6000).contains(&content.len()));
        let sectors: Vec<&[u8]> = content[..4096].chunks(512).collect();
        assert!(
            sectors
                .iter()
                .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
        );
        mixed +=
            usize::from(sectors.iter().any(|sector| sector[0] == 1) && sectors.iter().any(|sector| sector[0] == 2));
        assert!(content[4096..].iter().all(|byte| *byte == 2));
    }
    assert!(mixed > 0);
}

#[test]
fn what_was_shrunk_and_grown_again_without_a_sync_is_as_before_or_zero_after_one() {
    let Some((directory, disk, _session)) = mounted() else {
        return;
    };
    let path = directory.path().join("file");
    let file = synced(&path, &[1; 1000]);
    file.set_len(10).unwrap();
    file.set_len(1000).unwrap();
    drop(file);
    disk.cut_power(None);
    assert_eq!(fs::read(&path).unwrap(), vec![1; 1000]);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(10).unwrap();
    file.set_len(1000).unwrap();
    file.sync_all().unwrap();
    drop(file);
    disk.cut_power(None);
    let content = fs::read(&path).unwrap();
    assert!(content[..10] == [1; 10] && content[10..] == [0; 990]);
}

#[test]
fn a_disk_that_fails_or_is_full_says_so_and_recovers() {
    let Some((directory, disk, _session)) = mounted() else {
        return;
    };
    let file = synced(&directory.path().join("file"), &[1; 10]);
    let set = |faults| disk.set_faults(faults);
    set(Faults {
        full: true,
        ..Faults::default()
    });
    assert_eq!(
        file.write_all_at(&[2; 10], 5).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    file.write_all_at(&[2; 10], 0).unwrap();
    let created = File::create(directory.path().join("other"));
    assert_eq!(created.unwrap_err().kind(), ErrorKind::StorageFull);
    set(Faults {
        fail_writes: true,
        fail_syncs: true,
        ..Faults::default()
    });
    assert!(file.write_all_at(&[3; 10], 0).is_err());
    assert!(file.sync_all().is_err());
    set(Faults::default());
    file.write_all_at(&[4; 20], 0).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn what_has_no_name_left_is_forgotten_with_its_last_user() {
    let Some((directory, disk, _session)) = mounted() else {
        return;
    };
    let path = directory.path().join("file");
    for _ in 0..50 {
        drop(synced(&path, b"x"));
        fs::remove_file(&path).unwrap();
    }
    File::open(directory.path()).unwrap().sync_all().unwrap();
    let nodes = &disk.disk().nodes;
    assert!((3..60).all(|number| nodes.get(number).is_none()));
}
