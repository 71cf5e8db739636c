//! Stands in for the `mesoraft` binary: `agent-executor <dir>` and `agent <work_dir> <master> [resources]`.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use agent::{Agent, Config, SUBCOMMAND, executor_main};
use seams::Seams;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(name) if name == SUBCOMMAND => executor_main(arguments),
        Some(name) if name == "agent" => {
            let rest: Vec<String> = arguments.map(|text| text.to_string_lossy().into_owned()).collect();
            run(&rest)
        }
        _ => ExitCode::from(2),
    }
}

fn run(arguments: &[String]) -> ExitCode {
    let [work_dir, master, resources] = arguments else {
        return ExitCode::from(2);
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let config = Config {
        ip: Ipv4Addr::LOCALHOST,
        port: 0,
        resources: resources.clone(),
        registration_backoff_factor: std::time::Duration::from_millis(100),
        ..Config::new(vec![master.clone()], work_dir.into())
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
