//! Random histories: whatever happens in whatever order, the books agree and nothing is given out twice.

use super::*;
use crate::resources::top_level_role;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Event {
    AddAgent(usize, u8),
    RemoveAgent(usize),
    ShrinkAgent(usize),
    ToggleAgent(usize, bool),
    AddFramework(usize, u8),
    RemoveFramework(usize),
    ToggleFramework(usize, bool),
    Roles(usize, u8),
    Suppress(usize, u8),
    Revive(usize, u8),
    Allocate(u64),
    Decline(usize, u64),
    Launch(usize),
    Finish(usize),
    Wait(u64),
    Quota(u8, i64, i64),
    Weight(u8, u8),
}

fn any_event() -> impl Strategy<Value = Event> {
    let (agent, framework) = (0usize..5, 0usize..4);
    prop_oneof![
        3 => (agent.clone(), any::<u8>()).prop_map(|(agent, kind)| Event::AddAgent(agent, kind)),
        1 => agent.clone().prop_map(Event::RemoveAgent),
        1 => agent.clone().prop_map(Event::ShrinkAgent),
        1 => (agent, any::<bool>()).prop_map(|(agent, active)| Event::ToggleAgent(agent, active)),
        3 => (framework.clone(), any::<u8>()).prop_map(|(framework, roles)| Event::AddFramework(framework, roles)),
        1 => framework.clone().prop_map(Event::RemoveFramework),
        1 => (framework.clone(), any::<bool>()).prop_map(|(framework, active)| Event::ToggleFramework(framework, active)),
        1 => (framework.clone(), any::<u8>()).prop_map(|(framework, roles)| Event::Roles(framework, roles)),
        1 => (framework.clone(), any::<u8>()).prop_map(|(framework, roles)| Event::Suppress(framework, roles)),
        1 => (framework, any::<u8>()).prop_map(|(framework, roles)| Event::Revive(framework, roles)),
        8 => any::<u64>().prop_map(Event::Allocate),
        4 => (any::<usize>(), 0u64..4).prop_map(|(offer, seconds)| Event::Decline(offer, seconds * SECOND)),
        4 => any::<usize>().prop_map(Event::Launch),
        3 => any::<usize>().prop_map(Event::Finish),
        2 => (1u64..3).prop_map(|seconds| Event::Wait(seconds * SECOND)),
        3 => (any::<u8>(), 0i64..10, 0i64..10).prop_map(|(role, guarantee, more)| Event::Quota(role, guarantee, more)),
        1 => (any::<u8>(), 1u8..5).prop_map(|(role, weight)| Event::Weight(role, weight)),
    ]
}

const ROLES: [&str; 4] = ["*", "a", "a/b", "c"];

fn roles(bits: u8) -> Vec<&'static str> {
    ROLES
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, role)| *role)
        .collect()
}

fn role_texts(bits: u8) -> Vec<String> {
    roles(bits).into_iter().map(str::to_owned).collect()
}

const TOTALS: [&str; 4] = [
    "cpus:4;mem:4096;ports:[31000-31005]",
    "cpus:2;mem:512;cpus(a):2;disk(a/b):100",
    "cpus(c):1;mem(c):64",
    "cpus:8;mem:64;disk:1000;gold:7",
];

/// The allocator together with what its caller would remember.
struct World {
    allocator: Allocator,
    now: u64,
    offers: Vec<Allocation>,
    used: Vec<Allocation>,
    suppressed: BTreeSet<(FrameworkId, String)>,
    refused: Vec<(Allocation, u64)>,
    /// By role and name, in thousandths.
    limits: BTreeMap<(String, String), i64>,
}

fn take<T>(list: &mut Vec<T>, index: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(index % list.len()))
}

