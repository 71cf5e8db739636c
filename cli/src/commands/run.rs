//! `mesoraft run`: runs one command as one or more tasks, prints what happens to them, and ends as they end.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use client::{AgentClient, Encoding, MasterList};
use master_core::resources::Resources;
use proto::v1::{TaskState, TaskStatus};
use seams::Seams;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::duration::MesosDuration;
use crate::framework::{Framework, Happening, TaskSpec};
use crate::logging;
use crate::output::complain;
use crate::shutdown::StopSignals;

/// How often the output of running tasks is looked for with `--follow`.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes read of a task's output in one go.
const READ_BYTES: u64 = 64 * 1024;
/// Bytes printed of each output stream of a finished task; the rest stays in the sandbox.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// How long the teardown of the framework may take.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Exit code after a signal, as shells do.
const EXIT_INTERRUPTED: u8 = 130;

/// Flags of `run`.
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

    /// Shell command to run
    #[arg(long = "command", value_name = "COMMAND")]
    command: String,

    /// Name of the framework and of its tasks
    #[arg(long = "name", value_name = "NAME", default_value = "run")]
    name: String,

    /// What each task takes
    #[arg(long = "resources", value_name = "RESOURCES", default_value = "cpus:0.1;mem:32")]
    resources: String,

    /// How many tasks run the command
    #[arg(long = "instances", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    instances: u32,

    /// Print the output of the tasks while they run, not only at their end
    #[arg(long = "follow")]
    follow: bool,

    /// Kill everything and fail when the tasks have not ended after this time [default: never]
    #[arg(long = "timeout", value_name = "DURATION")]
    timeout: Option<MesosDuration>,
}

/// Runs the command. Exit code 0 when every task finished, 1 when one did not, 130 after Ctrl-C (tasks are killed).
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    logging::start_quiet()?;
    let runtime = super::runtime()?;
    let code = runtime.block_on(run(args));
    runtime.shutdown_background();
    code
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let resources = Resources::parse_flag(&args.resources, "*")
        .map_err(|error| anyhow::anyhow!("--resources='{}': {error}", args.resources))?;
    if resources.is_empty() {
        bail!(
            "--resources='{}': a task takes something, for example cpus:0.1;mem:32",
            args.resources
        );
    }
    let mut stop = StopSignals::catch()?;
    let deadline = args.timeout.map(|limit| Instant::now() + limit.0);
    let mut framework = Framework::start(args.master.clone(), &args.name)?;
    for number in 1..=args.instances {
        let id = if args.instances == 1 {
            args.name.clone()
        } else {
            format!("{}-{number}", args.name)
        };
        framework.submit(TaskSpec {
            id,
            command: args.command.clone(),
            resources: resources.clone(),
        });
    }
    let mut run = Run {
        args,
        framework,
        outputs: BTreeMap::new(),
        ended: BTreeSet::new(),
        failed: 0,
        was_subscribed: false,
    };
    let far = Instant::now() + Duration::from_secs(365 * 86_400);
    let code = tokio::select! {
        result = run.follow() => result?,
        signal = stop.next() => {
            complain(&format!("{signal}: killing the tasks"));
            ExitCode::from(EXIT_INTERRUPTED)
        }
        () = tokio::time::sleep_until(deadline.unwrap_or(far)) => {
            complain("the tasks have not ended in time: killing them");
            ExitCode::FAILURE
        }
    };
    run.tear_down().await;
    Ok(code)
}

/// What has been printed of a task's output. Shapes: file name to bytes.
type Printed = BTreeMap<&'static str, u64>;

struct Run {
    args: Args,
    framework: Framework,
    /// By task.
    outputs: BTreeMap<String, Printed>,
    ended: BTreeSet<String>,
    failed: u32,
    was_subscribed: bool,
}

