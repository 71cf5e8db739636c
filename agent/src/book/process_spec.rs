//! Work orders for supervisors: command, environment, user, files and limits of a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::v1::{CommandInfo, ContainerInfo, Resource, container_info, environment};

use super::{Book, Effect, ProcessOwner, StartProcess};
use crate::config::PROCESS_PATH;
use crate::resources;
use crate::supervisor::spec::{CgroupSpec, FILE_VERSION, Fetch, ProcessSpec};

/// `cpu.weight` of one whole cpu, the kernel's default.
const CPU_WEIGHT_PER_CPU: f64 = 100.0;

/// Range of `cpu.weight`.
const CPU_WEIGHT_MIN_MAX: (f64, f64) = (1.0, 10_000.0);

/// `pids.max`: a fork bomb must not take the host with it.
const PIDS_MAX: u64 = 32_768;

impl Book {
    /// Orders the process of a task that the agent runs itself; the task gets the name of its process.
    ///
    /// Errors: a sentence for the task's status.
    pub(super) fn start_task_process(&mut self, framework: &str, executor: &str, task: &str) -> Result<(), String> {
        let process_id = self.uuid_text();
        let (Some(known), Some(agent)) = (self.frameworks.get(framework), self.agent_id()) else {
            return Ok(());
        };
        let Some(run) = known.executors.get(executor) else {
            return Ok(());
        };
        let Some(entry) = run.tasks.get(task) else {
            return Ok(());
        };
        let is_group = entry.group.is_some();
        let process_id = if is_group { process_id } else { run.container_id.clone() };
        let command = entry.info.command.clone().unwrap_or_default();
        refuse_container(entry.info.container.as_ref())?;
        let sandbox = self.layout.sandbox(agent, framework, executor, &run.container_id);
        let sandbox = if is_group {
            sandbox.join("tasks").join(crate::store::layout::file_name(task))
        } else {
            sandbox
        };
        let mut variables = self.common_environment(framework, executor, &sandbox);
        variables.push(("MESOS_TASK_ID".into(), task.to_owned()));
        let role = entry
            .info
            .resources
            .iter()
            .find_map(|resource| resource.allocation_info.as_ref()?.role.clone());
        variables.push(("MESOS_ALLOCATION_ROLE".into(), role.unwrap_or_else(|| "*".into())));
        variables.push(("MESOS_CONTAINER_IP".into(), self.ip()));
        variables.extend(environment_of(&command)?);
        let all: Vec<&Resource> = entry.info.resources.iter().collect();
        let limits = self.cgroup(&process_id, &all);
        let links = self.volume_links(&entry.info.resources);
        let limit = entry.info.max_completion_time.map(|limit| millis(limit.nanoseconds));
        let grace = entry
            .info
            .kill_policy
            .and_then(|policy| policy.grace_period)
            .map(|grace| millis(grace.nanoseconds));
        let spec = ProcessSpec {
            version: FILE_VERSION,
            container_id: process_id.clone(),
            shell: command.shell.unwrap_or(true),
            value: command.value.clone(),
            arguments: command.arguments.clone(),
            environment: flattened(variables),
            user: self.user(&command, &known.info.user),
            sandbox,
            fetch: fetches(&command),
            links,
            max_completion_ms: limit,
            kill_grace_ms: grace.unwrap_or(millis_of(self.config.kill_grace_period)),
            cgroup: limits,
            notify: self.layout.notify(),
        };
        let directory = self.layout.process(framework, &run.container_id, &process_id);
        self.processes.insert(
            process_id.clone(),
            ProcessOwner {
                framework: framework.into(),
                executor: executor.into(),
                task: Some(task.into()),
            },
        );
        if let Some(entry) = self.task_mut(framework, task) {
            entry.process = Some(process_id);
        }
        self.effects
            .push(Effect::Start(Box::new(StartProcess { directory, spec })));
        Ok(())
    }

    /// Orders the process of a custom executor; answers its container id.
    ///
    /// Errors: a sentence for its tasks' statuses.
    pub(super) fn start_executor_process(&mut self, framework: &str, executor: &str) -> Result<String, String> {
        let (Some(known), Some(agent)) = (self.frameworks.get(framework), self.agent_id()) else {
            return Err("the framework is unknown".into());
        };
        let Some(run) = known.executors.get(executor) else {
            return Err("the executor is unknown".into());
        };
        let container_id = run.container_id.clone();
        let command = run.info.command.clone().unwrap_or_default();
        refuse_container(run.info.container.as_ref())?;
        let sandbox = self.layout.sandbox(agent, framework, executor, &container_id);
        let mut variables = self.common_environment(framework, executor, &sandbox);
        let grace = run.info.shutdown_grace_period.map(|grace| grace.nanoseconds);
        let grace = grace.map_or(self.config.executor_shutdown_grace_period, |nanos| {
            std::time::Duration::from_millis(millis(nanos))
        });
        let mut set = |name: &str, value: String| variables.push((name.into(), value));
        set("MESOS_HTTP_COMMAND_EXECUTOR", "0".into());
        set("MESOS_LOCAL", String::new());
        set(
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
            crate::config::duration_text(grace),
        );
        if known.info.checkpoint.unwrap_or(false) {
            set("MESOS_CHECKPOINT", "1".into());
            set(
                "MESOS_RECOVERY_TIMEOUT",
                crate::config::duration_text(self.config.recovery_timeout),
            );
            set("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs".into());
        }
        // An empty MESOS_LOCAL would count as set for some executors.
        variables.retain(|(name, value)| name != "MESOS_LOCAL" || !value.is_empty());
        variables.extend(environment_of(&command)?);
        let tasks = run.tasks.values().flat_map(|entry| &entry.info.resources);
        let all: Vec<&Resource> = run.info.resources.iter().chain(tasks).collect();
        let limits = self.cgroup(&container_id, &all);
        let links = self.volume_links(&run.info.resources);
        let spec = ProcessSpec {
            version: FILE_VERSION,
            container_id: container_id.clone(),
            shell: command.shell.unwrap_or(true),
            value: command.value.clone(),
            arguments: command.arguments.clone(),
            environment: flattened(variables),
            user: self.user(&command, &known.info.user),
            sandbox,
            fetch: fetches(&command),
            links,
            max_completion_ms: None,
            kill_grace_ms: millis_of(grace),
            cgroup: limits,
            notify: self.layout.notify(),
        };
        let directory = self.layout.process(framework, &container_id, &container_id);
        self.processes.insert(
            container_id.clone(),
            ProcessOwner {
                framework: framework.into(),
                executor: executor.into(),
                task: None,
            },
        );
        self.effects
            .push(Effect::Start(Box::new(StartProcess { directory, spec })));
        Ok(container_id)
    }

