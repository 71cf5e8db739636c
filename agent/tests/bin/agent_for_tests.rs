//! Stands in for the `mesoraft` binary: `agent-executor <dir>` and `agent <work_dir> <masters> <resources> <port>
//! <completed executors kept>`; and for an executor: `executor`.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use agent::{Agent, Config, SUBCOMMAND, executor_main};
use client::{CallOutcome, Executor, ExecutorConfig, ExecutorNotice};
use proto::v1::executor::event;
use proto::v1::task_status::Source;
use proto::v1::{TaskState, TaskStatus};
use seams::Seams;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(name) if name == SUBCOMMAND => executor_main(arguments),
        Some(name) if name == "agent" => {
            let rest: Vec<String> = arguments.map(|text| text.to_string_lossy().into_owned()).collect();
            run(&rest)
        }
        Some(name) if name == "executor" => execute(),
        _ => ExitCode::from(2),
    }
}

/// Says of each task that it runs, echoes messages, ends when told to.
fn execute() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(async {
        let seams = Seams::real();
        let Ok(config) = ExecutorConfig::from_env(|name| std::env::var(name).ok()) else {
            return ExitCode::from(3);
        };
        let (executor, mut events) = Executor::start(config, seams.clone());
        let status = |task_id, state: TaskState| TaskStatus {
            task_id,
            state: state as i32,
            source: Some(Source::Executor as i32),
            uuid: Some(seams.random_uuid().to_vec().into()),
            ..Default::default()
        };
        while let Some(notice) = events.next().await {
            let ExecutorNotice::Event(event) = notice else { continue };
            let outcome = if let Some(launch) = event.launch {
                executor
                    .update(status(launch.task.task_id, TaskState::TaskRunning))
                    .await
            } else if let Some(kill) = event.kill {
                executor.update(status(kill.task_id, TaskState::TaskKilled)).await
            } else if let Some(message) = event.message {
                executor.message(message.data).await
            } else if event.r#type == Some(event::Type::Shutdown as i32) {
                return ExitCode::SUCCESS;
            } else {
                continue;
            };
            if !matches!(outcome, CallOutcome::Accepted) {
                eprintln!("{outcome:?}");
            }
        }
        ExitCode::FAILURE
    })
}

fn run(arguments: &[String]) -> ExitCode {
    let [work_dir, masters, resources, port, kept] = arguments else {
        return ExitCode::from(2);
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let Ok(kept) = kept.parse() else {
        return ExitCode::from(2);
    };
    let config = Config {
        max_completed_executors_per_framework: kept,
        ip: Ipv4Addr::LOCALHOST,
        port: port.parse().unwrap_or(0),
        resources: resources.clone(),
        registration_backoff_factor: std::time::Duration::from_millis(100),
        ..Config::new(masters.split(',').map(str::to_owned).collect(), work_dir.into())
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    else {
        return ExitCode::FAILURE;
    };
    let result = runtime.block_on(async {
        let agent = Agent::start(config, Seams::real()).await?;
        println!("{}", agent.pid());
        agent.run_until(std::future::pending()).await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: &dyn std::error::Error = &error;
            eprint!("{error}");
            while let Some(next) = cause.source() {
                eprint!(": {next}");
                cause = next;
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
