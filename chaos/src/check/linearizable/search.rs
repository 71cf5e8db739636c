//! The search for an order, for any model of an object.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use crate::history::Micros;

/// What an object is: its states, and what each call does in one instant.
pub(crate) trait Model {
    /// A state of the object.
    type State: Clone + Debug + Ord + Hash;
    /// A call.
    type Action: Debug;

    /// Before the first call.
    fn initial(&self) -> Self::State;

    /// The states after `action` in `state`; none if it cannot happen there.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Vec<Self::State>;

    /// Whether `action` only looks. If it is possible now and changes nothing it has its instant now: that is never worse.
    fn is_read(&self, action: &Self::Action) -> bool;

    /// Whether every other action decides the state alone. One that need not happen is then worth trying only right
    /// before a read of what it does.
    fn overwrites(&self) -> bool;
}

/// A call in the history of one object.
#[derive(Clone, Debug)]
pub(crate) struct Operation<A> {
    /// Its line in the history.
    pub(crate) line: usize,
    /// When it was made.
    pub(crate) called: Micros,
    /// When its answer came; `None` if it may take effect at any later time, or never.
    pub(crate) returned: Option<Micros>,
    /// What it was.
    pub(crate) action: A,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    /// There is such an order.
    Linearizable,
    /// There is none. Holds the line of the call that the best attempt could not explain, and those it was tried among.
    Not {
        /// Line of the call that could not be placed.
        stuck: usize,
        /// Lines of the calls that were under way at its end.
        among: Vec<usize>,
    },
    /// Given up.
    Undecided,
}

/// The ends of a call, in the order of time; at one time calls come before answers, since both may be concurrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Call(usize),
    Answer(usize),
}

const NONE: usize = usize::MAX;

/// The ends that are not ordered yet, as a list that gives back what was taken out.
struct List {
    ends: Vec<End>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where the ends of each call are.
    places: Vec<(usize, usize)>,
    answers: usize,
}

impl List {
    fn of<A>(operations: &[Operation<A>]) -> List {
        let mut ends: Vec<(Micros, End)> = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            ends.push((operation.called, End::Call(index)));
            if let Some(returned) = operation.returned {
                ends.push((returned, End::Answer(index)));
            }
        }
        ends.sort_unstable();
        let ends: Vec<End> = ends.into_iter().map(|(_, end)| end).collect();
        let mut places = vec![(NONE, NONE); operations.len()];
        for (place, end) in ends.iter().enumerate() {
            match end {
                End::Call(index) => places[*index].0 = place,
                End::Answer(index) => places[*index].1 = place,
            }
        }
        let answers = ends.iter().filter(|end| matches!(end, End::Answer(_))).count();
        // Place `ends.len()` is the head.
        let size = ends.len() + 1;
        List {
            next: (0..size).map(|place| (place + 1) % size).collect(),
            previous: (0..size).map(|place| (place + size - 1) % size).collect(),
            ends,
            places,
            answers,
        }
    }

    fn head(&self) -> usize {
        self.ends.len()
    }

    fn take(&mut self, index: usize) {
        let (call, answer) = self.places[index];
        self.unlink(call);
        if answer != NONE {
            self.unlink(answer);
            self.answers -= 1;
        }
    }

    /// The reverse of the last [`List::take`].
    fn give_back(&mut self, index: usize) {
        let (call, answer) = self.places[index];
        if answer != NONE {
            self.link(answer);
            self.answers += 1;
        }
        self.link(call);
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    fn link(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = place;
        self.previous[after] = place;
    }
}

/// A set of calls as bits.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Calls(Vec<u64>);

impl Calls {
    fn flip(&mut self, index: usize) {
        self.0[index / 64] ^= 1 << (index % 64);
    }
}

/// Searches for an order of `operations` that `model` allows, in `steps_max` steps at most.
pub(crate) fn search<M: Model>(model: &M, operations: &[Operation<M::Action>], steps_max: u64) -> Searched {
    let mut list = List::of(operations);
    let mut taken = Calls(vec![0; operations.len().div_ceil(64)]);
    // Every state that is possible now: a call may leave open what it did.
    let mut states: BTreeSet<M::State> = BTreeSet::from([model.initial()]);
    let mut tried: HashSet<(Calls, BTreeSet<M::State>)> = HashSet::new();
    // What was taken, the states before, and whether that was the only thing worth trying.
    let mut order: Vec<(usize, BTreeSet<M::State>, bool)> = Vec::new();
    let mut best: Option<(usize, usize, Vec<usize>)> = None;
    let mut place = list.next[list.head()];
    let mut steps: u64 = 0;
    while list.answers > 0 {
        steps += 1;
        if steps > steps_max {
            return Searched::Undecided;
        }
        if let Some(End::Call(index)) = list.ends.get(place).copied() {
            let action = &operations[index].action;
            let after: BTreeSet<M::State> = states.iter().flat_map(|state| model.step(state, action)).collect();
            let forced = model.is_read(action) && after == states;
            let optional = model.overwrites() && operations[index].returned.is_none();
            if !after.is_empty() && (!optional || is_read_next(model, operations, &list, &after)) {
                taken.flip(index);
                if forced || tried.insert((taken.clone(), after.clone())) {
                    order.push((index, std::mem::replace(&mut states, after), forced));
                    list.take(index);
                    place = list.next[list.head()];
                    continue;
                }
                taken.flip(index);
            }
            place = list.next[place];
            continue;
        }
        // An answer, whose call must have had its instant by now; or the end, which cannot be while answers are left.
        if let Some(End::Answer(index)) = list.ends.get(place).copied()
            && best.as_ref().is_none_or(|(reached, ..)| order.len() >= *reached)
        {
            best = Some((order.len(), index, under_way(&list, place)));
        }
        loop {
            let Some((index, before, forced)) = order.pop() else {
                let (stuck, among) = best.map_or((0, Vec::new()), |(_, stuck, among)| (stuck, among));
                let line = |index: usize| operations.get(index).map_or(0, |operation| operation.line);
                return Searched::Not {
                    stuck: line(stuck),
                    among: among.into_iter().map(line).collect(),
                };
            };
            states = before;
            taken.flip(index);
            list.give_back(index);
            if !forced {
                place = list.next[list.places[index].0];
                break;
            }
        }
    }
    Searched::Linearizable
}

/// Whether a read that could come next is possible in one of `states`.
fn is_read_next<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    list: &List,
    states: &BTreeSet<M::State>,
) -> bool {
    let mut place = list.next[list.head()];
    while let Some(End::Call(index)) = list.ends.get(place).copied() {
        let action = &operations[index].action;
        if model.is_read(action) && states.iter().any(|state| !model.step(state, action).is_empty()) {
            return true;
        }
        place = list.next[place];
    }
    false
}

/// Calls before this place that have had no instant yet; a few are enough to show.
fn under_way(list: &List, place: usize) -> Vec<usize> {
    const SHOWN_MAX: usize = 8;
    let mut found = Vec::new();
    let mut at = list.next[list.head()];
    while at != place && at != list.head() && found.len() < SHOWN_MAX {
        if let End::Call(index) = list.ends[at] {
            found.push(index);
        }
        at = list.next[at];
    }
    found
}
