//! What can happen to a simulated disk. A fault is set on a handle, before or while a replica runs.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use super::super::codec::encode_value;
use super::super::keys;
use super::{Contents, MemoryStore, Step};

/// Pause between two looks at a stalled disk.
pub(super) const STALL_POLL: Duration = Duration::from_millis(5);

/// What a test or a seed has set.
#[derive(Debug)]
pub(super) struct Faults {
    latency: RangeInclusive<Duration>,
    /// Added to the next sync.
    stall: Duration,
    pub(super) stalled: bool,
    fail_next_write: bool,
    fail_next_sync: bool,
    pub(super) broken: bool,
    pub(super) full: bool,
    pub(super) reports_early: bool,
    /// Operations until the power is lost, and what decides what is left.
    pub(super) power_loss: Option<(u64, u64)>,
    pub(super) power_lost: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            latency: Duration::ZERO..=Duration::ZERO,
            stall: Duration::ZERO,
            stalled: false,
            fail_next_write: false,
            fail_next_sync: false,
            broken: false,
            full: false,
            reports_early: false,
            power_loss: None,
            power_lost: false,
        }
    }
}

impl Faults {
    pub(super) fn fail_write(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.fail_next_write) {
            true => Err(io::Error::other("input/output error while writing")),
            false => Ok(()),
        }
    }

    pub(super) fn fail_sync(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.fail_next_sync) {
            true => Err(io::Error::other("input/output error while syncing")),
            false => Ok(()),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when that is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl MemoryStore {
    /// An empty store whose latencies follow from the seed.
    pub fn with_seed(seed: u64) -> Self {
        let store = Self::new();
        store.contents().random = Random::new(seed);
        store
    }

    /// How long a sync takes: a draw from this range, in the time of the runtime the replica runs on. Writing a snapshot
    /// takes some draws more. None by default.
    pub fn set_latency(&self, latency: RangeInclusive<Duration>) {
        self.contents().faults.latency = latency;
    }

    /// The next sync takes this much longer.
    pub fn stall_for(&self, stall: Duration) {
        self.contents().faults.stall = stall;
    }

    /// From now on no sync ends, until this is called with `false`.
    pub fn set_stalled(&self, stalled: bool) {
        self.contents().faults.stalled = stalled;
    }

    /// The next write fails with an I/O error; the replica must stop.
    pub fn fail_next_write(&self) {
        self.contents().faults.fail_next_write = true;
    }

    /// The next sync fails with an I/O error, and what it should have made durable may be lost with the power. The
    /// replica must stop and not try again.
    pub fn fail_next_sync(&self) {
        self.contents().faults.fail_next_sync = true;
    }

    /// From now on everything fails, as on a broken disk. [`MemoryStore::wipe`] repairs it.
    pub fn break_down(&self) {
        self.contents().faults.broken = true;
    }

    /// Whether there is no space: the replica acknowledges nothing until there is some again.
    pub fn set_full(&self, full: bool) {
        self.contents().faults.full = full;
    }

    /// Whether a sync returns although what it covers becomes durable with the next one only, as on a disk with a cache
    /// that lies. No replica can be right on it: it is there to show that the others would be found out.
    pub fn report_early(&self, early: bool) {
        self.contents().faults.reports_early = early;
    }

    /// Loses the power. What no sync has made durable is lost from some change on, which `entropy` chooses; there may be
    /// a torn one in its place. What is durable stays. The replica that ran on the disk can write no more.
    ///
    /// The death of a process alone loses nothing that was written: there is nothing to call.
    pub fn crash(&self, entropy: u64) {
        self.contents().lose_power(entropy);
    }

    /// Loses the power, as [`MemoryStore::crash`] does, in the place of the operation that comes after `operations` more
    /// of them. The replica sees an I/O error; whoever runs it looks at [`MemoryStore::has_lost_power`] and crashes it.
    pub fn lose_power_after(&self, operations: u64, entropy: u64) {
        self.contents().faults.power_loss = Some((operations, entropy));
    }

    /// Whether the power was lost since a replica was last started on the disk.
    pub fn has_lost_power(&self) -> bool {
        self.contents().faults.power_lost
    }

    /// Operations since the store was made: changes of the log, of what is beside it and of files, and syncs.
    pub fn operations(&self) -> u64 {
        self.contents().operations
    }

    /// Changes of the log, and of what is beside it, that would be lost with the power.
    pub fn unsynced(&self) -> usize {
        self.contents().unsynced.len()
    }

    /// How often a start has dropped a torn end.
    pub fn torn_tails(&self) -> u64 {
        self.contents().torn_tails
    }

    /// Forgets everything, as a replaced disk does. Latency, stall and full stay as they are set.
    pub fn wipe(&self) {
        let mut contents = self.contents();
        let fresh = Contents {
            mount: contents.mount + 1,
            operations: contents.operations,
            torn_tails: contents.torn_tails,
            random: contents.random,
            faults: Faults {
                latency: contents.faults.latency.clone(),
                stall: contents.faults.stall,
                stalled: contents.faults.stalled,
                full: contents.faults.full,
                ..Faults::default()
            },
            ..Contents::default()
        };
        *contents = fresh;
    }

    /// Flips one bit of what is durable, in a record of the log, a value beside it or a snapshot, as `entropy` chooses.
    /// A replica must refuse to start on it. Returns which bit, or `None` when nothing is stored.
    pub fn corrupt(&self, entropy: u64) -> Option<String> {
        self.contents().flip_a_bit(&mut Random::new(entropy))
    }
}

impl Contents {
    pub(super) fn next_latency(&mut self) -> (Duration, bool) {
        let faults = &mut self.faults;
        let (least, most) = (*faults.latency.start(), *faults.latency.end());
        let spread = usize::try_from(most.saturating_sub(least).as_micros()).unwrap_or(usize::MAX - 1);
        let drawn = match spread {
            0 => least,
            spread => least + Duration::from_micros(self.random.below(spread + 1) as u64),
        };
        (drawn + std::mem::take(&mut faults.stall), faults.stalled)
    }

    pub(super) fn lose_power(&mut self, entropy: u64) {
        let mut random = Random::new(entropy);
        self.mount += 1;
        self.faults.power_loss = None;
        self.faults.power_lost = true;
        let steps = std::mem::take(&mut self.unsynced);
        self.reported = 0;
        let kept = random.below(steps.len() + 1);
        let mut steps = steps.into_iter();
        for step in steps.by_ref().take(kept) {
            self.durable.apply(step);
        }
        // Nothing of the next step, or a part of it with whole ones behind it.
        if let Some(next) = steps.next()
            && random.coin()
        {
            self.tail.push(tear(&encoded(&next), &mut random));
            let behind = steps.map(|step| match random.coin() {
                true => encoded(&step),
                false => Vec::new(),
            });
            self.tail.extend(behind);
        }
        self.visible = self.durable.clone();
        // The note is never synced: it may be older than the log.
        self.mark = random.below(usize::try_from(self.mark).unwrap_or(usize::MAX - 1) + 1) as u64;
        self.files.lose_power(&mut random);
    }

    fn flip_a_bit(&mut self, random: &mut Random) -> Option<String> {
        let log = self.durable.log.len();
        let places = log + self.durable.meta.len();
        // Only the newest one counts, and names are in the log's order.
        let mut snapshots = self.files.names().into_iter().rev();
        let snapshot = snapshots.find(|name| name.ends_with(crate::snapshot::FINAL));
        let place = match places + usize::from(snapshot.is_some()) {
            0 => return None,
            all => random.below(all),
        };
        if let Some(name) = snapshot.filter(|_| place == places) {
            let bytes = self.files.durable_bytes(&name)?;
            let bit = random.below(bytes.len() * 8);
            *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
            return Some(format!("bit {bit} of the file '{name}'"));
        }
        let (what, value) = if place < log {
            let (key, value) = self.durable.log.iter_mut().nth(place)?;
            (format!("log record {:?}", keys::parse_log_key(key)), value)
        } else {
            let (key, value) = self.durable.meta.iter_mut().nth(place - log)?;
            (format!("the stored {key}"), value)
        };
        let mut bytes = value.to_vec();
        let bit = random.below(bytes.len() * 8);
        *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
        *value = Bytes::from(bytes);
        self.visible = self.durable.clone();
        for step in self.unsynced.iter().cloned() {
            self.visible.apply(step);
        }
        Some(format!("bit {bit} of {what}"))
    }
}

fn encoded(step: &Step) -> Vec<u8> {
    encode_value(step).expect("a step has only byte strings, which can always be encoded")
}

/// A part of the bytes: cut, or with a hole where sectors were not written.
fn tear(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut torn = bytes.to_vec();
    let at = random.below(torn.len());
    if random.coin() {
        torn.truncate(at);
    } else {
        let end = at + 1 + random.below(torn.len() - at);
        torn[at..end].fill(0);
    }
    torn
}
