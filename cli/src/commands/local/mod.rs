//! `mesoraft local`: a whole cluster on this machine, each member a process of this binary.

mod demo;
mod leader;
mod narrator;
mod plan;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::leader::LeaderWatch;
use self::narrator::Narrator;
use self::plan::{Kind, Plan};
use self::supervisor::{Event, Supervisor};
use crate::output::{complain, say, table};
use crate::shutdown::StopSignals;

/// How often it is looked who leads.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);
/// A cluster on one machine elects within a second; after this time something is wrong.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);

/// Flags of `local`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Masters, on ports P, P+1, …; their Raft ports are P+100, P+101, …
    #[arg(long = "masters", value_name = "N", default_value_t = 3)]
    masters: u16,

    /// Agents, on ports P+50, P+51, …
    #[arg(long = "agents", value_name = "N", default_value_t = 3)]
    agents: u16,

    /// Directory of all data and logs; kept at the end, and taken up again by the next start
    /// [default: a temporary one, removed at the end]
    #[arg(long = "work_dir", value_name = "DIR")]
    work_dir: Option<PathBuf>,

    /// First port P [default: 5050, or the next free thousand]
    #[arg(long = "port", value_name = "P")]
    port: Option<u16>,

    /// Leave a process that died dead
    #[arg(long = "no-restart", alias = "no_restart")]
    no_restart: bool,

    /// Run tasks, kill the leading master three times, show what survived, and stop
    #[arg(long = "demo", conflicts_with = "no_restart")]
    demo: bool,
}

/// Runs the cluster until Ctrl-C (exit code 0), or the demonstration to its end (0 if nothing was lost).
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::logging::start_quiet()?;
    let runtime = super::runtime()?;
    let code = runtime.block_on(run(args));
    runtime.shutdown_background();
    code
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::catch()?;
    let (work_dir, is_temporary) = match &args.work_dir {
        Some(dir) => (std::path::absolute(dir).context("--work_dir")?, false),
        None => (
            std::env::temp_dir().join(format!("mesoraft-local-{}", std::process::id())),
            true,
        ),
    };
    std::fs::create_dir_all(&work_dir).with_context(|| format!("cannot create {}", work_dir.display()))?;
    let plan = Plan::new(args.masters, args.agents, args.port, &work_dir).await?;
    let narrator = Narrator::start();
    introduce(&plan, &work_dir, is_temporary, args.demo);
    let (supervisor, events) = Supervisor::start(&plan, !args.no_restart)?;
    let code = tokio::select! {
        code = async {
            if args.demo {
                demo::run(&plan, &supervisor, events, &narrator).await
            } else {
                watch(&plan, &supervisor, events, &narrator).await
            }
        } => code,
        signal = stop.next() => {
            say("");
            narrator.tell(&format!("{signal}: stopping"));
            Ok(ExitCode::SUCCESS)
        }
    };
    let left = supervisor.stop().await;
    if !left.is_empty() {
        complain(&format!("mesoraft local: these processes could not be ended: {left:?}"));
    }
    let is_good = matches!(code, Ok(code) if code == ExitCode::SUCCESS);
    if is_temporary && is_good {
        std::fs::remove_dir_all(&work_dir).with_context(|| format!("cannot remove {}", work_dir.display()))?;
    } else {
        say(&format!("data and logs are in {}", work_dir.display()));
    }
    code
}

/// Says who is where and what to try.
fn introduce(plan: &Plan, work_dir: &std::path::Path, is_temporary: bool, demo: bool) {
    let count = |kind, noun: &str| match plan.of_kind(kind).count() {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    };
    let kept = if is_temporary {
        "removed at the end; --work_dir=DIR keeps it"
    } else {
        "kept"
    };
    say(&format!(
        "A cluster of {} and {} on this machine.",
        count(Kind::Master, "master"),
        count(Kind::Agent, "agent")
    ));
    if let Some(note) = &plan.port_note {
        say(&format!("Ports start at {} because {note}.", plan.port));
    }
    say(&format!("Data and logs: {} ({kept})", work_dir.display()));
    say("");
    let head = ["", "http", "raft", "data"].map(str::to_owned).to_vec();
    let rows = plan.members.iter().map(|member| {
        vec![
            member.name.clone(),
            format!("http://{}", member.address),
            member.raft_address.clone().unwrap_or_else(|| "-".to_owned()),
            member.data.display().to_string(),
        ]
    });
    for line in table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()) {
        say(&format!("  {line}"));
    }
    say("");
    if !demo {
        let program = std::env::args().next().unwrap_or_else(|| "mesoraft".to_owned());
        let masters = plan.master_list();
        say("Try next, in another terminal:");
        say(&format!("  {program} status --master={masters}"));
        say(&format!(
            "  {program} run --master={masters} --command='echo hello from $(hostname)'"
        ));
        say("  kill -9 <pid of the leading master>     and look here");
        say("Ctrl-C stops everything.");
        say("");
    }
}

/// Tells what happens, for ever.
async fn watch(
    plan: &Plan,
    supervisor: &Supervisor,
    mut events: mpsc::Receiver<Event>,
    narrator: &Narrator,
) -> anyhow::Result<ExitCode> {
    let mut leaders = LeaderWatch::new(plan)?;
    let mut leaderless_since = Some(Instant::now());
    let mut warned = false;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => narrator.tell_event(&event),
                // All processes are dead and stay so; only Ctrl-C is left.
                None => std::future::pending().await,
            },
            () = sleep(LEADER_INTERVAL) => {
                match leaders.look().await {
                    Some(change) => {
                        let pid = change.leader.as_ref().and_then(|leader| supervisor.pid(leader));
                        narrator.tell_leader(&change, pid, leaderless_since.take());
                        warned = false;
                        if change.leader.is_none() {
                            leaderless_since = Some(Instant::now());
                        }
                    }
                    None if !warned && leaderless_since.is_some_and(|since| since.elapsed() > LEADER_PATIENCE) => {
                        narrator.tell("still nobody leads: look into the masters' logs");
                        warned = true;
                    }
                    None => {}
                }
            }
        }
    }
}
