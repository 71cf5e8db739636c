//! Peers that neither answer nor close, on simulated time and an in-memory network.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use libprocess::{Exited, Links, Upid};
use seams::{BoxStream, Listener, Network, Seams};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A network on which every connect succeeds with a pipe of a few bytes that nobody reads, or never returns.
#[derive(Debug)]
struct Silent {
    connects: bool,
    peers: Mutex<Vec<DuplexStream>>,
}

impl Network for Silent {
    fn listen(&self, _address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into())).boxed()
    }

    fn connect<'a>(&'a self, _address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        if !self.connects {
            return std::future::pending().boxed();
        }
        let (ours, theirs) = tokio::io::duplex(16);
        self.peers.lock().unwrap().push(theirs);
        std::future::ready(Ok(Box::new(ours) as BoxStream)).boxed()
    }
}

fn links(connects: bool) -> (Links, mpsc::Receiver<Exited>) {
    let network = Arc::new(Silent {
        connects,
        peers: Mutex::default(),
    });
    let (sender, exited) = mpsc::channel(1);
    (
        Links::new(
            Seams {
                network,
                ..Seams::real()
            },
            "127.0.0.1:5050".parse().unwrap(),
            sender,
        ),
        exited,
    )
}

fn peer() -> Upid {
    Upid::parse("slave(1)@10.0.0.1:5051").unwrap()
}

#[tokio::test(start_paused = true)]
async fn host_that_does_not_answer_has_exited_within_bounds() {
    let (links, mut exited) = links(false);
    let began = Instant::now();
    let generation = links.link(peer().address);
    assert_eq!(
        exited.recv().await,
        Some(Exited {
            address: peer().address,
            generation
        })
    );
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn linked_peer_may_be_silent_for_ever() {
    let (links, mut exited) = links(true);
    links.link(peer().address);
    links.send("master", &peer(), "X", Bytes::from(vec![0; 1000]));
    assert!(
        tokio::time::timeout(Duration::from_secs(86_400), exited.recv())
            .await
            .is_err()
    );
    assert!(links.is_linked(peer().address));
}

#[tokio::test(start_paused = true)]
async fn link_given_up_does_not_wait_for_ever_for_its_peer() {
    let (links, mut exited) = links(true);
    links.link(peer().address);
    links.send("master", &peer(), "X", Bytes::from(vec![0; 1000]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(links);
    // The channel ends with the link's task; nothing is reported.
    let ended = tokio::time::timeout(Duration::from_secs(60), exited.recv()).await;
    assert_eq!(ended, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn temporary_connections_do_not_wait_for_ever() {
    for connects in [false, true] {
        let (links, mut exited) = links(connects);
        links.send("master", &peer(), "X", Bytes::from(vec![0; 1000]));
        drop(links);
        let ended = tokio::time::timeout(Duration::from_secs(600), exited.recv()).await;
        assert_eq!(ended, Ok(None), "{connects}");
    }
}