impl Run {
    /// Tells what happens until every task has ended.
    async fn follow(&mut self) -> anyhow::Result<ExitCode> {
        let mut look_again = Instant::now() + FOLLOW_INTERVAL;
        while self.ended.len() < self.args.instances as usize {
            let happening = if self.args.follow {
                match timeout_at(look_again, self.framework.next()).await {
                    Ok(happening) => happening,
                    Err(_) => {
                        self.print_running_outputs().await;
                        look_again = Instant::now() + FOLLOW_INTERVAL;
                        continue;
                    }
                }
            } else {
                self.framework.next().await
            };
            let happening = happening.context("the framework ended without a reason")?;
            self.tell(happening).await?;
        }
        Ok(if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn tell(&mut self, happening: Happening) -> anyhow::Result<()> {
        self.was_subscribed |= matches!(happening, Happening::Subscribed { .. });
        match happening {
            Happening::Subscribed {
                master,
                framework_id,
                again: false,
            } => {
                complain(&format!("subscribed at {master} as framework {framework_id}"));
            }
            Happening::Subscribed { master, .. } => complain(&format!("subscribed again, {master} leads now")),
            Happening::Disconnected { reason } => complain(&format!("connection to the master lost: {reason}")),
            Happening::Again { id, why } => complain(&format!("{id}: launching it again ({why})")),
            Happening::Ended { reason } => bail!("the master ended the framework: {reason}"),
            Happening::Lost { id, state } => {
                complain(&format!(
                    "{id}: the master does not know it any more ({})",
                    state.as_str_name()
                ));
                self.failed += 1;
                self.ended.insert(id);
            }
            Happening::Update { id, state, status } => {
                complain(&describe(&id, state, &status, &self.framework));
                if state.is_terminal() {
                    self.print_output(&id).await;
                    if state != TaskState::TaskFinished {
                        self.failed += 1;
                    }
                    self.ended.insert(id);
                }
            }
        }
        Ok(())
    }

    async fn print_running_outputs(&mut self) {
        let running: Vec<String> = self
            .framework
            .tasks()
            .values()
            .filter(|task| task.state == TaskState::TaskRunning)
            .map(|task| task.spec.id.clone())
            .collect();
        for id in running {
            self.print_output(&id).await;
        }
    }

    /// Prints what is new in a task's `stdout` and `stderr`. That it cannot be read is told, but decides nothing.
    async fn print_output(&mut self, id: &str) {
        let Some(task) = self.framework.tasks().get(id) else {
            return;
        };
        let agent = AgentClient::new(task.agent_address.clone(), Encoding::Protobuf, &Seams::real());
        let task_id = task.task_id.clone();
        let printed = self.outputs.entry(id.to_owned()).or_default();
        if let Err(error) = copy_output(&agent, &task_id, printed).await {
            tracing::warn!("the output of {id} cannot be read: {error:#}");
        }
    }

    /// Removes the framework, and with it tasks that still run. When that fails, the master does so after the
    /// failover timeout.
    async fn tear_down(mut self) {
        let scheduler = self.framework.scheduler().clone();
        if !self.was_subscribed {
            return;
        }
        let torn_down = timeout(TEARDOWN_TIMEOUT, async {
            while !scheduler.teardown().await.is_accepted() {
                sleep(Duration::from_millis(100)).await;
                if !scheduler.subscribed().await {
                    return;
                }
            }
            while self.framework.next().await.is_some() {}
        });
        if torn_down.await.is_err() {
            complain("the framework could not be removed in time; the master removes it after a minute");
        }
    }
}

fn describe(id: &str, state: TaskState, status: &TaskStatus, framework: &Framework) -> String {
    let agent = framework
        .tasks()
        .get(id)
        .map(|task| task.agent_address.as_str())
        .unwrap_or_default();
    let message = status.message.as_deref().filter(|message| !message.is_empty());
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{id}: {} at agent {agent}{message}", state.as_str_name())
}

/// Copies what is new of a task's output to ours.
async fn copy_output(agent: &AgentClient, task_id: &str, printed: &mut Printed) -> anyhow::Result<()> {
    let state: serde_json::Value = serde_json::from_slice(&agent.state().await?).context("the agent's state")?;
    let sandbox = sandbox(&state, task_id).context("the agent does not say where the sandbox is")?;
    for file in ["stdout", "stderr"] {
        let offset = printed.entry(file).or_insert(0);
        while *offset < OUTPUT_BYTES_MAX {
            let (_, data) = agent
                .read_file(&format!("{sandbox}/{file}"), *offset, READ_BYTES)
                .await?;
            if data.is_empty() {
                break;
            }
            *offset += data.len() as u64;
            let mut stream: Box<dyn std::io::Write> = if file == "stdout" {
                Box::new(std::io::stdout())
            } else {
                Box::new(std::io::stderr())
            };
            stream
                .write_all(&data)
                .and_then(|()| stream.flush())
                .context("cannot print")?;
        }
    }
    Ok(())
}

/// The sandbox of a task in an agent's `/state`: the `directory` of its executor, which is named after it.
fn sandbox(state: &serde_json::Value, task_id: &str) -> Option<String> {
    let frameworks = ["frameworks", "completed_frameworks"]
        .into_iter()
        .filter_map(|key| state.get(key)?.as_array());
    for framework in frameworks.flatten() {
        let executors = ["executors", "completed_executors"]
            .into_iter()
            .filter_map(|key| framework.get(key)?.as_array());
        for executor in executors.flatten() {
            let names = ["id", "executor_id"]
                .into_iter()
                .filter_map(|key| executor.get(key)?.as_str());
            if names.into_iter().any(|name| name == task_id) {
                return executor.get("directory")?.as_str().map(str::to_owned);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_found_among_running_and_completed_executors() {
        let state = serde_json::json!({
            "frameworks": [{"executors": [{"id": "a", "directory": "/w/a"}]}],
            "completed_frameworks": [{"completed_executors": [{"executor_id": "b", "directory": "/w/b"}]}],
        });
        assert_eq!(sandbox(&state, "a").as_deref(), Some("/w/a"));
        assert_eq!(sandbox(&state, "b").as_deref(), Some("/w/b"));
        assert_eq!(sandbox(&state, "c"), None);
    }
}
