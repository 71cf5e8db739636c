//! The books of one agent: what it has, who holds what of it, who refused it.
//!
//! Never hands anything out itself; `available` is always the total less everything held, offered or used.

use super::facts::AgentFacts;
use super::filters::AgentFilters;
use crate::ids::AgentId;
use crate::resources::Resources;
use std::collections::BTreeMap;

/// What one framework holds of an agent; every resource carries its allocation role.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) offered: Resources,
    pub(super) used: Resources,
}

impl Held {
    pub(super) fn all(&self) -> Resources {
        let mut all = self.used.clone();
        all.add(&self.offered);
        all
    }
}

#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) facts: AgentFacts,
    pub(super) active: bool,
    pub(super) total: Resources,
    /// By framework number; frameworks that are not (or no longer) known hold what they use all the same.
    pub(super) held: BTreeMap<u32, Held>,
    pub(super) available: Resources,
    /// Nothing available is reserved, revocable or shared: every role may be offered the same.
    pub(super) plain: bool,
    pub(super) has_gpus: bool,
    pub(super) filters: AgentFilters,
    /// Slots that cannot be offered what is available now; see [`Blocked`].
    pub(super) blocked: Blocked,
}

impl Agent {
    pub(super) fn new(id: AgentId, facts: AgentFacts, total: Resources) -> Self {
        let mut agent = Agent {
            id,
            facts,
            active: true,
            total,
            held: BTreeMap::new(),
            available: Resources::new(),
            plain: true,
            has_gpus: false,
            filters: AgentFilters::default(),
            blocked: Blocked::default(),
        };
        agent.recompute();
        agent
    }

    /// The total less what is held. Shared volumes stay available while they are held.
    pub(super) fn compute_available(&self) -> Resources {
        let mut available = self.total.clone();
        for held in self.held.values() {
            for part in [&held.used, &held.offered] {
                // What is held beyond the total (an agent that shrank) leaves nothing available of that kind.
                available.take_available(&exclusively(part).unallocated());
            }
        }
        available
    }

    /// Brings what follows from `total` and `held` up to date, after either grew or shrank.
    pub(super) fn recompute(&mut self) {
        self.available = self.compute_available();
        self.has_gpus = self.total.scalar("gpus") > 0;
        self.note_available();
        self.blocked.clear();
    }

    /// Takes an offer out of what is available.
    pub(super) fn take(&mut self, offer: &Resources) {
        if self.plain {
            self.available.take_available(offer);
        } else {
            self.available.take_available(&exclusively(offer));
            self.note_available();
        }
    }

    fn note_available(&mut self) {
        self.plain = self.available.iter().all(|entry| {
            let kind = entry.kind();
            kind.reservations().is_empty() && !kind.is_revocable() && !kind.is_shared()
        });
    }
}

/// The part that nobody else can have at the same time.
pub(super) fn exclusively(resources: &Resources) -> Resources {
    if resources.iter().any(|entry| entry.kind().is_shared()) {
        resources.filter(|entry| !entry.kind().is_shared())
    } else {
        resources.clone()
    }
}

/// A set of slot numbers, one bit each, and whether it is known to hold every listed one. A slot is in it when it was found that it cannot be offered what the agent has; that
/// stays true while the available resources only shrink, so each pair is looked at once, not in every run.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocked {
    bits: Vec<u64>,
    /// The listing (see `Allocator::listing`) all of whose slots are in the set.
    covers: Option<u64>,
}

impl Blocked {
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.bits
            .get(slot as usize / 64)
            .is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (slot % 64);
    }

    /// Every slot listed at that time is in the set.
    pub(super) fn cover(&mut self, listing: u64) {
        self.covers = Some(listing);
    }

    pub(super) fn covers(&self, listing: u64) -> bool {
        self.covers == Some(listing)
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.covers = None;
        if let Some(word) = self.bits.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    pub(super) fn clear(&mut self) {
        self.covers = None;
        self.bits.clear();
    }
}
