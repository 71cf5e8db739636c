//! Who comes next: the tree of roles and, below each role, its frameworks, in the order of their dominant shares.
//!
//! Every list is kept sorted while shares change, so that a run never sorts: taking the next client is a walk from the
//! root. A role's own frameworks hang below a virtual leaf that competes with the role's sub-roles, as in Mesos.

use super::quantities::{Names, Quantities};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The weight of a role nobody set one for.
pub const DEFAULT_WEIGHT: f64 = 1.0;

const ROOT: u32 = 0;

/// What decides the order among siblings: smaller share, then fewer allocations so far, then the text.
#[derive(Clone, Debug)]
struct Rank {
    share: f64,
    allocations: u64,
    text: Arc<str>,
}

impl Rank {
    fn new(text: Arc<str>) -> Self {
        Rank {
            share: 0.0,
            allocations: 0,
            text,
        }
    }

    fn compare(&self, other: &Rank) -> Ordering {
        let by_share = self.share.total_cmp(&other.share);
        by_share
            .then(self.allocations.cmp(&other.allocations))
            .then_with(|| self.text.cmp(&other.text))
    }
}

#[derive(Clone, Debug)]
struct Node {
    rank: Rank,
    parent: u32,
    weight: f64,
    allocated: Quantities,
    /// Sub-roles and the virtual leaf, sorted.
    children: Vec<u32>,
    /// The leaf's listed slots, sorted; empty in inner nodes.
    listed: Vec<u32>,
    /// Slots in the subtree that may be offered something.
    listed_below: u32,
    /// Slots of this leaf, listed or not.
    slots: u32,
}

/// A framework in one of its roles.
#[derive(Clone, Debug)]
struct Slot {
    rank: Rank,
    leaf: u32,
    allocated: Quantities,
    listed: bool,
}

/// The tree; slots and nodes are dense numbers, reused after removal.
#[derive(Debug)]
pub(super) struct RoleTree {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    /// Role text to its inner node; the leaf is found by the virtual name.
    roles: BTreeMap<Arc<str>, u32>,
    slots: Vec<Option<Slot>>,
    free_slots: Vec<u32>,
    weights: BTreeMap<Arc<str>, f64>,
    total: Quantities,
    excluded: BTreeSet<String>,
    stale: bool,
}

impl RoleTree {
    pub(super) fn new(excluded: BTreeSet<String>) -> Self {
        let mut tree = RoleTree {
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            roles: BTreeMap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            weights: BTreeMap::new(),
            total: Quantities::default(),
            excluded,
            stale: false,
        };
        tree.nodes.push(Node::new("".into(), ROOT, DEFAULT_WEIGHT));
        tree
    }

    /// Changes what shares are measured against.
    pub(super) fn change_total(&mut self, less: &Quantities, more: &Quantities) {
        self.total.subtract(less);
        self.total.add(more);
        self.stale = true;
    }

    pub(super) fn total(&self) -> &Quantities {
        &self.total
    }

    pub(super) fn set_weight(&mut self, role: &str, weight: f64) {
        self.weights.insert(role.into(), weight);
        if let Some(&node) = self.roles.get(role) {
            self.nodes[node as usize].weight = weight;
            self.stale = true;
        }
    }

    /// Adds a framework in a role, not listed yet.
    pub(super) fn add_slot(&mut self, role: &str, framework: Arc<str>) -> u32 {
        let leaf = self.leaf(role);
        self.nodes[leaf as usize].slots += 1;
        let slot = Slot {
            rank: Rank::new(framework),
            leaf,
            allocated: Quantities::default(),
            listed: false,
        };
        if let Some(index) = self.free_slots.pop() {
            self.slots[index as usize] = Some(slot);
            return index;
        }
        self.slots.push(Some(slot));
        (self.slots.len() - 1) as u32
    }

    /// Removes a slot with whatever was counted for it, and the roles that nobody needs any more.
    pub(super) fn remove_slot(&mut self, index: u32, names: &Names) {
        self.set_listed(index, false);
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        self.charge_nodes(slot.leaf, names, |node| node.allocated.subtract(&slot.allocated));
        self.free_slots.push(index);
        self.nodes[slot.leaf as usize].slots -= 1;
        let mut node = slot.leaf;
        while node != ROOT {
            let this = &self.nodes[node as usize];
            if this.slots > 0 || !this.children.is_empty() {
                break;
            }
            let parent = this.parent;
            self.roles.retain(|_, &mut at| at != node);
            self.nodes[parent as usize].children.retain(|&child| child != node);
            self.free_nodes.push(node);
            node = parent;
        }
    }

