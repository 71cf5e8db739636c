//! Answers to questions about the agent's state: legacy `/state`, metrics, and the operator API's reads.

use libprocess::HttpResponse;
use proto::v1::agent::{Call, Response, call, response};
use proto::v1::{ContainerId, ContainerStatus, Resource, Task, TaskState};
use serde_json::{Map, Value, json};

use super::{Book, Executor, ExecutorKind, ExecutorState, Framework, TaskEntry};
use crate::config::MESOS_VERSION;
use crate::http::respond;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Legacy `/state`.
    State,
    /// `/metrics/snapshot`.
    Metrics,
    /// A read of the operator API, and whether the answer is JSON.
    Operator(Box<Call>, bool),
}

impl Book {
    /// Answers a question.
    pub(crate) fn view(&self, question: &Question) -> HttpResponse {
        match question {
            Question::State => json_response(&self.state()),
            Question::Metrics => json_response(&self.metrics()),
            Question::Operator(call, is_json) => match self.operator(call) {
                Some(response) => respond(&response, *is_json),
                None => HttpResponse::status(501),
            },
        }
    }

    fn state(&self) -> Value {
        let (live, idle): (Vec<_>, Vec<_>) = self
            .frameworks
            .values()
            .partition(|framework| !framework.executors.is_empty());
        json!({
            "id": self.agent_id().unwrap_or_default(),
            "pid": self.pid,
            "hostname": self.info.hostname,
            "version": MESOS_VERSION,
            "resources": resource_summary(&self.info.resources.iter().collect::<Vec<_>>()),
            "attributes": attributes(&self.info.attributes),
            "flags": {"work_dir": self.layout.work_dir().display().to_string()},
            "frameworks": live.into_iter().map(|framework| self.framework_state(framework)).collect::<Vec<_>>(),
            "completed_frameworks": idle.into_iter().map(|framework| self.framework_state(framework)).collect::<Vec<_>>(),
        })
    }

    fn framework_state(&self, framework: &Framework) -> Value {
        let id = framework.id();
        json!({
            "id": id,
            "name": framework.info.name,
            "user": framework.info.user,
            "checkpoint": framework.info.checkpoint.unwrap_or(false),
            "executors": framework.executors.values().map(|run| self.executor_state(&id, run)).collect::<Vec<_>>(),
            "completed_executors": framework.completed.iter().map(|run| self.executor_state(&id, run)).collect::<Vec<_>>(),
        })
    }

    fn executor_state(&self, framework: &str, run: &Executor) -> Value {
        let tasks = |wanted: fn(&TaskEntry) -> bool| -> Vec<Value> {
            run.tasks
                .values()
                .filter(|entry| wanted(entry))
                .map(|entry| task_state(&entry.task))
                .collect()
        };
        json!({
            "id": run.id(),
            "name": run.info.name.clone().unwrap_or_default(),
            "source": run.info.source.clone().unwrap_or_default(),
            "container": run.container_id,
            "directory": self.layout.sandbox(&run.agent_id, framework, run.id(), &run.container_id).display().to_string(),
            "type": match run.kind { ExecutorKind::Default => "DEFAULT", _ => "CUSTOM" },
            "resources": resource_summary(&run.info.resources.iter().collect::<Vec<_>>()),
            "queued_tasks": tasks(|entry| !entry.delivered && !entry.is_terminal()),
            "tasks": tasks(|entry| entry.delivered && !entry.is_terminal()),
            "terminated_tasks": tasks(|entry| entry.is_terminal() && !entry.completed),
            "completed_tasks": tasks(|entry| entry.completed),
        })
    }

    fn metrics(&self) -> Value {
        let mut counts: Map<String, Value> = Map::new();
        let entries = self
            .frameworks
            .values()
            .flat_map(|framework| framework.executors.values());
        let tasks: Vec<&TaskEntry> = entries.clone().flat_map(|run| run.tasks.values()).collect();
        let in_state = |state: TaskState| tasks.iter().filter(|entry| entry.task.state == state as i32).count();
        let mut set = |name: &str, value: usize| counts.insert(format!("slave/{name}"), value.into());
        set("registered", usize::from(self.is_connected));
        set(
            "frameworks_active",
            self.frameworks
                .values()
                .filter(|known| !known.executors.is_empty())
                .count(),
        );
        set(
            "executors_running",
            entries.filter(|run| run.state == ExecutorState::Running).count(),
        );
        set("tasks_staging", in_state(TaskState::TaskStaging));
        set("tasks_starting", in_state(TaskState::TaskStarting));
        set("tasks_running", in_state(TaskState::TaskRunning));
        set("tasks_killing", in_state(TaskState::TaskKilling));
        Value::Object(counts)
    }

