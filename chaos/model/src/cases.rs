//! The models that are checked, and what each must show.

use crate::check::{Bounds, LaunchModel, Variant};
use crate::properties::{DROPPED_STAYS_AWAY, KILL_WORKS, ON_RECORD, STARTED_ONCE};

/// One model.
#[derive(Clone, Debug)]
pub struct Case {
    /// For the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// With everything set.
    pub model: LaunchModel,
    /// The property that is violated; `None`: everything must hold.
    pub violates: Option<&'static str>,
}

fn model(variant: Variant, deduplicates: bool, bounds: Bounds) -> LaunchModel {
    LaunchModel {
        variant,
        deduplicates,
        bounds,
    }
}

/// All of them. Those in which everything holds first.
pub fn cases() -> Vec<Case> {
    let mut all = correct();
    all.extend(mistaken());
    all
}

fn case(name: &'static str, about: &'static str, model: LaunchModel, violates: Option<&'static str>) -> Case {
    Case {
        name,
        about,
        model,
        violates,
    }
}

fn late() -> Bounds {
    Bounds {
        late_messages: true,
        ..Bounds::one_task()
    }
}

fn late_without_restart() -> Bounds {
    let mut bounds = late();
    bounds.faults.agent_restarts = 0;
    bounds
}

/// Everything holds.
fn correct() -> Vec<Case> {
    let one = Bounds::one_task();
    let two = Bounds::two_tasks();
    let broken = Bounds::broken_connections();
    let mut broken_and_followed = broken;
    broken_and_followed.faults.wrong_detections = 0;
    vec![
        case(
            "correct",
            "our agent, one task",
            model(Variant::Correct, true, one),
            None,
        ),
        case(
            "correct-two-tasks",
            "our agent, two tasks",
            model(Variant::Correct, true, two),
            None,
        ),
        case(
            "correct-late-messages",
            "our agent, one task, messages of a former leadership may come late; the agent is not restarted",
            model(Variant::Correct, true, late_without_restart()),
            None,
        ),
        case(
            "correct-broken-connections",
            "our agent, one task, a connection breaks, a report is repeated, the agent follows a deposed leader",
            model(Variant::Correct, true, broken),
            None,
        ),
        case(
            "unmodified-agent-broken-connections",
            "the same with an agent that does not deduplicate and follows no deposed leader",
            model(Variant::Correct, false, broken_and_followed),
            None,
        ),
        case(
            "correct-two-restarts",
            "our agent, one task, no change of the leader, the agent is restarted twice",
            model(Variant::Correct, true, Bounds::two_restarts()),
            None,
        ),
        case(
            "unmodified-agent",
            "an agent that does not deduplicate, one task",
            model(Variant::Correct, false, one),
            None,
        ),
        case(
            "unmodified-agent-two-tasks",
            "an agent that does not deduplicate, two tasks",
            model(Variant::Correct, false, two),
            None,
        ),
    ]
}

/// Something is found.
fn mistaken() -> Vec<Case> {
    let one = Bounds::one_task();
    vec![
        case(
            "effect-before-commit",
            "mistake: a launch is sent when it is proposed",
            model(Variant::EffectBeforeCommit, true, one),
            Some(ON_RECORD),
        ),
        case(
            "redeliver-without-aba",
            "mistake: a master sends a launch again that it may have sent before, to an agent that does not deduplicate",
            model(Variant::RedeliverWithoutAba, false, one),
            Some(STARTED_ONCE),
        ),
        case(
            "forget-kill",
            "mistake: the next leader does not repeat kills",
            model(Variant::ForgetKill, true, one),
            Some(KILL_WORKS),
        ),
        case(
            "forget-denial",
            "mistake: our agent starts what it has said it does not know",
            model(Variant::ForgetDenial, true, one),
            Some(DROPPED_STAYS_AWAY),
        ),
        case(
            "resend-uncommitted",
            "mistake: a launch is sent again to our agent before what the agent said before is committed",
            model(Variant::ResendUncommitted, true, Bounds::two_restarts()),
            Some(DROPPED_STAYS_AWAY),
        ),
        case(
            "unmodified-agent-late-messages",
            "not a mistake of ours but a limit: messages of a former leadership come late to an agent that does not deduplicate",
            model(Variant::Correct, false, late()),
            Some(STARTED_ONCE),
        ),
    ]
}