impl World {
    fn new() -> Self {
        World {
            allocator: Allocator::new(AllocatorConfig::default()),
            now: 0,
            offers: Vec::new(),
            used: Vec::new(),
            suppressed: BTreeSet::new(),
            refused: Vec::new(),
            limits: BTreeMap::new(),
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::AddAgent(agent, kind) => self.add_agent(agent, kind),
            Event::RemoveAgent(agent) => {
                self.forget(|allocation| allocation.agent_id == agent_id(agent));
                self.allocator.remove_agent(&agent_id(agent));
            }
            Event::ShrinkAgent(agent) => {
                self.allocator
                    .update_agent_total(&agent_id(agent), resources("cpus:1;mem:40"));
            }
            Event::ToggleAgent(agent, true) => self.allocator.activate_agent(&agent_id(agent)),
            Event::ToggleAgent(agent, false) => self.allocator.deactivate_agent(&agent_id(agent)),
            Event::AddFramework(framework, bits) => {
                let id = framework_id(framework);
                self.forget_refusals(&id);
                self.suppressed.retain(|(framework, _)| framework != &id);
                self.allocator.add_framework(id, facts(&roles(bits)), true);
            }
            Event::RemoveFramework(framework) => self.remove_framework(framework),
            Event::ToggleFramework(framework, true) => self.allocator.activate_framework(&framework_id(framework)),
            Event::ToggleFramework(framework, false) => {
                self.forget_refusals(&framework_id(framework));
                self.allocator.deactivate_framework(&framework_id(framework));
            }
            Event::Roles(framework, bits) => {
                let id = framework_id(framework);
                self.forget_refusals(&id);
                self.suppressed.retain(|(framework, _)| framework != &id);
                self.allocator.update_framework(&id, facts(&roles(bits)));
            }
            Event::Suppress(framework, bits) if bits & 15 != 0 => {
                let id = framework_id(framework);
                self.allocator.suppress(&id, &role_texts(bits));
                // Only roles that are subscribed are remembered; a later subscription starts anew.
                let known = self.allocator.subscribed_roles(&id);
                self.suppressed.extend(
                    role_texts(bits)
                        .into_iter()
                        .filter(|r| known.contains(r))
                        .map(|r| (id.clone(), r)),
                );
            }
            Event::Suppress(..) => {}
            Event::Revive(framework, bits) => {
                let id = framework_id(framework);
                self.forget_refusals(&id);
                let texts = role_texts(bits);
                self.suppressed
                    .retain(|(f, role)| f != &id || !(texts.is_empty() || texts.contains(role)));
                self.allocator.revive(&id, &texts);
            }
            Event::Allocate(seed) => self.allocate(seed),
            Event::Decline(offer, refuse) => self.decline(offer, refuse),
            Event::Launch(offer) => {
                if let Some(offer) = take(&mut self.offers, offer) {
                    self.allocator
                        .allocated(&offer.framework_id, &offer.agent_id, &offer.resources);
                    self.used.push(offer);
                }
            }
            Event::Finish(task) => {
                if let Some(task) = take(&mut self.used, task) {
                    let id = (&task.framework_id, &task.agent_id);
                    assert!(self.allocator.recover_used(id.0, id.1, &task.resources).is_empty());
                }
            }
            Event::Wait(micros) => self.now += micros,
            Event::Quota(role, guarantee, more) => self.set_quota(role, guarantee, more),
            Event::Weight(role, weight) => self
                .allocator
                .set_weight(ROLES[role as usize % ROLES.len()], f64::from(weight)),
        }
    }

    /// Half of the quotas are removed again, some are limits only; all of cpus, some of memory too.
    fn set_quota(&mut self, role: u8, guarantee: i64, more: i64) {
        let name = ["*", "a", "c"][role as usize % 3];
        let (mut guarantees, mut limits) = (Amounts::new(), Amounts::new());
        if guarantee < 5 {
            guarantees.insert("cpus".into(), guarantee * 700);
            limits.insert("cpus".into(), (guarantee + more) * 700);
            if role > 127 {
                limits.insert("mem".into(), more * 600_000);
            }
        }
        self.allocator.set_quota(name, &guarantees, &limits);
        self.limits.retain(|(of, _), _| of != name);
        self.limits.extend(
            limits
                .into_iter()
                .map(|(of, limit)| ((name.to_owned(), of.to_string()), limit)),
        );
    }

    /// What counts for the quota of a role's tree, as the caller remembers it.
    fn consumed(&self, role: &str, name: &str) -> i64 {
        let held = self
            .offers
            .iter()
            .chain(&self.used)
            .filter(|it| top_level_role(&it.role) == role);
        let held = held
            .flat_map(|it| it.resources.iter())
            .filter(|it| it.kind().is_for_quota());
        let agents = self.allocator.agents.iter();
        let totals = agents.filter_map(|(_, number)| Some(&self.allocator.agents.get(number)?.total));
        let reserved = totals.flat_map(|total| total.iter()).filter(|it| {
            let reserved = it.kind().reservation_role();
            reserved.is_some_and(|reserved| top_level_role(reserved) == role)
        });
        let of_name = held.chain(reserved).filter(|it| it.kind().name() == name);
        of_name.map(|it| it.scalar()).sum()
    }

    /// An agent that comes (back) reports what runs on it; whatever was offered of it is void.
    fn add_agent(&mut self, agent: usize, kind: u8) {
        let id = agent_id(agent);
        self.offers.retain(|offer| offer.agent_id != id);
        self.refused.retain(|(offer, _)| offer.agent_id != id);
        let used: Vec<_> = self.used.iter().filter(|task| task.agent_id == id).collect();
        let report: Vec<_> = used
            .iter()
            .map(|task| (task.framework_id.clone(), task.resources.clone()))
            .collect();
        let total = if report.is_empty() {
            resources(TOTALS[kind as usize % TOTALS.len()])
        } else {
            // It is as large as what it runs, at least.
            let mut total: Resources = used.iter().map(|task| &task.resources).sum::<Resources>().unallocated();
            total.add(&resources("cpus:1;mem:32"));
            total
        };
        self.allocator.add_agent(id, agent_facts(), total, &report);
    }

