//! Counter-examples as sentences.

use crate::steps::Step;
use crate::system::{AgentTask, Command, Message, System, TASKS_MAX, TaskId, TaskSet};

fn task(id: TaskId) -> String {
    format!("task {}", id + 1)
}

fn tasks(set: TaskSet) -> String {
    let named: Vec<String> = (0..TASKS_MAX).filter(|id| set[*id]).map(task).collect();
    named.join(" and ")
}

fn message(message: Message) -> String {
    match message {
        Message::Run(id) => format!("run {}", task(id)),
        Message::Kill(id) => format!("kill {}", task(id)),
        Message::Reregistered(asked) if asked == [false; TASKS_MAX] => "you are registered".to_owned(),
        Message::Reregistered(asked) => format!("you are registered; what about {}?", tasks(asked)),
    }
}

fn command(command: Command) -> String {
    match command {
        Command::Launch(id) => format!("launch {}", task(id)),
        Command::Kill(id) => format!("kill {}", task(id)),
        Command::Update(id, state) => format!("{} is {state:?}", task(id)),
        Command::Reregister(decision) if decision.resend != [false; TASKS_MAX] => {
            format!("the agent is back; {} is sent again", tasks(decision.resend))
        }
        Command::Reregister(_) => "the agent is back, with what is new in its report".to_owned(),
    }
}

/// The steps of a path, each with what matters of where it leads.
pub fn tell(path: Vec<(System, Option<Step>)>) -> Vec<String> {
    let mut sentences = Vec::new();
    for pair in path.windows(2) {
        let [(before, Some(step)), (after, _)] = pair else {
            continue;
        };
        sentences.push(sentence(before, *step, after));
    }
    if let Some((last, _)) = path.last() {
        sentences.push(format!("=> {}", outcome(last)));
    }
    sentences
}

fn sentence(before: &System, step: Step, after: &System) -> String {
    let leader = before.registry.leader;
    match step {
        Step::Accept(id) => format!("the framework accepts an offer with {}; {leader} proposes it", task(id)),
        Step::AskKill(id) => format!("the framework asks for the kill of {}; {leader} proposes it", task(id)),
        Step::Commit => {
            let committed = before.proposals.front();
            format!("committed: {}", committed.map_or_else(String::new, |it| command(*it)))
        }
        Step::Send(master) => {
            let outbox = before.leaderships[master.0].as_ref().map(|it| it.outbox.clone());
            let sent: Vec<String> = outbox.into_iter().flatten().map(message).collect();
            format!("{master} sends: {}", sent.join(", "))
        }
        Step::Deliver(index) => {
            let connection = &before.connections[index];
            let read = connection.messages.front().copied().map_or_else(String::new, message);
            let from = connection.master;
            let effect = if before.agent.follows == Some(from) {
                delivery(before, after)
            } else {
                "; it drops that, for it follows another".to_owned()
            };
            let of = if connection.is_open {
                ""
            } else {
                "an old connection of "
            };
            format!("the agent reads from {of}{from}: {read}{effect}")
        }
        Step::ReportTo(master) => format!(
            "the agent takes {master} for the leader and reports to it {}",
            report(after)
        ),
        Step::RepeatReport => format!("the agent reports once more {}", report(after)),
        Step::ReadReport => {
            let to = before.reports.front().map_or(leader, |report| report.to);
            let unaware = if to == leader {
                ""
            } else {
                ", which does not know that it was deposed,"
            };
            format!("{to}{unaware} reads the report")
        }
        Step::LoseReport => "the report comes to a master that does not lead, and is lost".to_owned(),
        Step::Update(id) => format!(
            "the agent tells {leader} the state of {}; {leader} proposes it",
            task(id)
        ),
        Step::Acknowledge(id) => format!("the end of {} is acknowledged; the agent forgets it", task(id)),
        Step::Finish(id) => format!("{} ends by itself", task(id)),
        Step::StepDown(master) => format!("{master} notices that it does not lead any more"),
        Step::Succeed(master) => format!("{master} is elected"),
        Step::Depose(master) if master == leader => format!("{master} loses the lead and is elected again"),
        Step::Depose(master) => format!("{master} is elected; {leader} does not notice yet"),
        Step::Crash { master, loses_sent } => {
            let sent = if loses_sent { "is lost" } else { "may still arrive" };
            format!("{master} dies and is started again; what it had sent {sent}")
        }
        Step::RestartAgent => "the agent's process dies and is started again; its tasks live on".to_owned(),
        Step::Break(index) => format!("the connection from {} breaks", before.connections[index].master),
    }
}

fn delivery(before: &System, after: &System) -> String {
    let mut effects = String::new();
    for id in 0..TASKS_MAX {
        if after.witness.starts[id] > before.witness.starts[id] {
            effects.push_str(&format!("; IT STARTS {}", task(id).to_uppercase()));
        } else if after.agent.tasks[id] != before.agent.tasks[id] {
            effects.push_str(&match after.agent.tasks[id] {
                AgentTask::Ended => format!("; it kills {}", task(id)),
                AgentTask::Denied => format!("; it says that it does not know {}", task(id)),
                _ => String::new(),
            });
        }
    }
    effects
}

fn report(system: &System) -> String {
    let tasks = system.reports.back().map(|report| report.tasks).unwrap_or_default();
    let named: Vec<String> = (0..TASKS_MAX)
        .filter_map(|id| tasks[id].map(|state| format!("{} ({state:?})", task(id))))
        .collect();
    if named.is_empty() {
        "no task".to_owned()
    } else {
        named.join(" and ")
    }
}

fn outcome(system: &System) -> String {
    let lines: Vec<String> = (0..TASKS_MAX)
        .filter(|id| system.registry.tasks[*id].is_some() || system.agent.tasks[*id] != AgentTask::Absent)
        .map(|id| {
            let on_record = system.registry.tasks[id].map_or_else(
                || "not on record".to_owned(),
                |task| {
                    let kill = if task.kill { ", to be killed" } else { "" };
                    format!("{:?} on record{kill}", task.state)
                },
            );
            let (at_agent, starts) = (system.agent.tasks[id], system.witness.starts[id]);
            format!(
                "{}: {on_record}, {at_agent:?} at the agent, started {starts} times",
                task(id)
            )
        })
        .collect();
    lines.join("; ")
}
