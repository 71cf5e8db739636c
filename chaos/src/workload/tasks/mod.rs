//! Frameworks with tasks: launch, acknowledge, kill, reconcile, read.
//!
//! Tasks live as their command says (`sleep 0.3`), which hollow agents heed and real ones run. Task ids are used once.
//! Some launches name offers that are gone on purpose: used, rescinded, or of an earlier leadership; their task ids
//! must never run. `framework.rs` holds one framework and its subscription, `lanes.rs` what it does of its own accord.

mod framework;
mod lanes;

use tokio::task::JoinSet;

use self::framework::Framework;
use super::scribe::Scribe;
use super::{HarnessError, Options, Summary, Workload, World, check, join};

/// Runs `options.clients` frameworks with up to `options.objects` tasks each.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Tasks;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let framework = Framework::new(world.clone(), options.clone(), scribe.clone(), number);
        clients.spawn(framework.run());
    }
    join(workload, clients).await?;
    Ok(scribe.summary(workload.name()))
}
