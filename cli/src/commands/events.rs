//! `mesoraft events`: prints what happens in the cluster, as it happens, across changes of the leader.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;
use client::{Encoding, EventNotice, MasterList, Operator};
use proto::ext::event_position::EventPosition;
use proto::v1::master::event::{Subscribed, Type};
use proto::v1::master::response::GetState;
use proto::v1::master::{Event, event};
use proto::v1::{AgentInfo, FrameworkInfo, TaskState};
use seams::Seams;

use crate::output::{Form, complain};

/// Flags of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Masters, any one suffices: host:port[,host:port…]
    #[arg(
        long = "master",
        env = "MESOS_MASTER",
        value_name = "MASTERS",
        default_value = "127.0.0.1:5050"
    )]
    master: MasterList,

    /// Go on behind this event, if the master still has what followed it: the position printed with it
    #[arg(long = "after", value_name = "POSITION")]
    after: Option<EventPosition>,

    /// Form of the events; json is one event per line, as the operator API has it
    #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
    output: Form,
}

/// Follows until it is interrupted or its output is closed. Exit code 1 when the masters refuse.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::logging::start_quiet()?;
    let runtime = super::runtime()?;
    let result = runtime.block_on(follow(args));
    runtime.shutdown_background();
    result
}

async fn follow(args: Args) -> anyhow::Result<ExitCode> {
    let operator = Operator::new(&args.master, Encoding::Protobuf, Seams::real());
    let mut events = operator.subscribe(args.after);
    while let Some(notice) = events.next().await {
        let line = match (notice, args.output) {
            (EventNotice::Refused { reason }, _) => bail!("{reason}"),
            (EventNotice::Disconnected { master, reason }, _) => {
                complain(&format!("left {master}: {reason}"));
                continue;
            }
            (notice, Form::Json) => json(notice),
            (notice, Form::Table) => text(&notice),
        };
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            // Nobody reads any more (`| head`).
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The record as the operator API has it.
fn json(notice: EventNotice) -> String {
    let subscribed = |get_state, position: Option<EventPosition>| Event {
        r#type: Some(Type::Subscribed.into()),
        subscribed: Some(Subscribed {
            get_state,
            heartbeat_interval_seconds: None,
        }),
        position: position.map(|position| position.to_string()),
        ..Event::default()
    };
    let event = match notice {
        EventNotice::Event { event, .. } => *event,
        EventNotice::State { state, position, .. } => subscribed(Some(*state), position),
        EventNotice::Resumed { position, .. } => subscribed(None, Some(position)),
        EventNotice::Disconnected { .. } | EventNotice::Refused { .. } => Event::default(),
    };
    String::from_utf8_lossy(&proto::json::to_vec(&event)).into_owned()
}

/// One line for people: position, event, what it is about.
fn text(notice: &EventNotice) -> String {
    let line = |position: Option<EventPosition>, name: &str, about: String| {
        let position = position.map_or_else(|| "-".to_owned(), |position| position.to_string());
        format!("{position:<12}  {name:<17}  {about}").trim_end().to_owned()
    };
    match notice {
        EventNotice::State {
            master,
            state,
            position,
        } => line(*position, "SUBSCRIBED", format!("at {master}: {}", counts(state))),
        EventNotice::Resumed { master, position } => {
            line(Some(*position), "SUBSCRIBED", format!("at {master}: nothing missed"))
        }
        EventNotice::Event { event, position } => line(*position, event.r#type().as_str_name(), about(event)),
        EventNotice::Disconnected { reason, .. } | EventNotice::Refused { reason } => reason.clone(),
    }
}

fn counts(state: &GetState) -> String {
    let agents = state.get_agents.as_ref().map_or(0, |it| it.agents.len());
    let frameworks = state.get_frameworks.as_ref().map_or(0, |it| it.frameworks.len());
    let tasks = state.get_tasks.as_ref().map_or(0, |it| it.tasks.len());
    format!("{agents} agents, {frameworks} frameworks, {tasks} tasks")
}

fn about(event: &Event) -> String {
    let framework = |info: &FrameworkInfo| {
        let id = info.id.as_ref().map_or("", |id| &id.value);
        format!("{id} {}", info.name)
    };
    let agent = |info: &AgentInfo| {
        let id = info.id.as_ref().map_or("", |id| &id.value);
        format!("{id} {}", info.hostname)
    };
    let state = |number: i32| TaskState::try_from(number).map_or("", |state| state.as_str_name());
    match event {
        Event {
            task_added: Some(event::TaskAdded { task }),
            ..
        } => format!(
            "{} of {} on {}: {}",
            task.task_id.value,
            task.framework_id.value,
            task.agent_id.value,
            state(task.state)
        ),
        Event {
            task_updated: Some(updated),
            ..
        } => format!(
            "{} of {}: {}{}",
            updated.status.task_id.value,
            updated.framework_id.value,
            state(updated.state),
            updated
                .status
                .message
                .as_ref()
                .map_or_else(String::new, |message| format!(" ({message})"))
        ),
        Event {
            agent_added: Some(added),
            ..
        } => agent(&added.agent.agent_info),
        Event {
            agent_removed: Some(removed),
            ..
        } => removed.agent_id.value.clone(),
        Event {
            framework_added: Some(added),
            ..
        } => framework(&added.framework.framework_info),
        Event {
            framework_updated: Some(updated),
            ..
        } => framework(&updated.framework.framework_info),
        Event {
            framework_removed: Some(removed),
            ..
        } => framework(&removed.framework_info),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskStatus;

    use super::*;

    fn updated() -> EventNotice {
        let event = Event {
            r#type: Some(Type::TaskUpdated.into()),
            task_updated: Some(event::TaskUpdated {
                framework_id: "f".into(),
                status: TaskStatus {
                    task_id: "t".into(),
                    state: TaskState::TaskFailed.into(),
                    message: Some("exited with 1".to_owned()),
                    ..TaskStatus::default()
                },
                state: TaskState::TaskFailed.into(),
            }),
            position: Some("7.1".to_owned()),
            ..Event::default()
        };
        EventNotice::Event {
            event: Box::new(event),
            position: "7.1".parse().ok(),
        }
    }

    #[test]
    fn an_event_is_one_line_for_people_and_for_programs() {
        assert_eq!(
            text(&updated()),
            "7.1           TASK_UPDATED       t of f: TASK_FAILED (exited with 1)"
        );
        let line = json(updated());
        assert!(!line.contains('\n'));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["position"], "7.1");
        assert_eq!(parsed["task_updated"]["status"]["task_id"]["value"], "t");
    }

    #[test]
    fn a_program_can_tell_a_new_start_from_going_on() {
        let master = "m:1".to_owned();
        let position: EventPosition = "4.0".parse().unwrap();
        let resumed = EventNotice::Resumed {
            master: master.clone(),
            position,
        };
        assert_eq!(
            json(resumed),
            "{\"type\":\"SUBSCRIBED\",\"subscribed\":{},\"position\":\"4.0\"}"
        );
        let state = EventNotice::State {
            master,
            state: Box::default(),
            position: Some(position),
        };
        assert!(json(state.clone()).contains("\"get_state\":{"));
        assert_eq!(
            text(&state),
            "4.0           SUBSCRIBED         at m:1: 0 agents, 0 frameworks, 0 tasks"
        );
    }
}
