//! The raw rate of durable writes that the disk below the temporary folder gives: the yardstick of every log.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::load::Figures;

/// Bytes per write: a page, the least that reaches a disk.
pub const BLOCK_BYTES: usize = 4096;
/// Blocks of the file that is overwritten in turn (16 MiB).
const BLOCKS: u64 = 4096;

/// How the file lies on the disk before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Filled with zeros and synced beforehand: a write changes data only.
    Preallocated,
    /// Empty: each write makes it longer, which a sync has to record too.
    Growing,
}

/// One writer: writes a block, calls `fdatasync`, again and again.
pub fn sync_rate(folder: &Path, layout: Layout, measured: Duration) -> Result<Figures> {
    let path = folder.join("sync-rate");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .read(true)
        .open(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    if layout == Layout::Preallocated {
        fill(&mut file)?;
    }
    let figures = write_blocks(&file, layout, measured);
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    figures
}

fn fill(file: &mut File) -> Result<()> {
    let length = BLOCKS * BLOCK_BYTES as u64;
    std::io::copy(&mut std::io::repeat(0).take(length), file).context("cannot fill the file")?;
    file.flush()?;
    file.sync_all().context("cannot sync the file")?;
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}

fn write_blocks(file: &File, layout: Layout, measured: Duration) -> Result<Figures> {
    let block = [0xa5_u8; BLOCK_BYTES];
    let mut figures = Figures::default();
    let begin = Instant::now();
    let mut number = 0_u64;
    while begin.elapsed() < measured {
        let place = match layout {
            Layout::Preallocated => number % BLOCKS,
            Layout::Growing => number,
        };
        let sent = Instant::now();
        file.write_all_at(&block, place * BLOCK_BYTES as u64)
            .context("cannot write a block")?;
        file.sync_data().context("fdatasync failed")?;
        figures.times.record(sent.elapsed());
        number += 1;
    }
    figures.per_second = number as f64 / begin.elapsed().as_secs_f64();
    Ok(figures)
}
