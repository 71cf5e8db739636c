//! Outbound messages and the ends of links.

use std::net::SocketAddrV4;

use bytes::Bytes;
use libprocess::{Exited, Limits, Links, Upid};
use seams::Seams;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Port, Raw, bounded, loopback, next};

const SELF: &str = "127.0.0.1:5050";

fn links() -> (Links, mpsc::Receiver<Exited>) {
    let (sender, exited) = mpsc::channel(16);
    (Links::new(Seams::real(), SELF.parse().unwrap(), sender), exited)
}

async fn listener() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

fn master_at(address: SocketAddrV4) -> Upid {
    Upid::new("master", address)
}

#[tokio::test]
async fn linked_messages_arrive_in_order_with_the_advertised_sender() {
    let mut port = Port::start().await;
    let (links, mut exited) = links();
    links.link(port.v4());
    for number in 0..1000 {
        links.send(
            "slave(1)",
            &master_at(port.v4()),
            &number.to_string(),
            Bytes::from(vec![b'x'; number]),
        );
    }
    for number in 0..1000 {
        let message = next(&mut port.messages).await;
        assert_eq!(
            (message.name.as_str(), message.body.len()),
            (number.to_string().as_str(), number)
        );
        assert_eq!(message.from, Upid::parse("slave(1)@127.0.0.1:5050"));
    }
    assert!(exited.try_recv().is_err());
}

#[tokio::test]
async fn unlinked_messages_arrive_in_order_and_their_connections_close() {
    let mut port = Port::start().await;
    let (links, mut exited) = links();
    for round in 0..50 {
        links.send("a", &master_at(port.v4()), &(2 * round).to_string(), Bytes::new());
        links.send(
            "b",
            &master_at(port.v4()),
            &(2 * round + 1).to_string(),
            Bytes::from_static(b"body"),
        );
        assert_eq!(next(&mut port.messages).await.name, (2 * round).to_string());
        assert_eq!(next(&mut port.messages).await.name, (2 * round + 1).to_string());
    }
    assert!(!links.is_linked(port.v4()));
    assert!(exited.try_recv().is_err());
}

#[tokio::test]
async fn temporary_connection_is_closed_by_the_sender_after_the_last_message() {
    let (listener, address) = listener().await;
    let (links, _exited) = links();
    links.send("a", &master_at(address), "X", Bytes::new());
    let mut raw = Raw(bounded(listener.accept()).await.unwrap().0);
    assert!(raw.rest().await.starts_with("POST /master/X HTTP/1.1\r\n"));
}

#[tokio::test]
async fn end_of_the_peer_is_reported_once_and_the_link_forgotten() {
    let (listener, address) = listener().await;
    let (links, mut exited) = links();
    let generation = links.link(address);
    assert_eq!(links.link(address), generation, "a second link joins the first");
    let (stream, _) = bounded(listener.accept()).await.unwrap();
    assert!(links.is_linked(address));
    drop(stream);
    assert_eq!(next(&mut exited).await, Exited { address, generation });
    assert!(!links.is_linked(address));
    let again = links.link(address);
    assert!(again > generation);
    drop(bounded(listener.accept()).await.unwrap());
    assert_eq!(
        next(&mut exited).await,
        Exited {
            address,
            generation: again
        }
    );
    assert!(exited.try_recv().is_err());
}

#[tokio::test]
async fn half_close_of_the_peer_is_its_end() {
    let (listener, address) = listener().await;
    let (links, mut exited) = links();
    let generation = links.link(address);
    let (mut stream, _) = bounded(listener.accept()).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    assert_eq!(next(&mut exited).await, Exited { address, generation });
}

#[tokio::test]
async fn refused_connection_is_an_end() {
    let (listener, address) = listener().await;
    drop(listener);
    let (links, mut exited) = links();
    let generation = links.link(address);
    links.send("a", &master_at(address), "X", Bytes::new());
    assert_eq!(next(&mut exited).await, Exited { address, generation });
    // Without a link a refused connection loses the message silently.
    links.send("a", &master_at(address), "X", Bytes::new());
    tokio::task::yield_now().await;
    assert!(exited.try_recv().is_err());
}

