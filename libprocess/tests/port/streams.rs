//! Streams: one chunk per record, clean and unclean ends, peers that leave.

use std::time::Duration;

use bytes::Bytes;
use libprocess::{Limits, StreamItem};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::{Port, Raw, bounded, field, next};

const SUBSCRIBE: &str = "POST /stream HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n";

async fn subscribe(port: &Port, capacity: usize) -> (Raw, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel(capacity);
    *port.recorder.stream.lock().await = Some(receiver);
    let mut raw = port.connect().await;
    raw.send(SUBSCRIBE).await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"));
    assert_eq!(field(&head, "Content-Length"), None);
    assert_eq!(field(&head, "Content-Encoding"), None);
    (raw, sender)
}

#[tokio::test]
async fn each_record_is_one_chunk_and_sent_at_once() {
    let port = Port::start().await;
    let (mut raw, sender) = subscribe(&port, 100).await;
    for record in ["7\n{\"a\":1}", "2\n{}"] {
        sender.send(Bytes::from_static(record.as_bytes())).await.unwrap();
        let chunk = format!("{:x}\r\n{record}\r\n", record.len());
        assert_eq!(raw.until(&chunk).await, chunk);
    }
    // Records that are ready together keep their chunks, empty ones are no end.
    for record in ["one", "", "two"] {
        sender.send(Bytes::from_static(record.as_bytes())).await.unwrap();
    }
    drop(sender);
    assert_eq!(raw.until("0\r\n\r\n").await, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn connection_is_usable_after_a_clean_end() {
    let port = Port::start().await;
    let (mut raw, sender) = subscribe(&port, 1).await;
    raw.send("GET /behind HTTP/1.1\r\n\r\n").await;
    drop(sender);
    assert_eq!(raw.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn half_close_ends_a_stream_at_once() {
    let mut port = Port::start().await;
    let (mut raw, sender) = subscribe(&port, 1).await;
    let request = next(&mut port.requests).await;
    assert!(!request.closed.is_closed());
    raw.0.shutdown().await.unwrap();
    bounded(request.closed.closed()).await;
    bounded(sender.closed()).await;
    assert_eq!(raw.rest().await, "", "no clean end for a peer that has left");
}

#[tokio::test]
async fn half_close_together_with_the_request_ends_a_stream_at_once() {
    let mut port = Port::start().await;
    let (sender, receiver) = mpsc::channel(1);
    *port.recorder.stream.lock().await = Some(receiver);
    let mut raw = port.connect().await;
    raw.send(SUBSCRIBE).await;
    raw.0.shutdown().await.unwrap();
    bounded(sender.closed()).await;
    assert!(next(&mut port.requests).await.closed.is_closed());
}

#[tokio::test]
async fn peer_that_leaves_while_its_stream_is_stuck_is_noticed() {
    let port = Port::start().await;
    let (raw, sender) = subscribe(&port, 1).await;
    let filling = tokio::spawn(async move { while sender.send(Bytes::from(vec![0; 100_000])).await.is_ok() {} });
    raw.0.set_zero_linger().unwrap();
    drop(raw);
    bounded(filling).await.unwrap();
}

#[tokio::test]
async fn slow_reader_holds_a_bounded_amount() {
    let port = Port::start().await;
    let (mut raw, sender) = subscribe(&port, 1).await;
    let record = Bytes::from(vec![b'x'; 60_000]);
    let mut accepted = 0;
    // The reader takes nothing: the channel must fill once the kernel's buffers have.
    while tokio::time::timeout(Duration::from_millis(500), sender.send(record.clone()))
        .await
        .is_ok()
    {
        accepted += record.len();
        assert!(accepted < 64 * 1024 * 1024, "a slow reader must slow the producer");
    }
    drop(sender);
    let received = raw.until("0\r\n\r\n").await;
    assert_eq!(received.matches('x').count(), accepted);
}

#[tokio::test]
async fn reader_that_takes_nothing_is_given_up() {
    let limits = Limits {
        write_stall_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let (_raw, sender) = subscribe(&port, 1).await;
    bounded(async { while sender.send(Bytes::from(vec![0; 100_000])).await.is_ok() {} }).await;
}

#[tokio::test]
async fn aborted_stream_has_no_final_chunk() {
    let port = Port::start().await;
    let (sender, receiver) = mpsc::channel(10);
    *port.recorder.abortable.lock().await = Some(receiver);
    let mut raw = port.connect().await;
    raw.send("GET /abortable HTTP/1.1\r\n\r\n").await;
    raw.until("\r\n\r\n").await;
    sender
        .send(StreamItem::Chunk(Bytes::from_static(b"one")))
        .await
        .unwrap();
    raw.until("3\r\none\r\n").await;
    sender.send(StreamItem::Abort).await.unwrap();
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn stopping_ends_streams_cleanly_after_what_is_queued() {
    let port = Port::start().await;
    let (mut raw, sender) = subscribe(&port, 10).await;
    for record in ["one", "two"] {
        sender.send(Bytes::from_static(record.as_bytes())).await.unwrap();
    }
    let stopping = tokio::spawn(port.server.stop(Duration::from_secs(60)));
    assert_eq!(raw.until("0\r\n\r\n").await, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(raw.rest().await, "");
    drop(raw);
    bounded(stopping).await.unwrap();
    bounded(sender.closed()).await;
}

#[tokio::test]
async fn old_http_gets_a_chunked_stream_and_then_the_close() {
    let port = Port::start().await;
    let (sender, receiver) = mpsc::channel(1);
    *port.recorder.stream.lock().await = Some(receiver);
    sender.send(Bytes::from_static(b"one")).await.unwrap();
    drop(sender);
    let answer = port.exchange_open("POST /stream HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n3\r\none\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn head_of_a_stream_has_no_body() {
    let port = Port::start().await;
    let (sender, receiver) = mpsc::channel(1);
    *port.recorder.stream.lock().await = Some(receiver);
    let mut raw = port.connect().await;
    raw.send("HEAD /stream HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
        .await;
    raw.until("\r\n\r\n").await;
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 OK\r\n"));
    bounded(sender.closed()).await;
}
