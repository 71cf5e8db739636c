//! `mesoraft quota`: what roles are guaranteed and limited to, and changing that.

mod amounts;
mod table;

use std::process::ExitCode;

use clap::Subcommand;
use client::{Encoding, MasterList, Operator};
use proto::v1::quota::QuotaConfig;
use seams::Seams;

use self::amounts::Amounts;
use crate::output::{Form, say};

/// Flags of `quota`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Masters, best all of them: host:port[,host:port…]
    #[arg(
        long = "master",
        env = "MESOS_MASTER",
        value_name = "MASTERS",
        default_value = "127.0.0.1:5050",
        global = true
    )]
    master: MasterList,

    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Show the quotas of all roles that have one
    List {
        /// Form of the answer
        #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
        output: Form,
    },
    /// Give a role a quota, in place of the one it has
    #[command(group = clap::ArgGroup::new("amounts").args(["guarantee", "limit"]).required(true).multiple(true))]
    Set {
        /// Top-level role; the roles below it count for it
        role: String,
        /// What is held back for the role, such as cpus:2;mem:1024
        #[arg(long, value_name = "RESOURCES")]
        guarantee: Option<Amounts>,
        /// What the role is never offered more than; resources that are not named have no limit
        #[arg(long, value_name = "RESOURCES")]
        limit: Option<Amounts>,
        /// Set it although the cluster has less than is guaranteed, or the role uses more than its limit
        #[arg(long)]
        force: bool,
    },
    /// Remove the quota of a role
    Remove {
        /// Top-level role
        role: String,
    },
}

/// Does what is asked; exit code 0 when it is done.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::logging::start_quiet()?;
    let runtime = super::runtime()?;
    let operator = Operator::new(&args.master, Encoding::Protobuf, Seams::real());
    let done = runtime.block_on(run(&operator, args.action));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn run(operator: &Operator, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { output } => {
            let configs = operator.get_quota().await?.configs;
            match output {
                Form::Json => say(&serde_json::to_string_pretty(&configs)?),
                Form::Table => table::lines(&configs).iter().for_each(|line| say(line)),
            }
        }
        Action::Set {
            role,
            guarantee,
            limit,
            force,
        } => {
            let quota = QuotaConfig {
                role: role.clone(),
                guarantees: guarantee.unwrap_or_default().into_scalars(),
                limits: limit.unwrap_or_default().into_scalars(),
            };
            operator.update_quota(vec![quota], force).await?;
            say(&format!("role {role} has the quota"));
        }
        Action::Remove { role } => {
            operator.remove_quota(&role).await?;
            say(&format!("role {role} has no quota any more"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Tool {
        #[command(flatten)]
        args: Args,
    }

    fn parse(text: &str) -> Result<Action, String> {
        let words = std::iter::once("quota").chain(text.split(' '));
        let tool = Tool::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(tool.args.action)
    }

    #[test]
    fn a_quota_needs_guarantees_or_limits() {
        let Action::Set {
            role,
            guarantee,
            limit,
            force,
        } = parse("set web --limit=cpus:4;mem:512 --force").unwrap()
        else {
            panic!("another action");
        };
        assert_eq!((role.as_str(), force, guarantee.is_none()), ("web", true, true));
        assert_eq!(limit.unwrap().into_scalars()["mem"].value, 512.0);
        assert!(parse("set web --guarantee=cpus:1 --limit=cpus:2").is_ok());
        let error = parse("set web").unwrap_err();
        assert!(error.contains("--guarantee") && error.contains("--limit"), "{error}");
        assert!(matches!(
            parse("list -o json").unwrap(),
            Action::List { output: Form::Json }
        ));
        assert!(matches!(parse("remove web").unwrap(), Action::Remove { role } if role == "web"));
    }
}
