//! `mesoraft status`: who leads, how the replicas stand, and what runs; for people and for monitoring.

mod replica;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use client::{Encoding, MasterList, Operator};
use futures_util::future::join_all;
use seams::Seams;

use self::replica::Replica;
use self::report::{Fleet, Report};
use crate::output::{Form, complain, say};

/// Limit of one question to one replica; one that needs longer counts as absent.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of the questions to the leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(20);

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Masters, best all of them: host:port[,host:port…]. Members not named are shown as the leader sees them
    #[arg(
        long = "master",
        env = "MESOS_MASTER",
        value_name = "MASTERS",
        default_value = "127.0.0.1:5050"
    )]
    master: MasterList,

    /// Form of the answer
    #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
    output: Form,
}

/// Prints the status. Exit code 0 when every replica takes part, 1 when the cluster works but is degraded, 2 when
/// nobody leads.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::logging::start_quiet()?;
    let runtime = super::runtime()?;
    let report = runtime.block_on(look(&args.master));
    runtime.shutdown_background();
    match args.output {
        Form::Json => say(&serde_json::to_string_pretty(&report)?),
        Form::Table => report.lines().iter().for_each(|line| say(line)),
    }
    for problem in &report.problems {
        complain(problem);
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Asks every replica, then the leader.
async fn look(masters: &MasterList) -> Report {
    let operator = Operator::new(masters, Encoding::Protobuf, Seams::real()).with_limit(REPLICA_TIMEOUT);
    let mut replicas = ask(&operator, masters.addresses().to_vec()).await;
    if !replicas.iter().any(Replica::leads)
        && let Some(leader) = named_leader(&operator, &replicas).await
    {
        replicas.extend(ask(&operator, vec![leader]).await);
    }
    let fleet = match replicas.iter().any(Replica::leads) {
        true => Fleet::ask(&operator.with_limit(LEADER_TIMEOUT)).await,
        false => Err("no leader is known".to_owned()),
    };
    Report::new(replicas, fleet)
}

async fn ask(operator: &Operator, addresses: Vec<String>) -> Vec<Replica> {
    join_all(addresses.into_iter().map(|address| Replica::ask(operator, address))).await
}

/// A leader that the replicas name and that was not among those asked.
async fn named_leader(operator: &Operator, replicas: &[Replica]) -> Option<String> {
    for replica in replicas.iter().filter(|replica| replica.error.is_none()) {
        if let Some(leader) = operator.finder().ask(&replica.address).await
            && replicas.iter().all(|replica| replica.address != leader)
        {
            return Some(leader);
        }
    }
    None
}
