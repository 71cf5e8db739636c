//! What passes a proxy, and what does not, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use seams::{BoxStream, Listener, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Effect, Host, HostNetwork, Switchboard};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes, where nothing may come for ever.
const SILENCE: Duration = Duration::from_millis(100);

struct Pair {
    switchboard: Arc<Switchboard>,
    listener: Box<dyn Listener>,
    client: HostNetwork,
}

impl Pair {
    async fn new() -> Pair {
        let switchboard = Switchboard::new();
        let server = HostNetwork::new(Arc::clone(&switchboard), Host::Hollow);
        let listener = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let client = HostNetwork::new(Arc::clone(&switchboard), Host::Clients);
        Pair {
            switchboard,
            listener,
            client,
        }
    }

    async fn connect(&mut self) -> (BoxStream, BoxStream) {
        let address = self.listener.local_addr().unwrap().to_string();
        let outbound = self.client.connect(&address).await.unwrap();
        let (inbound, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        (outbound, inbound)
    }
}

async fn receive(stream: &mut BoxStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn bytes_and_ends_pass_in_both_directions() {
    let mut pair = Pair::new().await;
    let (mut outbound, mut inbound) = pair.connect().await;
    outbound.write_all(b"there").await.unwrap();
    assert_eq!(receive(&mut inbound, 5).await, b"there");
    outbound.shutdown().await.unwrap();
    assert_eq!(timeout(PATIENCE, inbound.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    inbound.write_all(b"back").await.unwrap();
    assert_eq!(receive(&mut outbound, 4).await, b"back");
}

#[tokio::test]
async fn one_direction_is_held_and_goes_on_when_the_rule_is_gone() {
    let mut pair = Pair::new().await;
    let (mut outbound, mut inbound) = pair.connect().await;
    let rule = pair
        .switchboard
        .add(Effect::Block, |from, to| from == Host::Clients && to == Host::Hollow);
    outbound.write_all(b"held").await.unwrap();
    inbound.write_all(b"passes").await.unwrap();
    assert_eq!(receive(&mut outbound, 6).await, b"passes");
    assert!(timeout(SILENCE, inbound.read(&mut [0; 1])).await.is_err());
    // A connection made meanwhile does not arrive either.
    let address = pair.listener.local_addr().unwrap().to_string();
    let second = pair.client.connect(&address).await.unwrap();
    assert!(timeout(SILENCE, pair.listener.accept()).await.is_err());
    pair.switchboard.remove(rule);
    assert_eq!(receive(&mut inbound, 4).await, b"held");
    timeout(PATIENCE, pair.listener.accept()).await.unwrap().unwrap();
    drop(second);
}

#[tokio::test]
async fn a_reset_reaches_both_ends() {
    let mut pair = Pair::new().await;
    let (mut outbound, mut inbound) = pair.connect().await;
    outbound.write_all(b"x").await.unwrap();
    receive(&mut inbound, 1).await;
    assert_eq!(
        pair.switchboard
            .reset(|from, to| (from, to) == (Host::Hollow, Host::Clients)),
        0
    );
    assert_eq!(
        pair.switchboard
            .reset(|from, to| (from, to) == (Host::Clients, Host::Hollow)),
        1
    );
    for stream in [&mut outbound, &mut inbound] {
        let error = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn what_was_said_on_a_recorded_connection_is_kept() {
    let mut pair = Pair::new().await;
    pair.switchboard.add(Effect::Record, |from, _| from == Host::Clients);
    let (mut outbound, mut inbound) = pair.connect().await;
    outbound.write_all(b"again").await.unwrap();
    receive(&mut inbound, 5).await;
    let recordings = pair.switchboard.take_recordings();
    assert_eq!(recordings.len(), 1);
    assert_eq!(&recordings[0].bytes[..], b"again");
}
