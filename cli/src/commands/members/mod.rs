//! `mesoraft members`: who is a member of the replicated log, and changing that.

mod table;

use std::process::ExitCode;

use clap::Subcommand;
use replicated_log::Admin;
use seams::Seams;

use crate::output::{Form, say};

/// Flags of `members`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Raft addresses of members, best all of them: host:raft_port[,host:raft_port…]. One that answers is enough: it
    /// names the leader, which is asked then
    #[arg(
        long = "raft",
        env = "MESOS_RAFT",
        value_name = "MEMBERS",
        default_value = "127.0.0.1:5150",
        value_delimiter = ',',
        value_parser = parse_address,
        global = true
    )]
    raft: Vec<String>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Show the members as the leader sees them
    List {
        /// Form of the answer
        #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
        output: Form,
    },
    /// Add a node that receives the log without voting (a master started with --join does this by itself)
    Add {
        /// Node id, never used before in this cluster
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: u64,
        /// Raft address of the node
        #[arg(value_name = "HOST:RAFT_PORT", value_parser = parse_address)]
        address: String,
    },
    /// Make a learner that has caught up a voter (a master started with --join does this by itself)
    Promote {
        /// Node id
        id: u64,
    },
    /// Remove a member; its node id must not be used again
    Remove {
        /// Node id
        id: u64,
    },
    /// Let another voter lead
    TransferLeader {
        /// Node id [default: the most up-to-date voter]
        id: Option<u64>,
    },
}

/// Does what is asked; exit code 0 when it is done.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    crate::logging::start_quiet()?;
    let runtime = super::runtime()?;
    let admin = Admin::new(args.raft, Seams::real());
    let done = runtime.block_on(run(&admin, args.action));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn run(admin: &Admin, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { output } => {
            let members = admin.members().await?;
            match output {
                Form::Json => say(&serde_json::to_string_pretty(&members)?),
                Form::Table => table::lines(&members).iter().for_each(|line| say(line)),
            }
        }
        Action::Add { id, address } => {
            admin.add_learner(id, &address).await?;
            say(&format!("node {id} at {address} is a learner"));
        }
        Action::Promote { id } => {
            admin.promote(id).await?;
            say(&format!("node {id} votes"));
        }
        Action::Remove { id } => {
            admin.remove(id).await?;
            say(&format!("node {id} is no member any more; never use its id again"));
        }
        Action::TransferLeader { id } => {
            let leader = admin.transfer_leadership(id).await?;
            say(&format!("node {leader} leads"));
        }
    }
    Ok(())
}

fn parse_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    match super::has_port(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("'{text}' is not <host>:<raft port>")),
    }
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

    fn parse(text: &str) -> Result<Args, String> {
        let words = std::iter::once("members").chain(text.split(' '));
        let tool = Tool::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(tool.args)
    }

    #[test]
    fn members_are_named_before_or_after_the_action() {
        for text in ["--raft=a:1,b:2 remove 3", "remove 3 --raft=a:1,b:2"] {
            let args = parse(text).unwrap();
            assert_eq!(args.raft, ["a:1", "b:2"], "{text}");
            assert!(matches!(args.action, Action::Remove { id: 3 }), "{text}");
        }
        let args = parse("transfer-leader").unwrap();
        assert_eq!(args.raft, ["127.0.0.1:5150"]);
        assert!(matches!(args.action, Action::TransferLeader { id: None }));
        let args = parse("add 4 host:5150").unwrap();
        assert!(matches!(args.action, Action::Add { id: 4, address } if address == "host:5150"));
        assert!(matches!(
            parse("list -o json").unwrap().action,
            Action::List { output: Form::Json }
        ));
    }

    #[test]
    fn a_wrong_address_or_id_is_named() {
        for (text, expected) in [
            ("add 4 host", "'host' is not <host>:<raft port>"),
            ("add 0 host:1", "0 is not in 1.."),
            ("--raft=a:1,b list", "'b' is not <host>:<raft port>"),
            ("remove x", "'x'"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
