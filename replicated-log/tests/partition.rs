//! Silence: connections that carry nothing any more, although nobody closed them.

#![allow(clippy::unwrap_used)]

mod support;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use replicated_log::{ProposeError, ReplicatedLog};
use seams::{BoxStream, Listener, Network, Seams, TokioNetwork};
use support::{Cluster, Recorder, Replica, command, configs, wait_for};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A network that can be cut. While it is, nothing gets through and nobody is told; connections from before stay
/// silent for ever, new ones work once it is whole again.
#[derive(Clone, Debug)]
struct Cuttable {
    network: TokioNetwork,
    /// Odd while cut; a connection works as long as this has its value.
    epoch: Arc<AtomicU64>,
}

impl Cuttable {
    fn new() -> Self {
        Cuttable {
            network: TokioNetwork,
            epoch: Arc::default(),
        }
    }

    fn seams(&self) -> Seams {
        Seams {
            network: Arc::new(self.clone()),
            ..Seams::real()
        }
    }

    /// Cuts, or makes whole again.
    fn toggle(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn wrap(&self, stream: BoxStream) -> BoxStream {
        let born = self.epoch.load(Ordering::SeqCst);
        Box::new(Mutable {
            stream,
            born,
            epoch: Arc::clone(&self.epoch),
        })
    }
}

impl Network for Cuttable {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.network.listen(address).await?;
            Ok(Box::new(CuttableListener {
                listener,
                cuttable: self.clone(),
            }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            while self.epoch.load(Ordering::SeqCst) % 2 == 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(self.wrap(self.network.connect(address).await?))
        })
    }
}

#[derive(Debug)]
struct CuttableListener {
    listener: Box<dyn Listener>,
    cuttable: Cuttable,
}

impl Listener for CuttableListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            Ok((self.cuttable.wrap(stream), peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct Mutable {
    stream: BoxStream,
    born: u64,
    epoch: Arc<AtomicU64>,
}

impl Mutable {
    fn is_mute(&self) -> bool {
        self.born % 2 == 1 || self.epoch.load(Ordering::SeqCst) != self.born
    }
}

impl AsyncRead for Mutable {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_mute() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, out);
        if polled.is_ready() && self.is_mute() {
            out.set_filled(before);
            return Poll::Pending;
        }
        polled
    }
}

impl AsyncWrite for Mutable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_mute() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn three() -> (Cluster, Vec<Cuttable>) {
    support::trace();
    let mut configs = configs(3, None);
    for config in &mut configs {
        config.propose_timeout = Duration::from_secs(3);
        config.read_timeout = Duration::from_secs(3);
    }
    let mut cluster = Cluster {
        replicas: configs.into_iter().map(Replica::new).collect(),
    };
    let networks: Vec<Cuttable> = cluster.replicas.iter().map(|_| Cuttable::new()).collect();
    for (replica, network) in cluster.replicas.iter_mut().zip(&networks) {
        let log = ReplicatedLog::<Recorder>::start(replica.config.clone(), network.seams(), replica.machine.clone());
        replica.log = Some(log.await.unwrap());
    }
    cluster.leader().await;
    (cluster, networks)
}

fn others(node_id: u64) -> [u64; 2] {
    [1 + node_id % 3, 1 + (node_id + 1) % 3]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_leader_is_replaced_and_acknowledges_nothing() {
    let (cluster, networks) = three().await;
    cluster.propose("before").await;
    let old = cluster.leader().await;
    let term = cluster.replica(old).log().status().borrow().term;
    networks[old as usize - 1].toggle();
    let lost = cluster.replica(old).log().propose(command("lost")).await.unwrap_err();
    assert!(
        matches!(lost, ProposeError::Unknown | ProposeError::Unavailable { .. }),
        "{lost}"
    );
    cluster.replica(old).log().read_barrier().await.unwrap_err();
    let mut new = old;
    for other in others(old) {
        let elected = |status: &replicated_log::Status| status.term > term && status.leader.is_some_and(|id| id != old);
        new = wait_for(cluster.replica(other).log(), "another leads", elected)
            .await
            .leader
            .unwrap();
    }
    cluster.replica(new).log().propose(command("after")).await.unwrap();
    // Whole again, the old leader follows, and what it could not commit is gone.
    networks[old as usize - 1].toggle();
    cluster.leader().await;
    assert_eq!(cluster.settled().await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_cut_off_names_no_leader_until_it_hears_of_one() {
    let (cluster, networks) = three().await;
    let leader = cluster.leader().await;
    let follower = others(leader)[0];
    let log = cluster.replica(follower).log();
    wait_for(log, "it follows", |status| status.leader == Some(leader)).await;
    networks[follower as usize - 1].toggle();
    wait_for(log, "it names nobody", |status| status.leader.is_none()).await;
    networks[follower as usize - 1].toggle();
    wait_for(log, "it follows again", |status| status.leader.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_follower_comes_back_without_a_new_term() {
    let (cluster, networks) = three().await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let follower = others(leader)[0];
    let term = cluster.replica(leader).log().status().borrow().term;
    networks[follower as usize - 1].toggle();
    // A read that waits in vain lasts for several campaigns, each of which would raise the term without pre-vote.
    cluster.replica(follower).log().read_barrier().await.unwrap_err();
    for number in 0..50 {
        cluster
            .replica(leader)
            .log()
            .propose(command(number.to_string()))
            .await
            .unwrap();
    }
    networks[follower as usize - 1].toggle();
    assert_eq!(cluster.settled().await.len(), 51);
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.replica(leader).log().status().borrow().term, term);
}