#[tokio::test]
async fn unlinking_sends_what_is_queued_and_reports_nothing() {
    let mut port = Port::start().await;
    let (links, mut exited) = links();
    links.link(port.v4());
    links.send("a", &master_at(port.v4()), "last", Bytes::from_static(b"words"));
    links.unlink(port.v4());
    assert_eq!(next(&mut port.messages).await.name, "last");
    assert!(!links.is_linked(port.v4()));
    drop(links);
    // The sender of the channel goes with the last task; nothing was reported.
    assert_eq!(bounded(exited.recv()).await, None);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_links() {
    let (listener, address) = listener().await;
    let (links, mut exited) = links();
    links.link(address);
    let (stream, _) = bounded(listener.accept()).await.unwrap();
    let clone = links.clone();
    drop(links);
    assert!(clone.is_linked(address));
    drop(clone);
    assert_eq!(Raw(stream).rest().await, "");
    assert_eq!(bounded(exited.recv()).await, None);
}

#[tokio::test]
async fn peer_that_takes_nothing_breaks_its_link() {
    let (listener, address) = listener().await;
    let (links, mut exited) = links();
    let generation = links.link(address);
    let (_stuck, _) = bounded(listener.accept()).await.unwrap();
    let body = Bytes::from(vec![0; 1024 * 1024]);
    let mut sent = 0;
    while exited.is_empty() {
        links.send("a", &master_at(address), "X", body.clone());
        sent += 1;
        assert!(sent < 1000, "a peer that takes nothing must not fill the memory");
        tokio::task::yield_now().await;
    }
    assert_eq!(next(&mut exited).await, Exited { address, generation });
}

#[tokio::test]
async fn answers_are_thrown_away_however_they_look() {
    let (listener, address) = listener().await;
    let (links, mut exited) = links();
    links.link(address);
    let mut raw = Raw(bounded(listener.accept()).await.unwrap().0);
    raw.send("HTTP/1.1 404 Not Found\r\n\r\ngarbage").await;
    raw.send(vec![0; 1_000_000]).await;
    links.send("a", &master_at(address), "X", Bytes::new());
    raw.until("\r\n\r\n").await;
    assert!(exited.try_recv().is_err());
}

#[tokio::test]
async fn stopped_server_ends_the_links_to_it() {
    let port = Port::start_with(Limits::default(), false).await;
    let (links, mut exited) = links();
    let address = port.v4();
    let generation = links.link(address);
    drop(port);
    assert_eq!(next(&mut exited).await, Exited { address, generation });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_sender_keeps_its_order_while_links_come_and_go() {
    const SENDERS: usize = 8;
    const MESSAGES: usize = 500;
    let mut port = Port::start().await;
    let (links, mut exited) = links();
    let address = port.v4();
    links.link(address);
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let links = links.clone();
        senders.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                links.send(
                    &format!("sender-{sender}"),
                    &master_at(address),
                    &number.to_string(),
                    Bytes::new(),
                );
                if number % 100 == 0 {
                    // Links to somebody else must not disturb: this one is refused at once.
                    links.link(SocketAddrV4::new(*address.ip(), 1));
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for sender in senders {
        bounded(sender).await.unwrap();
    }
    let mut awaited = [0; SENDERS];
    for _ in 0..SENDERS * MESSAGES {
        let message = next(&mut port.messages).await;
        let id = message.from.unwrap().id;
        let sender: usize = id.strip_prefix("sender-").unwrap().parse().unwrap();
        assert_eq!(message.name, awaited[sender].to_string(), "{id}");
        awaited[sender] += 1;
    }
    // Each refused link was reported, each generation once.
    drop(links);
    let mut generations = Vec::new();
    while let Some(end) = bounded(exited.recv()).await {
        assert_eq!(end.address.port(), 1);
        generations.push(end.generation);
    }
    assert!(!generations.is_empty());
    let count = generations.len();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), count);
}