    /// Whether the slot may be offered something (active framework, role not suppressed).
    pub(super) fn set_listed(&mut self, index: u32, listed: bool) {
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if slot.listed == listed {
            return;
        }
        let leaf = slot.leaf;
        if listed {
            slot.listed = true;
            self.insert_listed(leaf, index);
        } else {
            self.remove_listed(leaf, index);
            if let Some(slot) = self.slots[index as usize].as_mut() {
                slot.listed = false;
            }
        }
        let mut node = leaf;
        loop {
            let this = &mut self.nodes[node as usize];
            this.listed_below = if listed {
                this.listed_below + 1
            } else {
                this.listed_below - 1
            };
            if node == ROOT {
                break;
            }
            node = this.parent;
        }
    }

    /// Counts an allocation to the slot and its roles.
    pub(super) fn allocate(&mut self, index: u32, amount: &Quantities, names: &Names) {
        self.charge(index, names, |rank, allocated| {
            allocated.add(amount);
            rank.allocations += 1;
        });
    }

    /// Takes an allocation back; how often something was allocated stays counted.
    pub(super) fn release(&mut self, index: u32, amount: &Quantities, names: &Names) {
        self.charge(index, names, |_, allocated| allocated.subtract(amount));
    }

    pub(super) fn allocated(&self, index: u32) -> Option<&Quantities> {
        self.slots.get(index as usize)?.as_ref().map(|slot| &slot.allocated)
    }