    fn operator(&self, call: &Call) -> Option<Response> {
        let mut answer = Response::default();
        match call.r#type.and_then(|number| call::Type::try_from(number).ok())? {
            call::Type::GetState => {
                answer.r#type = Some(response::Type::GetState as i32);
                answer.get_state = Some(response::GetState {
                    get_tasks: Some(self.get_tasks()),
                    get_executors: Some(self.get_executors()),
                    get_frameworks: Some(self.get_frameworks()),
                });
            }
            call::Type::GetTasks => {
                answer.r#type = Some(response::Type::GetTasks as i32);
                answer.get_tasks = Some(self.get_tasks());
            }
            call::Type::GetExecutors => {
                answer.r#type = Some(response::Type::GetExecutors as i32);
                answer.get_executors = Some(self.get_executors());
            }
            call::Type::GetFrameworks => {
                answer.r#type = Some(response::Type::GetFrameworks as i32);
                answer.get_frameworks = Some(self.get_frameworks());
            }
            call::Type::GetAgent => {
                let mut info = self.info.clone();
                info.checkpoint = None;
                answer.r#type = Some(response::Type::GetAgent as i32);
                answer.get_agent = Some(response::GetAgent {
                    agent_info: Some(info),
                    drain_config: self.drain,
                    estimated_drain_start_time: None,
                });
            }
            call::Type::GetContainers => {
                answer.r#type = Some(response::Type::GetContainers as i32);
                answer.get_containers = Some(self.get_containers());
            }
            _ => return None,
        }
        Some(answer)
    }

    fn get_tasks(&self) -> response::GetTasks {
        let mut tasks = response::GetTasks::default();
        for framework in self.frameworks.values() {
            for run in framework.executors.values().chain(&framework.completed) {
                for entry in run.tasks.values() {
                    let list = match (entry.completed, entry.is_terminal(), entry.delivered) {
                        (true, ..) => &mut tasks.completed_tasks,
                        (false, true, _) => &mut tasks.terminated_tasks,
                        (false, false, true) => &mut tasks.launched_tasks,
                        (false, false, false) => &mut tasks.queued_tasks,
                    };
                    list.push(entry.task.clone());
                }
            }
        }
        tasks
    }

    fn get_executors(&self) -> response::GetExecutors {
        let info = |run: &Executor| response::get_executors::Executor {
            executor_info: run.info.clone(),
        };
        let frameworks = self.frameworks.values();
        response::GetExecutors {
            executors: frameworks
                .clone()
                .flat_map(|known| known.executors.values())
                .map(info)
                .collect(),
            completed_executors: frameworks.flat_map(|known| &known.completed).map(info).collect(),
        }
    }

    fn get_frameworks(&self) -> response::GetFrameworks {
        let info = |known: &Framework| response::get_frameworks::Framework {
            framework_info: known.info.clone(),
        };
        let (live, idle): (Vec<_>, Vec<_>) = self.frameworks.values().partition(|known| !known.executors.is_empty());
        response::GetFrameworks {
            frameworks: live.into_iter().map(info).collect(),
            completed_frameworks: idle.into_iter().map(info).collect(),
        }
    }

    fn get_containers(&self) -> response::GetContainers {
        let runs = self.frameworks.values().flat_map(|known| {
            known
                .executors
                .values()
                .filter(|run| run.state != ExecutorState::Terminated)
                .map(move |run| (known, run))
        });
        let container = |(known, run): (&Framework, &Executor)| {
            let container_id = ContainerId {
                value: run.container_id.clone(),
                parent: None,
            };
            let pid = run.pid.or_else(|| run.tasks.values().find_map(|entry| entry.pid));
            response::get_containers::Container {
                framework_id: known.info.id.clone(),
                executor_id: Some(run.info.executor_id.clone()),
                executor_name: run.info.name.clone(),
                container_status: Some(ContainerStatus {
                    executor_pid: pid.and_then(|pid| u32::try_from(pid).ok()),
                    container_id: Some(container_id.clone()),
                    ..Default::default()
                }),
                container_id,
                resource_statistics: None,
            }
        };
        response::GetContainers {
            containers: runs.map(container).collect(),
        }
    }
}

fn json_response(value: &Value) -> HttpResponse {
    HttpResponse::ok("application/json", value.to_string())
}

fn task_state(task: &Task) -> Value {
    let statuses = task
        .statuses
        .iter()
        .map(|status| json!({"state": state_name(status.state), "timestamp": status.timestamp.unwrap_or(0.0)}));
    json!({
        "id": task.task_id.value,
        "name": task.name,
        "framework_id": task.framework_id.value,
        "executor_id": task.executor_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
        "slave_id": task.agent_id.value,
        "state": state_name(task.state),
        "resources": resource_summary(&task.resources.iter().collect::<Vec<_>>()),
        "statuses": statuses.collect::<Vec<_>>(),
    })
}

fn state_name(state: i32) -> &'static str {
    TaskState::try_from(state).map_or("TASK_UNKNOWN", |state| state.as_str_name())
}

fn resource_summary(resources: &[&Resource]) -> Value {
    let mut summary = Map::new();
    for name in ["cpus", "gpus", "mem", "disk"] {
        summary.insert(
            name.into(),
            json!(crate::resources::scalar_total(resources, name).unwrap_or(0.0)),
        );
    }
    for resource in resources {
        if let Some(ranges) = &resource.ranges {
            let texts: Vec<String> = ranges
                .range
                .iter()
                .map(|range| format!("{}-{}", range.begin, range.end))
                .collect();
            summary.insert(resource.name.clone(), json!(format!("[{}]", texts.join(", "))));
        }
    }
    Value::Object(summary)
}

fn attributes(attributes: &[proto::v1::Attribute]) -> Value {
    let value = |attribute: &proto::v1::Attribute| match (&attribute.text, &attribute.scalar) {
        (Some(text), _) => json!(text.value),
        (None, Some(scalar)) => json!(scalar.value),
        _ => Value::Null,
    };
    Value::Object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.clone(), value(attribute)))
            .collect(),
    )
}
