//! The content of one file: what is there, and what of it is durable.

use std::collections::BTreeSet;

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Content in sectors, each durable or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors in which the two may differ.
    dirty: BTreeSet<usize>,
}

/// Small random numbers for torn writes (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl File {
    pub(crate) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    pub(crate) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// The bytes from `offset` on, `size` at most.
    pub(crate) fn read(&self, offset: u64, size: u32) -> &[u8] {
        let start = index(offset).min(self.content.len());
        let end = start.saturating_add(size as usize).min(self.content.len());
        &self.content[start..end]
    }

    /// Whether a write of so many bytes would make it longer.
    pub(crate) fn would_grow(&self, offset: u64, bytes: usize) -> bool {
        index(offset).saturating_add(bytes) > self.content.len()
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let start = index(offset);
        let end = start.saturating_add(bytes.len());
        if self.content.len() < end {
            self.touch(self.content.len(), end);
            self.content.resize(end, 0);
        }
        self.touch(start, end);
        self.content[start..end].copy_from_slice(bytes);
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        let (old, new) = (self.content.len(), index(len));
        self.touch(old.min(new), old.max(new));
        self.content.resize(new, 0);
    }

    fn touch(&mut self, start: usize, end: usize) {
        self.dirty.extend(start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    /// Everything becomes durable.
    pub(crate) fn sync(&mut self) {
        self.durable.resize(self.content.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(self.content.len());
            if start < end {
                self.durable[start..end].copy_from_slice(&self.content[start..end]);
            }
        }
    }

    /// What was not durable is gone, but for what `torn` lets arrive: any of the sectors that were overwritten, and a
    /// beginning of what was appended.
    pub(crate) fn cut_power(&mut self, torn: Option<&mut Chance>) {
        if let Some(chance) = torn {
            self.tear(chance);
        }
        self.content.clone_from(&self.durable);
        self.dirty.clear();
    }

    fn tear(&mut self, chance: &mut Chance) {
        let durable_sectors = self.durable.len() / SECTOR_BYTES;
        for &sector in &self.dirty {
            let start = sector * SECTOR_BYTES;
            let end = start + SECTOR_BYTES;
            if sector < durable_sectors && end <= self.content.len() && chance.coin() {
                self.durable[start..end].copy_from_slice(&self.content[start..end]);
            }
        }
        let appended = self.content.len().saturating_sub(self.durable.len()) as u64;
        if appended > 0 && chance.coin() {
            let kept = self.durable.len() + index(chance.next() % (appended + 1));
            let tail = &self.content[self.durable.len()..kept];
            self.durable.extend_from_slice(tail);
        }
    }
}
