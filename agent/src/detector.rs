//! Who leads: follows the masters and tells the agent of every (possibly) new leader.
//!
//! A leader is told anew also when it is the same one again after a suspicion: it may have been restarted. Must never
//! decide whether to register; that is `registration.rs`.

use std::net::SocketAddrV4;
use std::time::Duration;

use client::{Encoding, LeaderFinder, MasterList, Operator};
use libprocess::Upid;
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Longest time to wait for a leader's description of itself.
const GET_MASTER_LIMIT: Duration = Duration::from_secs(2);

/// Pause before a leader that does not describe itself is looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A leading master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    /// The sender of every message that counts.
    pub(crate) pid: Upid,
    /// Its `host:port`, for suspicions.
    pub(crate) address: String,
}

/// Runs until nobody listens.
pub(crate) async fn follow(
    masters: MasterList,
    seams: Seams,
    mut suspicions: mpsc::Receiver<String>,
    suspicion: mpsc::Sender<String>,
    leaders: mpsc::Sender<Leader>,
) {
    let mut changes = LeaderFinder::new(&masters, seams.clone()).changes();
    loop {
        let address = changes.next(&mut suspicions).await;
        match pid_of(&address, &seams).await {
            Some(pid) => {
                if leaders.send(Leader { pid, address }).await.is_err() {
                    return;
                }
            }
            None => {
                sleep(RETRY_PAUSE).await;
                if suspicion.try_send(address).is_err() {
                    tracing::debug!("others have the same suspicion");
                }
            }
        }
    }
}

/// The pid a master gives itself. Its address alone decides when that is a literal one: masters listen as `master` on
/// the address they announce, and the question would cost a round trip in the middle of a failover.
async fn pid_of(address: &str, seams: &Seams) -> Option<Upid> {
    if let Ok(address) = address.parse::<SocketAddrV4>() {
        return Some(Upid::new("master", address));
    }
    let masters: MasterList = address.parse().ok()?;
    let operator = Operator::new(&masters, Encoding::Protobuf, seams.clone()).with_limit(GET_MASTER_LIMIT);
    Upid::parse(&operator.get_master().await.ok()?.pid?)
}
