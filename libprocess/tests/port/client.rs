//! The HTTP client against our server and against odd ones.

use bytes::Bytes;
use libprocess::{ClientError, HttpClient, Limits, Request};
use seams::Seams;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Port, Raw, bounded, loopback, next};

fn client() -> HttpClient {
    HttpClient::new(Seams::real())
}

/// Answers one connection with fixed bytes, then closes it.
async fn canned(answer: &'static str) -> String {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut raw = Raw(listener.accept().await.unwrap().0);
        raw.until("\r\n\r\n").await;
        raw.send(answer).await;
    });
    address
}

#[tokio::test]
async fn request_and_answer_arrive() {
    let mut port = Port::start().await;
    let address = port.address.to_string();
    let request = Request::post("/echo?x=1", "application/json", "{}").header("X-Test", "1");
    let response = bounded(client().request(&address, request)).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.headers.get("content-type"), Some("text/plain"));
    assert_eq!(bounded(response.body.collect(100)).await.unwrap(), "{}");
    let request = next(&mut port.requests).await;
    assert_eq!(
        (request.method, request.path.as_str(), request.query.as_deref()),
        ("POST", "/echo", Some("x=1"))
    );
    assert_eq!(request.headers.get("host"), Some(address.as_str()));
    assert_eq!(request.headers.get("x-test"), Some("1"));
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut port = Port::start().await;
    let (client, address) = (client(), port.address.to_string());
    for path in ["/echo", "/large", "/accepted"] {
        let response = bounded(client.request(&address, Request::get(path))).await.unwrap();
        bounded(response.body.collect(10_000_000)).await.unwrap();
    }
    let first = next(&mut port.requests).await.peer;
    assert_eq!(next(&mut port.requests).await.peer, first);
    assert_eq!(next(&mut port.requests).await.peer, first);
}

#[tokio::test]
async fn connection_closed_while_idle_is_replaced() {
    let port = Port::start_with(Limits::default(), false).await;
    let (client, address) = (client(), port.address);
    let response = bounded(client.request(&address.to_string(), Request::get("/accepted")))
        .await
        .unwrap();
    assert_eq!(response.status, 202);
    bounded(port.server.stop(std::time::Duration::ZERO)).await;
    let error = bounded(client.request(&address.to_string(), Request::get("/accepted")))
        .await
        .unwrap_err();
    assert!(error.was_not_sent(), "{error}");
}

#[tokio::test]
async fn stream_arrives_chunk_by_chunk_and_its_end_is_told() {
    let port = Port::start().await;
    let (sender, receiver) = mpsc::channel(10);
    *port.recorder.stream.lock().await = Some(receiver);
    let mut response = bounded(client().request(&port.address.to_string(), Request::post("/stream", "x", "")))
        .await
        .unwrap();
    for record in ["one", "two"] {
        sender.send(Bytes::from_static(record.as_bytes())).await.unwrap();
    }
    assert_eq!(bounded(response.body.chunk()).await.unwrap().unwrap(), "one");
    assert_eq!(bounded(response.body.chunk()).await.unwrap().unwrap(), "two");
    drop(sender);
    assert_eq!(bounded(response.body.chunk()).await.unwrap(), None);
    assert_eq!(bounded(response.body.chunk()).await.unwrap(), None);
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let port = Port::start().await;
    let (sender, receiver) = mpsc::channel(10);
    *port.recorder.stream.lock().await = Some(receiver);
    let response = bounded(client().request(&port.address.to_string(), Request::get("/stream")))
        .await
        .unwrap();
    drop(response);
    bounded(sender.closed()).await;
}

#[tokio::test]
async fn stream_cut_off_is_an_error() {
    let address = canned("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    let mut response = bounded(client().request(&address, Request::get("/"))).await.unwrap();
    assert_eq!(bounded(response.body.chunk()).await.unwrap().unwrap(), "one");
    let error = bounded(response.body.chunk()).await.unwrap_err();
    assert!(matches!(error, ClientError::ClosedEarly { .. }), "{error}");
}

#[tokio::test]
async fn interim_answers_are_skipped_and_bodies_may_end_with_the_connection() {
    let address = canned("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nX: y\r\n\r\nto the end").await;
    let response = bounded(client().request(&address, Request::get("/"))).await.unwrap();
    assert_eq!(bounded(response.body.collect(100)).await.unwrap(), "to the end");
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let port = Port::start().await;
    let (client, address) = (client(), port.address.to_string());
    for _ in 0..2 {
        let response = bounded(client.request(&address, Request::new("HEAD", "/large")))
            .await
            .unwrap();
        assert_eq!(response.headers.get("Content-Length"), Some("3000000"));
        assert_eq!(bounded(response.body.collect(0)).await.unwrap(), "");
    }
}

#[tokio::test]
async fn too_long_a_body_is_refused() {
    let port = Port::start().await;
    let response = bounded(client().request(&port.address.to_string(), Request::get("/large")))
        .await
        .unwrap();
    let error = bounded(response.body.collect(1000)).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 1000, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    for answer in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let address = canned(answer).await;
        let error = bounded(client().request(&address, Request::get("/")))
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{answer}: {error}");
    }
    let address = canned("").await;
    let error = bounded(client().request(&address, Request::get("/")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::ClosedEarly { .. } | ClientError::Lost { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn answer_to_a_refused_body_is_read() {
    let limits = Limits {
        max_body_bytes: 1000,
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let request = Request::post("/echo", "x", vec![0; 10_000_000]);
    let response = bounded(client().request(&port.address.to_string(), request))
        .await
        .unwrap();
    assert_eq!(response.status, 413);
}
