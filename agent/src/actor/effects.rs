//! Carries out what the book decided, after it is on disk.

use client::Encoding;
use libprocess::Upid;
use proto::v1::executor::{Event, event};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Actor, Answer, ExecutorStream, OpenStream};
use crate::AgentError;
use crate::book::Effect;
use crate::processes;
use crate::store::layout::SANDBOX_LEVELS;
use crate::store::{create_directories, remove_with_empty_parents};
use crate::supervisor::spec::ProcessStatus;

/// Events that may wait for a subscribed executor; one that is further behind is cut off and subscribes again.
const STREAM_EVENTS_MAX: usize = 1_024;

/// Rounds of effects that cause changes that cause effects; a start that fails takes two.
const ROUNDS_MAX: usize = 64;

impl Actor {
    /// Makes every change durable, then acts on it and answers.
    pub(super) fn settle(&mut self) -> Result<(), AgentError> {
        for _ in 0..ROUNDS_MAX {
            if !self.book.changes().is_empty() {
                self.book.changes().commit()?;
            }
            let effects = self.book.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
        for answer in std::mem::take(&mut self.answers) {
            let Answer::Call(reply, result) = answer;
            if reply.send(result).is_err() {
                tracing::debug!("an executor did not wait for the answer to its call");
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::ToMaster { name, body } => match &self.leader {
                Some(leader) => self.links.send(crate::ACTOR_ID, &leader.pid, name, body),
                None => tracing::debug!(name, "no master to tell"),
            },
            Effect::ToActor { to, name, body } => match Upid::parse(&to) {
                Some(to) => self.links.send(crate::ACTOR_ID, &to, name, body),
                None => tracing::warn!(to, name, "not the address of an actor"),
            },
            Effect::Start(order) => {
                let process = order.spec.container_id.clone();
                match processes::start(&order, &self.config.supervisor, &self.changed) {
                    Ok(()) => {
                        self.started.insert(process, Instant::now());
                    }
                    Err(text) => {
                        tracing::error!(process, "{text}");
                        self.book.process_changed(&process, &ProcessStatus::failed(text));
                    }
                }
            }
            Effect::Kill { directory, grace_ms } => processes::kill(&directory, grace_ms),
            Effect::ToExecutor { container_id, event } => self.send_event(&container_id, &event),
            Effect::CloseExecutor { container_id } => {
                self.streams.remove(&container_id);
            }
            Effect::CreateVolume { path } => {
                if let Err(error) = create_directories(&path) {
                    // Tried again when a task needs it, which then fails with the reason.
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, path = %path.display(), "cannot create a volume");
                }
            }
            Effect::RemoveVolume { path, aside } => processes::remove_volume(&path, aside),
            Effect::RemoveSandbox { path } => {
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = remove_with_empty_parents(&path, SANDBOX_LEVELS) {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, path = %path.display(), "cannot remove a sandbox");
                    }
                });
            }
        }
    }

    /// Opens the stream of a run; a former stream of it ends.
    pub(super) fn open_stream(&mut self, container: String, encoding: Encoding) -> OpenStream {
        let (sender, records) = mpsc::channel(STREAM_EVENTS_MAX);
        self.stream_number += 1;
        let number = self.stream_number;
        let stream = ExecutorStream {
            number,
            encoding,
            records: sender,
        };
        self.streams.insert(container.clone(), stream);
        OpenStream {
            container,
            number,
            records,
        }
    }

    fn send_event(&mut self, container: &str, event: &Event) {
        let Some(stream) = self.streams.get(container) else {
            tracing::debug!(
                container_id = container,
                "an executor is not subscribed; dropped an event"
            );
            return;
        };
        let record = match stream.encoding {
            Encoding::Json => proto::json::to_vec(event),
            Encoding::Protobuf => prost::Message::encode_to_vec(event),
        };
        if stream.records.try_send(proto::recordio::encode(&record)).is_err() {
            tracing::warn!(
                container_id = container,
                "closed the stream of an executor that does not read"
            );
            self.streams.remove(container);
            self.book.executor_disconnected(container);
        }
    }

    pub(super) fn heartbeat_executors(&mut self) {
        let event = Event {
            r#type: Some(event::Type::Heartbeat as i32),
            ..Default::default()
        };
        let containers: Vec<String> = self.streams.keys().cloned().collect();
        for container in containers {
            self.send_event(&container, &event);
        }
    }
}