    /// Computes every share and order again if totals or weights changed since the last time.
    pub(super) fn refresh(&mut self, names: &Names) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let (total, excluded) = (&self.total, &self.excluded);
        for slot in self.slots.iter_mut().flatten() {
            slot.rank.share = share(&slot.allocated, total, excluded, names);
        }
        for node in &mut self.nodes {
            node.rank.share = share(&node.allocated, total, excluded, names) / node.weight;
        }
        for index in 0..self.nodes.len() {
            let (mut children, mut listed) = (
                std::mem::take(&mut self.nodes[index].children),
                std::mem::take(&mut self.nodes[index].listed),
            );
            children.sort_by(|&a, &b| self.compare_nodes(a, b));
            listed.sort_by(|&a, &b| self.compare_slots(a, b));
            self.nodes[index].children = children;
            self.nodes[index].listed = listed;
        }
    }

    /// Visits the listed slots in the order in which they are to be offered something, until told to stop.
    pub(super) fn visit(&self, visitor: &mut impl FnMut(u32) -> ControlFlow<()>) {
        // Where the visitor stopped, if it did, is of no interest: the caller knows.
        if self.visit_node(ROOT, visitor).is_break() {}
    }

    fn visit_node(&self, node: u32, visitor: &mut impl FnMut(u32) -> ControlFlow<()>) -> ControlFlow<()> {
        let this = &self.nodes[node as usize];
        if this.listed_below == 0 {
            return ControlFlow::Continue(());
        }
        for &slot in &this.listed {
            visitor(slot)?;
        }
        for &child in &this.children {
            self.visit_node(child, visitor)?;
        }
        ControlFlow::Continue(())
    }

    /// The leaf that holds the role's own frameworks, created with its ancestors if need be.
    fn leaf(&mut self, role: &str) -> u32 {
        let mut parent = ROOT;
        for (end, _) in role.match_indices('/').chain([(role.len(), "")]) {
            parent = self.child(parent, &role[..end]);
        }
        self.child(parent, &format!("{role}/."))
    }

    fn child(&mut self, parent: u32, path: &str) -> u32 {
        if let Some(&node) = self.roles.get(path) {
            return node;
        }
        let weight = self.weights.get(path).copied().unwrap_or(DEFAULT_WEIGHT);
        let path: Arc<str> = path.into();
        let node = Node::new(path.clone(), parent, weight);
        let index = if let Some(index) = self.free_nodes.pop() {
            self.nodes[index as usize] = node;
            index
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.roles.insert(path, index);
        self.insert_child(parent, index);
        index
    }

    fn charge(&mut self, index: u32, names: &Names, change: impl Fn(&mut Rank, &mut Quantities)) {
        let Some((leaf, listed)) = self
            .slots
            .get(index as usize)
            .and_then(Option::as_ref)
            .map(|s| (s.leaf, s.listed))
        else {
            return;
        };
        if listed {
            self.remove_listed(leaf, index);
        }
        if let Some(slot) = self.slots[index as usize].as_mut() {
            change(&mut slot.rank, &mut slot.allocated);
            slot.rank.share = share(&slot.allocated, &self.total, &self.excluded, names);
        }
        if listed {
            self.insert_listed(leaf, index);
        }
        self.charge_nodes(leaf, names, |node| change(&mut node.rank, &mut node.allocated));
    }

    fn charge_nodes(&mut self, leaf: u32, names: &Names, change: impl Fn(&mut Node)) {
        let mut node = leaf;
        while node != ROOT {
            let parent = self.nodes[node as usize].parent;
            self.remove_child(parent, node);
            let this = &mut self.nodes[node as usize];
            change(this);
            this.rank.share = share(&this.allocated, &self.total, &self.excluded, names) / this.weight;
            self.insert_child(parent, node);
            node = parent;
        }
    }

    fn compare_nodes(&self, a: u32, b: u32) -> Ordering {
        self.nodes[a as usize].rank.compare(&self.nodes[b as usize].rank)
    }

    fn compare_slots(&self, a: u32, b: u32) -> Ordering {
        match (&self.slots[a as usize], &self.slots[b as usize]) {
            (Some(a), Some(b)) => a.rank.compare(&b.rank),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }

    fn insert_child(&mut self, parent: u32, child: u32) {
        let at = self.nodes[parent as usize]
            .children
            .partition_point(|&other| self.compare_nodes(other, child).is_lt());
        self.nodes[parent as usize].children.insert(at, child);
    }

    /// Called before the child's rank changes, while the list is still sorted; when totals or weights are about to be
    /// refreshed it may not be, then it is searched.
    fn remove_child(&mut self, parent: u32, child: u32) {
        let children = &self.nodes[parent as usize].children;
        let guess = children.partition_point(|&other| self.compare_nodes(other, child).is_lt());
        if let Some(at) = find_near(children, guess, child) {
            self.nodes[parent as usize].children.remove(at);
        }
    }

    fn insert_listed(&mut self, leaf: u32, slot: u32) {
        let at = self.nodes[leaf as usize]
            .listed
            .partition_point(|&other| self.compare_slots(other, slot).is_lt());
        self.nodes[leaf as usize].listed.insert(at, slot);
    }

    fn remove_listed(&mut self, leaf: u32, slot: u32) {
        let listed = &self.nodes[leaf as usize].listed;
        let guess = listed.partition_point(|&other| self.compare_slots(other, slot).is_lt());
        if let Some(at) = find_near(listed, guess, slot) {
            self.nodes[leaf as usize].listed.remove(at);
        }
    }

    /// Checks sums, counts and orders (tests and debug builds).
    pub(super) fn check_invariants(&self, names: &Names) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            let index = index as u32;
            if self.free_nodes.contains(&index) {
                continue;
            }
            let path = &node.rank.text;
            let mut sum = Quantities::default();
            let mut listed_below = node.listed.len() as u32;
            for &child in &node.children {
                sum.add(&self.nodes[child as usize].allocated);
                listed_below += self.nodes[child as usize].listed_below;
            }
            let own = self.slots.iter().flatten().filter(|slot| slot.leaf == index);
            own.for_each(|slot| sum.add(&slot.allocated));
            if index != ROOT && sum != node.allocated {
                return Err(format!(
                    "role node '{path}' counts {:?}, its clients hold {sum:?}",
                    node.allocated
                ));
            }
            if listed_below != node.listed_below {
                return Err(format!(
                    "role node '{path}' lists {}, not {listed_below}",
                    node.listed_below
                ));
            }
            let negative = node.allocated.iter().find(|(_, amount)| *amount < 0);
            if let Some((name, amount)) = negative {
                return Err(format!(
                    "role node '{path}' holds {amount} thousandths of {}",
                    names.text(name)
                ));
            }
            let children_sorted = node
                .children
                .windows(2)
                .all(|pair| self.compare_nodes(pair[0], pair[1]).is_lt());
            let listed_sorted = node
                .listed
                .windows(2)
                .all(|pair| self.compare_slots(pair[0], pair[1]).is_lt());
            let sorted = children_sorted && listed_sorted;
            if !(sorted || self.stale) {
                return Err(format!("the clients of role node '{path}' are out of order"));
            }
        }
        Ok(())
    }
}

impl Node {
    fn new(path: Arc<str>, parent: u32, weight: f64) -> Self {
        Node {
            rank: Rank::new(path),
            parent,
            weight,
            allocated: Quantities::default(),
            children: Vec::new(),
            listed: Vec::new(),
            listed_below: 0,
            slots: 0,
        }
    }
}

fn find_near(list: &[u32], guess: usize, wanted: u32) -> Option<usize> {
    if list.get(guess) == Some(&wanted) {
        Some(guess)
    } else {
        list.iter().position(|&item| item == wanted)
    }
}

/// The dominant share: the largest part of any scalar resource.
fn share(allocated: &Quantities, total: &Quantities, excluded: &BTreeSet<String>, names: &Names) -> f64 {
    let mut dominant: f64 = 0.0;
    for (index, amount) in allocated.iter() {
        let whole = total.get(index);
        if amount > 0 && whole > 0 && (excluded.is_empty() || !excluded.contains(names.text(index))) {
            dominant = dominant.max(amount as f64 / whole as f64);
        }
    }
    dominant
}
