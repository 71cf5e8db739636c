//! RECONCILE: answered from the registry at once, also for agents that have not come back yet.

use libprocess::HttpResponse;
use master_core::decide;
use master_core::ids::{AgentId, FrameworkId, TaskId};
use proto::v1::TaskStatus;
use proto::v1::scheduler::{Event, call, event};

use super::Leadership;
use super::reply::Reply;
use super::stream::event;

impl Leadership {
    /// The lead is confirmed: sends one UPDATE per task, then answers the call.
    pub(super) fn reconcile(&mut self, framework_id: &FrameworkId, tasks: &[call::reconcile::Task], reply: Reply) {
        let statuses: Vec<TaskStatus> = if tasks.is_empty() {
            decide::reconcile_implicit(&self.registry, framework_id)
        } else {
            tasks
                .iter()
                .map(|task| {
                    let task_id = TaskId::from(&task.task_id);
                    let agent_id = task.agent_id.as_ref().map(AgentId::from);
                    decide::reconcile_explicit(&self.registry, framework_id, &task_id, agent_id.as_ref())
                })
                .collect()
        };
        for mut status in statuses {
            status.timestamp.get_or_insert(self.wall_seconds());
            let update = Event {
                update: Some(event::Update { status }),
                ..event(event::Type::Update)
            };
            if !self.send_event(framework_id, &update) {
                break;
            }
        }
        reply.send(HttpResponse::new(202));
    }

    pub(super) fn wall_seconds(&self) -> f64 {
        // Exact below 2^53 microseconds, the year 2255.
        self.context.seams.clock.now_micros() as f64 / 1e6
    }
}
