//! What one run may still give to whom, as far as quotas go: cuts offers at limits and at what is held back for guarantees.

use super::facts::MinAllocatable;
use super::quantities::{Names, Quantities};
use super::quotas::RoleQuota;
use crate::resources::Resources;
use std::collections::BTreeSet;

/// Which stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For guarantees that are not satisfied.
    Guarantees,
    /// Everything else.
    Rest,
}

/// A role's quota as a run goes on.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) quota: RoleQuota,
    pub(super) consumed: Quantities,
}

impl Standing {
    /// What is missing to the guarantee.
    fn unsatisfied(&self, name: usize) -> i64 {
        let guarantee = self.quota.guarantees.iter().find(|(of, _)| *of == name);
        guarantee.map_or(0, |(_, amount)| amount.saturating_sub(self.consumed.get(name)).max(0))
    }

    fn is_satisfied(&self) -> bool {
        self.quota
            .guarantees
            .iter()
            .all(|(name, _)| self.unsatisfied(*name) == 0)
    }

    /// What the role may still be given; None: whatever there is.
    fn room(&self, name: usize) -> Option<i64> {
        let limit = self.quota.limits.iter().find(|(of, _)| *of == name);
        limit.map(|(_, limit)| limit.saturating_sub(self.consumed.get(name)).max(0))
    }
}

/// What may still be given to whom.
#[derive(Debug)]
pub(super) struct Headroom {
    /// Unreserved and held by nobody, on all agents that are offered.
    available: Quantities,
    /// What is held back for guarantees that are not satisfied.
    required: Quantities,
    roles: Vec<Standing>,
    /// By slot; filled for runs only.
    places: Vec<Place>,
    /// The roles that some slot has, `NO_QUOTA` included.
    present: BTreeSet<u32>,
    /// Some slot has a least offer of its own.
    has_own_least: bool,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its top-level role among those that have quotas.
    role: u32,
    /// Its framework says itself what the least offer is.
    has_own_least: bool,
}

/// The place of roles without quota.
const NO_QUOTA: u32 = u32::MAX;

impl Headroom {
    /// Before a run, without slots; `available` is what is unreserved and held by nobody.
    pub(super) fn new(available: Quantities, roles: Vec<Standing>) -> Self {
        let mut required = Quantities::default();
        roles.iter().for_each(|role| required.add(&role.open()));
        Headroom {
            available,
            required,
            roles,
            places: Vec::new(),
            present: BTreeSet::new(),
            has_own_least: false,
        }
    }

    /// Adds the next slot: the place of its role among those with quotas, and whether it has a least offer of its own. None
    /// for a number that no slot has.
    pub(super) fn add_slot(&mut self, slot: Option<(Option<u32>, bool)>) {
        let (role, has_own_least) = slot.unwrap_or((None, false));
        let role = role.unwrap_or(NO_QUOTA);
        if slot.is_some() {
            self.present.insert(role);
            self.has_own_least |= has_own_least;
        }
        self.places.push(Place { role, has_own_least });
    }

    /// What is free beyond what is held back, by name index; negative when there is less.
    pub(super) fn surplus(&self, name: usize) -> i64 {
        self.available.get(name).saturating_sub(self.required.get(name))
    }

    /// Whether somebody could be given something in the first stage.
    pub(super) fn has_open_guarantees(&self) -> bool {
        self.roles.iter().any(|role| !role.is_satisfied())
    }

    fn place(&self, slot: u32) -> Place {
        let place = self.places.get(slot as usize).copied();
        place.unwrap_or(Place {
            role: NO_QUOTA,
            has_own_least: true,
        })
    }

    /// What of `whole` may be given to a slot of the role: as it is, cut, or nothing.
    fn cut(&self, role: u32, whole: &Resources, stage: Stage, names: &Names) -> Cut {
        let standing = self.roles.get(role as usize);
        if stage == Stage::Guarantees && standing.is_none_or(Standing::is_satisfied) {
            return Cut::Nothing;
        }
        if stage == Stage::Rest && self.is_unbound(standing) {
            return Cut::Whole;
        }
        let mut given = whole.filter(|entry| !(entry.is_scalar() && entry.kind().is_for_quota()));
        let part = whole.filter(|entry| entry.is_scalar() && entry.kind().is_for_quota());
        if stage == Stage::Guarantees {
            let guaranteed = |name: &str| {
                let open = standing
                    .zip(names.find(name))
                    .map(|(role, name)| role.unsatisfied(name));
                Some(open.unwrap_or(0))
            };
            if part.shrunk_to(guaranteed).is_empty() {
                return Cut::Nothing;
            }
        }
        let part = part.shrunk_to(|name| self.bound(standing, name, stage, names));
        given.add(&part);
        if given == *whole { Cut::Whole } else { Cut::Part(given) }
    }

