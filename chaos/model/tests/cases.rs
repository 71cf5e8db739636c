//! Every case shows what it must. Where everything must hold, bounds are smaller here than in the program `model`, so that all
//! of it takes seconds; what is looked at is still everything within them.

use model::cases::{Case, cases};
use model::{check, search};

/// Threads of each check; tests run beside each other.
const THREADS: usize = 2;

fn case(name: &str) -> Case {
    let found = cases().into_iter().find(|case| case.name == name);
    found.unwrap_or_else(|| panic!("there is no case {name}"))
}

/// Two changes of the leader, of which one because a master died; the agent is restarted once.
fn holds(name: &str) {
    let mut case = case(name);
    assert_eq!(case.violates, None);
    case.model.bounds.faults.elections = 1;
    let found = check(case.model, THREADS);
    assert!(found.violated.is_empty(), "{:#?}", found.violated);
    assert!(found.unreached.is_empty(), "never seen: {:?}", found.unreached);
    println!("{name}: {} states, depth {}", found.states, found.depth);
}

fn is_found(name: &str, steps_max: usize) {
    let case = case(name);
    let property = case.violates.unwrap_or_else(|| panic!("{name} has no mistake"));
    let found = search(&case.model, property);
    let story = found.violated.iter().find(|(violated, _)| *violated == property);
    let Some((_, story)) = story else {
        panic!("{property}: no counter-example in {} states", found.states);
    };
    // The last line is the outcome.
    assert!(story.len() <= steps_max + 1, "{story:#?}");
    println!("{name}: {} states\n{}", found.states, story.join("\n"));
}

#[test]
fn everything_holds_with_our_agent() {
    holds("correct");
    holds("correct-two-tasks");
}

#[test]
fn everything_holds_with_our_agent_also_when_messages_come_late() {
    holds("correct-late-messages");
}

#[test]
fn everything_holds_with_an_agent_that_does_not_deduplicate() {
    holds("unmodified-agent");
    holds("unmodified-agent-two-tasks");
}

#[test]
fn an_effect_before_its_commit_is_found() {
    is_found("effect-before-commit", 3);
}

#[test]
fn a_launch_sent_again_by_a_master_that_may_have_sent_it_is_found() {
    is_found("redeliver-without-aba", 12);
}

#[test]
fn a_kill_forgotten_when_leadership_moves_is_found() {
    is_found("forget-kill", 13);
}

#[test]
fn a_launch_behind_its_denial_is_found() {
    is_found("forget-denial", 15);
}

#[test]
fn a_launch_sent_again_without_a_commit_is_found() {
    is_found("resend-uncommitted", 20);
}

#[test]
fn messages_that_come_late_to_an_agent_that_does_not_deduplicate_are_a_known_limit() {
    is_found("unmodified-agent-late-messages", 14);
}

#[test]
fn each_case_has_a_name_of_its_own() {
    let mut names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases().len());
}