    fn ip(&self) -> String {
        self.pid.split(['@', ':']).nth(1).unwrap_or_default().to_owned()
    }

    fn common_environment(&self, framework: &str, executor: &str, sandbox: &Path) -> Vec<(String, String)> {
        let agent = self.agent_id().unwrap_or_default();
        let endpoint = self.pid.split_once('@').map(|(_, address)| address).unwrap_or_default();
        let sandbox = sandbox.display().to_string();
        [
            ("PATH", PROCESS_PATH.to_owned()),
            ("MESOS_SANDBOX", sandbox.clone()),
            ("MESOS_DIRECTORY", sandbox),
            ("MESOS_FRAMEWORK_ID", framework.to_owned()),
            ("MESOS_EXECUTOR_ID", executor.to_owned()),
            ("MESOS_SLAVE_ID", agent.to_owned()),
            ("MESOS_SLAVE_PID", self.pid.clone()),
            ("MESOS_AGENT_ENDPOINT", endpoint.to_owned()),
            ("LIBPROCESS_PORT", "0".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn user(&self, command: &CommandInfo, framework_user: &str) -> Option<String> {
        let user = command.user.as_deref().unwrap_or(framework_user);
        (self.may_switch_user && !user.is_empty()).then(|| user.to_owned())
    }

    fn cgroup(&self, process: &str, resources: &[&Resource]) -> Option<CgroupSpec> {
        let root = self.cgroup_root.as_ref()?;
        let total = |name: &str| resources::scalar_total(resources, name);
        let memory = total("mem").map(|megabytes| (megabytes * 1024.0 * 1024.0) as u64);
        let (min, max) = CPU_WEIGHT_MIN_MAX;
        let weight = total("cpus").map(|cpus| (cpus * CPU_WEIGHT_PER_CPU).clamp(min, max) as u64);
        Some(CgroupSpec {
            path: root.join(process),
            memory_bytes: memory.filter(|bytes| *bytes > 0),
            cpu_weight: weight,
            pids_max: Some(PIDS_MAX),
        })
    }

    /// Persistent volumes appear in the sandbox as links, under the name the framework gave.
    fn volume_links(&self, resources: &[Resource]) -> Vec<(String, PathBuf)> {
        let link = |resource: &Resource| {
            let disk = resource.disk.as_ref()?;
            let role = resource
                .reservations
                .last()
                .and_then(|reservation| reservation.role.clone());
            let target = self
                .layout
                .volume(&role.unwrap_or_default(), &disk.persistence.as_ref()?.id);
            let name = &disk.volume.as_ref()?.container_path;
            let is_inside = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
            is_inside.then(|| (name.clone(), target))
        };
        resources.iter().filter_map(link).collect()
    }
}

fn refuse_container(container: Option<&ContainerInfo>) -> Result<(), String> {
    let Some(container) = container else { return Ok(()) };
    let has_image = container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some());
    if container.r#type == container_info::Type::Docker as i32 || container.docker.is_some() || has_image {
        return Err("Failed to launch container: this agent runs processes, not container images".into());
    }
    if !container.volumes.is_empty() {
        return Err("Failed to launch container: this agent does not mount container volumes".into());
    }
    Ok(())
}

fn environment_of(command: &CommandInfo) -> Result<Vec<(String, String)>, String> {
    let Some(environment) = &command.environment else {
        return Ok(Vec::new());
    };
    let value = |variable: &environment::Variable| {
        if variable.r#type != Some(environment::variable::Type::Secret as i32) {
            return Ok(variable.value.clone().unwrap_or_default());
        }
        let secret = variable.secret.as_ref().and_then(|secret| secret.value.as_ref());
        let text = secret.and_then(|secret| String::from_utf8(secret.data.to_vec()).ok());
        text.ok_or_else(|| {
            format!(
                "environment variable '{}': this agent resolves secrets by value only",
                variable.name
            )
        })
    };
    environment
        .variables
        .iter()
        .map(|variable| Ok((variable.name.clone(), value(variable)?)))
        .collect()
}

/// Later values win; order is not observable.
fn flattened(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    variables.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn fetches(command: &CommandInfo) -> Vec<Fetch> {
    let fetch = |uri: &proto::v1::command_info::Uri| Fetch {
        uri: uri.value.clone(),
        executable: uri.executable.unwrap_or(false),
        extract: uri.extract.unwrap_or(true),
        output_file: uri.output_file.clone(),
    };
    command.uris.iter().map(fetch).collect()
}

/// Whole milliseconds, at least 0; a positive time shorter than one is one.
pub(super) fn millis(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds).map_or(0, |nanoseconds| nanoseconds.div_ceil(1_000_000))
}

pub(super) fn millis_of(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