    /// The most that a role may be given of a resource; None: whatever there is.
    fn bound(&self, standing: Option<&Standing>, name: &str, stage: Stage, names: &Names) -> Option<i64> {
        let name = names.find(name)?;
        let room = standing.and_then(|role| role.room(name));
        let surplus = (self.required.get(name) > 0).then(|| self.surplus(name).max(0));
        let guaranteed = match (stage, standing) {
            (Stage::Guarantees, Some(role)) => role.unsatisfied(name),
            _ => 0,
        };
        // What is guaranteed is held back for this very role.
        let surplus = surplus.map(|surplus| surplus.saturating_add(guaranteed));
        room.into_iter().chain(surplus).min()
    }

    fn is_unbound(&self, standing: Option<&Standing>) -> bool {
        standing.is_none_or(|role| role.quota.limits.is_empty()) && self.required.iter().all(|(_, amount)| amount == 0)
    }

    fn give(&mut self, slot: u32, offer: &Resources, names: &mut Names) {
        let amount = names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        self.available.subtract(&amount);
        let place = self.place(slot);
        let Some(role) = self.roles.get_mut(place.role as usize) else {
            return;
        };
        let open = role.open();
        role.consumed.add(&amount);
        let still_open = role.open();
        self.required.subtract(&open);
        self.required.add(&still_open);
    }
}

impl Standing {
    /// What is held back for the role.
    fn open(&self) -> Quantities {
        let mut open = Quantities::default();
        for (name, _) in &self.quota.guarantees {
            open.increase(*name, self.unsatisfied(*name));
        }
        open
    }
}

/// What quotas leave of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Whole,
    Part(Resources),
    Nothing,
}

/// One agent as quotas see it in one stage. Where all clients would be offered the same, each role is looked at once and
/// not each of its frameworks.
#[derive(Debug)]
pub(super) struct Cuts<'a> {
    headroom: &'a mut Headroom,
    stage: Stage,
    least: &'a MinAllocatable,
    /// By role, then that of roles without quota; of what is available now.
    known: Vec<Option<Known>>,
}

#[derive(Clone, Debug)]
enum Known {
    /// The part is smaller than offers have to be.
    TooLittle,
    Enough(Cut),
}

impl<'a> Cuts<'a> {
    pub(super) fn new(headroom: &'a mut Headroom, stage: Stage, least: &'a MinAllocatable) -> Self {
        let known = vec![None; headroom.roles.len() + 1];
        Cuts {
            headroom,
            stage,
            least,
            known,
        }
    }

    /// Whether no client at all can be given anything of what is available to everybody alike.
    pub(super) fn leave_nothing(&mut self, available: &Resources, names: &Names) -> bool {
        let present: Vec<u32> = self.headroom.present.iter().copied().collect();
        let mut is_too_little = |role| matches!(self.known(role, available, names), Known::TooLittle);
        let is_nothing = present.into_iter().all(&mut is_too_little);
        is_nothing && !self.headroom.has_own_least
    }

    /// Whether the slot cannot be given anything of what is available to everybody alike.
    pub(super) fn leave_too_little(&mut self, slot: u32, available: &Resources, names: &Names) -> bool {
        let place = self.headroom.place(slot);
        !place.has_own_least && matches!(self.known(place.role, available, names), Known::TooLittle)
    }

    /// What of an offer may be given to the slot; `is_for_all`: it is what is available to everybody alike.
    pub(super) fn cut(&mut self, slot: u32, offer: &Resources, is_for_all: bool, names: &Names) -> Cut {
        let place = self.headroom.place(slot);
        if is_for_all && let Known::Enough(cut) = self.known(place.role, offer, names) {
            return cut.clone();
        }
        self.headroom.cut(place.role, offer, self.stage, names)
    }

    /// The slot is given an offer.
    pub(super) fn give(&mut self, slot: u32, offer: &Resources, names: &mut Names) {
        self.headroom.give(slot, offer, names);
        self.known.fill(None);
    }

    fn known(&mut self, role: u32, available: &Resources, names: &Names) -> &Known {
        let place = (role as usize).min(self.known.len() - 1);
        let (headroom, stage, least) = (&*self.headroom, self.stage, self.least);
        self.known[place].get_or_insert_with(|| {
            let standing = headroom.roles.get(role as usize);
            // Without looking at what can only be taken whole: cheap, and mostly all there is to say.
            let at_most = |name: &str| {
                let bound = headroom.bound(standing, name, stage, names);
                available.scalar(name).min(bound.unwrap_or(i64::MAX))
            };
            if !least.is_met(at_most) {
                return Known::TooLittle;
            }
            let cut = headroom.cut(role, available, stage, names);
            let is_enough = match &cut {
                Cut::Whole => true,
                Cut::Part(part) => !part.is_empty() && least.is_met(|name| part.scalar(name)),
                Cut::Nothing => false,
            };
            if is_enough {
                Known::Enough(cut)
            } else {
                Known::TooLittle
            }
        })
    }
}