    fn remove_framework(&mut self, framework: usize) {
        let id = framework_id(framework);
        for offer in self.offers.extract_if(.., |offer| offer.framework_id == id) {
            decline(&mut self.allocator, self.now, &offer, None);
        }
        self.forget_refusals(&id);
        self.suppressed.retain(|(framework, _)| framework != &id);
        self.allocator.remove_framework(&id);
    }

    fn decline(&mut self, offer: usize, refuse: u64) {
        let Some(offer) = take(&mut self.offers, offer) else {
            return;
        };
        decline(&mut self.allocator, self.now, &offer, (refuse > 0).then_some(refuse));
        if refuse > 0 && self.allocator.is_active(&offer.framework_id) {
            self.refused.push((offer, self.now + refuse.max(SECOND)));
        }
    }

    fn allocate(&mut self, seed: u64) {
        let before_within = self.allocator.is_within_totals();
        let limits = self.limits.keys().cloned();
        let consumed: Vec<_> = limits.map(|key| (self.consumed(&key.0, &key.1), key)).collect();
        let surplus = ["cpus", "mem"].map(|name| (name, self.allocator.surplus(name)));
        let made = self.allocator.allocate(self.now, seed, None);
        assert!(
            !before_within || self.allocator.is_within_totals(),
            "more was given out than there is"
        );
        for offer in &made {
            let role = (offer.framework_id.clone(), offer.role.to_string());
            assert!(!self.suppressed.contains(&role), "{role:?} is suppressed");
            let refused = self.refused.iter().find(|(refused, until)| {
                *until > self.now
                    && (&refused.framework_id, &refused.agent_id, &refused.role)
                        == (&offer.framework_id, &offer.agent_id, &offer.role)
                    && refused.resources.contains(&offer.resources)
            });
            let subscribed = self.allocator.subscribed_roles(&offer.framework_id);
            assert!(
                refused.is_none() && subscribed.contains(&*offer.role),
                "{offer:?} {refused:?}"
            );
            assert!(offer.resources.allocation_roles().iter().eq([&offer.role]));
        }
        self.offers.extend(made);
        for (before, key) in consumed {
            let (after, limit) = (self.consumed(&key.0, &key.1), self.limits[&key]);
            assert!(
                after <= limit.max(before),
                "{key:?}: {before} became {after}, the limit is {limit}"
            );
        }
        for (name, before) in surplus {
            let after = self.allocator.surplus(name);
            assert!(
                after >= before.min(0),
                "{name}: {before} beyond the guarantees became {after}"
            );
        }
    }

    fn forget_refusals(&mut self, id: &FrameworkId) {
        self.refused.retain(|(refused, _)| &refused.framework_id != id);
    }

    fn forget(&mut self, gone: impl Fn(&Allocation) -> bool) {
        self.offers.retain(|offer| !gone(offer));
        self.used.retain(|task| !gone(task));
        self.refused.retain(|(offer, _)| !gone(offer));
    }

    fn recover_everything(&mut self) {
        for offer in std::mem::take(&mut self.offers) {
            decline(&mut self.allocator, self.now, &offer, None);
        }
        for task in std::mem::take(&mut self.used) {
            let id = (&task.framework_id, &task.agent_id);
            assert!(self.allocator.recover_used(id.0, id.1, &task.resources).is_empty());
        }
    }
}

impl Allocator {
    fn subscribed_roles(&self, id: &FrameworkId) -> BTreeSet<String> {
        let framework = self
            .frameworks
            .number(id)
            .and_then(|number| self.frameworks.get(number));
        let facts = framework.and_then(|framework| framework.facts.as_ref());
        facts
            .map(|facts| facts.roles.iter().map(|role| role.to_string()).collect())
            .unwrap_or_default()
    }

    fn is_active(&self, id: &FrameworkId) -> bool {
        self.frameworks
            .number(id)
            .and_then(|number| self.frameworks.get(number))
            .is_some_and(|f| f.active)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_books_always_agree(events in proptest::collection::vec(any_event(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
            if let Err(contradiction) = world.allocator.check_invariants() {
                return Err(TestCaseError::fail(contradiction));
            }
        }
        // What was remembered about who cannot be offered what hid nothing from anybody.
        world.apply(Event::Allocate(1));
        world.allocator.agents.values_mut().for_each(|agent| agent.blocked.clear());
        prop_assert_eq!(world.allocator.allocate(world.now, 2, None), []);
        world.recover_everything();
        world.allocator.check_invariants().map_err(TestCaseError::fail)?;
        for (_, number) in world.allocator.agents.iter() {
            let agent = world.allocator.agents.get(number).unwrap();
            prop_assert_eq!(&agent.available, &agent.total, "everything came back");
        }
    }

    #[test]
    fn the_same_history_gives_the_same_offers(events in proptest::collection::vec(any_event(), 1..60)) {
        let (mut one, mut other) = (World::new(), World::new());
        for event in events {
            one.apply(event.clone());
            other.apply(event);
            prop_assert_eq!(&one.offers, &other.offers);
        }
    }
}
