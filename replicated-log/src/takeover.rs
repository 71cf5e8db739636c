//! stub
use crate::log::Raft;
use crate::network::Peers;
use crate::state_machine::StateMachine;
use crate::status::Status;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
pub(crate) async fn run<S: StateMachine>(
    _raft: Raft<S>,
    _peers: Peers,
    _status: watch::Receiver<Status>,
    _stop: CancellationToken,
) {
}
