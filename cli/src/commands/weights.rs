//! `mesoraft weights`: how much more than others roles are offered, and changing that.

use std::process::ExitCode;

use clap::Subcommand;
use client::{Encoding, MasterList, Operator};
use proto::v1::WeightInfo;
use seams::Seams;

use crate::output::{Form, say, table};

/// Flags of `weights`.
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
    /// Show the weights that were set; other roles have weight 1
    List {
        /// Form of the answer
        #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
        output: Form,
    },
    /// Set the weights of roles, all or none
    Set {
        /// Twice the weight makes twice the share
        #[arg(value_name = "ROLE=WEIGHT", required = true, value_parser = parse_weight)]
        weights: Vec<WeightInfo>,
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
            let weights = operator.get_weights().await?;
            match output {
                Form::Json => say(&serde_json::to_string_pretty(&weights)?),
                Form::Table => lines(&weights).iter().for_each(|line| say(line)),
            }
        }
        Action::Set { weights } => {
            let count = weights.len();
            operator.update_weights(weights).await?;
            say(&format!("{count} weights are set"));
        }
    }
    Ok(())
}

fn lines(weights: &[WeightInfo]) -> Vec<String> {
    if weights.is_empty() {
        return vec!["no weight is set; every role has weight 1".to_owned()];
    }
    let head = ["role", "weight"].map(str::to_owned).to_vec();
    let rows = weights
        .iter()
        .map(|info| vec![info.role.clone().unwrap_or_default(), info.weight.to_string()]);
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn parse_weight(text: &str) -> Result<WeightInfo, String> {
    let wrong = || format!("'{text}' is not <role>=<positive number>");
    let (role, weight) = text.rsplit_once('=').ok_or_else(wrong)?;
    let weight: f64 = weight.parse().map_err(|_| wrong())?;
    if role.is_empty() || !weight.is_finite() || weight <= 0.0 {
        return Err(wrong());
    }
    Ok(WeightInfo {
        weight,
        role: Some(role.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_and_shown() {
        let weights = ["web=2.5", "a/b=1"].map(|text| parse_weight(text).unwrap());
        assert_eq!(lines(&weights), ["role  weight", "web   2.5", "a/b   1"]);
        assert_eq!(lines(&[]), ["no weight is set; every role has weight 1"]);
        for wrong in ["web", "web=", "=1", "web=0", "web=-1", "web=inf", "web=x"] {
            assert_eq!(
                parse_weight(wrong).unwrap_err(),
                format!("'{wrong}' is not <role>=<positive number>")
            );
        }
    }
}
