//! What has to be there before the masters: their disks and their clocks.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cluster::{disk_directory, places};
use super::config::Config;
use super::disks::{Disk, Small, Volume};
use super::faults::{Surroundings, clock};
use crate::fault::FaultKind;

/// What the disk of a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Plain,
    Volume,
    Small,
}

/// Each third place has a disk of each kind, as far as a fault needs it and this machine has it.
fn wish(place: usize, kinds: &[FaultKind], around: &Surroundings) -> Wish {
    use FaultKind as K;
    let needs = |wanted: &[FaultKind]| kinds.iter().any(|kind| wanted.contains(kind));
    let wants_volume = around.has_fuse && needs(&[K::DiskLost, K::DiskError, K::DiskFull, K::DiskSlow]);
    let wants_small = around.is_root && needs(&[K::DiskFull]);
    match place % 3 {
        0 if wants_volume => Wish::Volume,
        1 if wants_small => Wish::Small,
        1 if wants_volume => Wish::Volume,
        _ => Wish::Plain,
    }
}

/// Makes the disk of each place.
pub(super) async fn disks(config: &Config, kinds: &[FaultKind], around: &Surroundings) -> Result<Vec<Disk>> {
    let mut disks = Vec::new();
    for place in 0..places(config) {
        let at = disk_directory(&config.directory, place);
        disks.push(match wish(place, kinds, around) {
            Wish::Volume => Disk::Volume(Box::new(Volume::start(&config.harness, &at).await?)),
            Wish::Small => Disk::Small(Small::start(&at)?),
            Wish::Plain => {
                std::fs::create_dir_all(&at).with_context(|| format!("cannot create {}", at.display()))?;
                Disk::Plain
            }
        });
    }
    Ok(disks)
}

/// Sets the clock of each place right; returns what each needs in its environment for it to be set otherwise.
pub(super) fn clocks(
    config: &Config,
    kinds: &[FaultKind],
    around: &Surroundings,
) -> Result<Vec<Vec<(String, String)>>> {
    let needed = kinds
        .iter()
        .any(|kind| matches!(kind, FaultKind::ClockJump | FaultKind::ClockSkew));
    let Some(library) = around.faketime.as_ref().filter(|_| needed) else {
        return Ok(Vec::new());
    };
    let files: Vec<PathBuf> = (0..places(config))
        .map(|place| clock::file(&config.directory, place))
        .collect();
    files.iter().try_for_each(|file| clock::set_right(file))?;
    Ok(files.iter().map(|file| clock::environment(library, file)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_fault_needs_and_the_machine_has_is_mounted() {
        let around = |is_root, has_fuse| Surroundings {
            is_root,
            has_fuse,
            faketime: None,
        };
        let wishes = |kinds: &[FaultKind], around: Surroundings| {
            (0..3).map(|place| wish(place, kinds, &around)).collect::<Vec<_>>()
        };
        let plain = vec![Wish::Plain; 3];
        assert_eq!(wishes(&[FaultKind::Kill], around(true, true)), plain);
        let full = [FaultKind::DiskFull];
        assert_eq!(
            wishes(&full, around(true, true)),
            [Wish::Volume, Wish::Small, Wish::Plain]
        );
        assert_eq!(
            wishes(&full, around(false, true)),
            [Wish::Volume, Wish::Volume, Wish::Plain]
        );
        assert_eq!(wishes(&[FaultKind::DiskLost], around(false, false)), plain);
    }
}
