//! The search accepts what an atomic register answers, and agrees with trying out every order.

use proptest::prelude::*;

use super::*;
use crate::check::fixture::{Story, held, violated};

fn stuck(finding: &Finding) -> usize {
    *violated(finding)[0].last().unwrap()
}

#[test]
fn concurrent_writes_may_be_read_in_either_order_but_not_in_both() {
    let mut story = Story::default();
    let first = story.write("r", "1");
    let second = story.write("r", "2");
    story.ok(first, "");
    story.ok(second, "");
    let mut other = story.clone();
    story.read("r", "1");
    story.read("r", "1");
    held(&story.judge(&RULE), 1);
    other.read("r", "2");
    held(&other.judge(&RULE), 1);
    story.read("r", "2");
    assert_eq!(stuck(&story.judge(&RULE)), 6);
}

#[test]
fn a_read_may_see_a_write_before_it_is_answered_and_no_later_read_misses_it() {
    let mut story = Story::default();
    let write = story.write("r", "1");
    story.read("r", "");
    story.read("r", "1");
    let mut back = story.clone();
    story.ok(write, "");
    held(&story.judge(&RULE), 1);
    // The weaker rule on acknowledged registers cannot see this one: the write is not acknowledged yet.
    back.read("r", "");
    back.ok(write, "");
    assert_eq!(stuck(&back.judge(&RULE)), 4);
}

#[test]
fn an_unknown_write_takes_effect_late_or_never_and_only_once() {
    let mut story = Story::default();
    let open = story.write("r", "1");
    story.unknown(open);
    let write = story.write("r", "2");
    story.ok(write, "");
    story.read("r", "2");
    held(&story.judge(&RULE), 1);
    story.read("r", "1");
    held(&story.judge(&RULE), 1);
    story.read("r", "2");
    assert!(matches!(story.judge(&RULE), Finding::Violated { .. }));
}

#[test]
fn objects_are_judged_by_themselves_and_a_refused_write_has_no_effect() {
    let mut story = Story::default();
    let first = story.write("r", "1");
    story.ok(first, "");
    let refused = story.write("r", "3");
    story.refused(refused);
    story.read("s", "");
    story.read("r", "1");
    held(&story.judge(&RULE), 2);
    story.read("r", "3");
    assert!(matches!(story.judge(&RULE), Finding::Violated { .. }));
}

#[test]
fn a_search_beyond_its_bound_is_no_pass() {
    let operations: Vec<Operation<Action>> = (0..40)
        .map(|index| Operation {
            line: index,
            called: 0,
            returned: Some(1),
            action: Action::Write(index),
        })
        .collect();
    assert_eq!(search(&Register, &operations, 10), Searched::Undecided);
    assert_eq!(search(&Register, &operations, 1000), Searched::Linearizable);
}

/// Every order is tried: each subset of the open calls, each permutation that respects time.
fn by_force(operations: &[Operation<Action>], done: u32, state: usize) -> bool {
    let open = |index: usize| done & (1 << index) == 0;
    if operations
        .iter()
        .enumerate()
        .all(|(index, it)| !open(index) || it.returned.is_none())
    {
        return true;
    }
    // A call may be next if no other one that is not done was answered before it was made.
    let first_answer = operations
        .iter()
        .enumerate()
        .filter(|(index, _)| open(*index))
        .filter_map(|(_, it)| it.returned)
        .min();
    operations.iter().enumerate().any(|(index, it)| {
        open(index)
            && first_answer.is_none_or(|answer| it.called <= answer)
            && Register
                .step(&state, &it.action)
                .into_iter()
                .any(|after| by_force(operations, done | 1 << index, after))
    })
}

/// A call on an atomic register: by which client, whether it writes, how long the client waits before it, how long it
/// takes to its instant and from there to the answer, whether the answer is lost (the client goes on after the call).
type Drawn = (usize, bool, u64, u64, u64, bool);

/// What a register that is atomic by construction answers to clients that make one call at a time.
fn simulate(drawn: &[Drawn]) -> Vec<Operation<Action>> {
    let mut clocks = [0; 5];
    let mut timed = Vec::new();
    for (index, (client, _, pause, before, after, lost)) in drawn.iter().enumerate() {
        let called = clocks[*client] + pause;
        let instant = called + before;
        // An unknown call may take effect long after its client went on.
        let effect = if *lost { instant + 10 * after } else { instant };
        clocks[*client] = instant + after + 1;
        timed.push((effect, index, called, (!lost).then_some(instant + after)));
    }
    timed.sort_unstable();
    let mut value = 0;
    let mut operations = Vec::new();
    for (_, index, called, returned) in timed {
        let is_write = drawn[index].1;
        if is_write {
            value = index + 1;
        }
        let action = if is_write {
            Action::Write(value)
        } else {
            Action::Read(value)
        };
        // A read whose answer is lost says nothing.
        if is_write || returned.is_some() {
            operations.push(Operation {
                line: index,
                called,
                returned,
                action,
            });
        }
    }
    operations
}

fn calls(count: usize) -> impl Strategy<Value = Vec<Drawn>> {
    let call = (
        0..5usize,
        any::<bool>(),
        0..9u64,
        0..9u64,
        0..9u64,
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(call, 1..=count)
}

proptest! {
    #[test]
    fn what_an_atomic_register_answers_is_accepted(drawn in calls(200)) {
        prop_assert_eq!(search(&Register, &simulate(&drawn), 1_000_000), Searched::Linearizable);
    }

    #[test]
    fn tiny_histories_are_judged_as_by_trying_out_every_order(
        drawn in calls(7), changed in 0..7usize, value in 0..8usize, shift in 0..40u64,
    ) {
        let mut operations = simulate(&drawn);
        let length = operations.len();
        if length > 0 {
            let operation = &mut operations[changed % length];
            if let Action::Read(read) = &mut operation.action {
                *read = value;
            }
            operation.called += shift;
            operation.returned = operation.returned.map(|returned| returned + shift);
        }
        let found = search(&Register, &operations, 1_000_000) == Searched::Linearizable;
        prop_assert_eq!(found, by_force(&operations, 0, 0), "{:?}", operations);
    }

    #[test]
    fn a_read_of_what_was_overwritten_long_ago_is_rejected(drawn in calls(100)) {
        let mut operations = simulate(&drawn);
        let end = operations.iter().filter_map(|it| it.returned).max().unwrap_or(0);
        let write = |line, called, value| Operation {
            line, called, returned: Some(called + 1), action: Action::Write(value),
        };
        operations.push(write(1000, end + 1, 1000));
        operations.push(write(1001, end + 3, 1001));
        operations.push(Operation {
            line: 1002, called: end + 5, returned: Some(end + 6), action: Action::Read(1000),
        });
        let found = search(&Register, &operations, 1_000_000);
        prop_assert!(matches!(found, Searched::Not { stuck: 1002, .. }), "{:?}", found);
    }
}
