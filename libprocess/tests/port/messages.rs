//! Messages as peers send them.

use libprocess::{Limits, Upid};
use tokio::io::AsyncWriteExt;

use crate::support::{Port, field, next, status_and_body};

const FROM: &str = "slave(1)@127.0.0.1:15061";

fn message(path: &str, body: &str) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nUser-Agent: libprocess/{FROM}\r\nLibprocess-From: {FROM}\r\nConnection: Keep-Alive\r\n\
         Host: 127.0.0.1:15051\r\n"
    );
    if body.is_empty() {
        return format!("{head}\r\n");
    }
    format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

#[tokio::test]
async fn message_of_an_unmodified_agent_is_delivered_and_accepted() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send(message("/master/mesos.internal.RegisterSlaveMessage", "body"))
        .await;
    let (head, _) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 202 Accepted\r\nDate: "), "{head}");
    assert_eq!(head.lines().count(), 4, "{head}");
    let message = next(&mut port.messages).await;
    assert_eq!(message.from, Upid::parse(FROM));
    assert_eq!(
        (message.to.as_str(), message.name.as_str()),
        ("master", "mesos.internal.RegisterSlaveMessage")
    );
    assert_eq!(message.body, "body");
}

#[tokio::test]
async fn message_without_body_and_length_is_delivered() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send(message("/slave(1)/mesos.internal.PongSlaveMessage", "")).await;
    raw.answer().await;
    let message = next(&mut port.messages).await;
    assert_eq!((message.to.as_str(), message.body.len()), ("slave(1)", 0));
}

#[tokio::test]
async fn only_posts_that_name_libprocess_are_messages() {
    let mut port = Port::start().await;
    for head in [
        "POST /master/X HTTP/1.1\r\nUser-Agent: libprocess/a@127.0.0.1:1\r\n\r\n",
        "POST /master/X HTTP/1.1\r\nlibprocess-from: a@127.0.0.1:1\r\n\r\n",
        "POST /%6daster/X?query=1 HTTP/1.1\r\nLibprocess-From:   a@127.0.0.1:1  \r\n\r\n",
        "POST //master/X HTTP/1.1\r\nUser-Agent: libprocess/b@127.0.0.1:1\r\nLibprocess-From: a@127.0.0.1:1\r\n\r\n",
    ] {
        assert_eq!(
            status_and_body(&port.exchange(head).await),
            ("202 Accepted", ""),
            "{head}"
        );
        let message = next(&mut port.messages).await;
        assert_eq!(
            (message.from, message.name.as_str()),
            (Upid::parse("a@127.0.0.1:1"), "X")
        );
    }
    for head in [
        "GET /master/X HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\n\r\n",
        "POST /master/X HTTP/1.1\r\nUser-Agent: curl libprocess/a@127.0.0.1:1\r\n\r\n",
    ] {
        assert_eq!(status_and_body(&port.exchange(head).await).0, "200 OK", "{head}");
        next(&mut port.requests).await;
    }
    assert!(port.messages.try_recv().is_err());
}

#[tokio::test]
async fn unparsable_senders_are_delivered_as_nobody() {
    let mut port = Port::start().await;
    for sender in ["", "nobody", "@0.0.0.0:0", "a@host:x"] {
        let head = format!("POST /master/X HTTP/1.1\r\nLibprocess-From: {sender}\r\n\r\n");
        assert_eq!(
            status_and_body(&port.exchange(&head).await).0,
            "202 Accepted",
            "{sender}"
        );
        assert_eq!(next(&mut port.messages).await.from, None);
    }
}

#[tokio::test]
async fn bad_targets_are_refused_with_the_texts_of_mesos() {
    let mut port = Port::start().await;
    for (path, status, text) in [
        ("/nobody/X", "404 Not Found", "404 Not Found."),
        ("/", "404 Not Found", "404 Not Found."),
        ("/../X", "404 Not Found", "404 Not Found."),
        ("*", "400 Bad Request", "Request URL path must start with '/'"),
        (
            "/%zz/X",
            "500 Internal Server Error",
            "Failed to decode URL path: Malformed % escape in '%zz': '%zz'",
        ),
    ] {
        assert_eq!(
            status_and_body(&port.exchange(message(path, "")).await),
            (status, text),
            "{path}"
        );
    }
    assert!(port.messages.try_recv().is_err());
}

#[tokio::test]
async fn empty_names_and_http_routes_are_messages_too() {
    let mut port = Port::start().await;
    for (path, name) in [
        ("/master", ""),
        ("/master/", ""),
        ("/master/api/v1/scheduler", "api/v1/scheduler"),
    ] {
        assert_eq!(
            status_and_body(&port.exchange(message(path, "")).await).0,
            "202 Accepted",
            "{path}"
        );
        assert_eq!(next(&mut port.messages).await.name, name);
    }
}

#[tokio::test]
async fn undecodable_bodies_are_not_delivered() {
    let mut port = Port::start().await;
    for request in [
        format!(
            "POST /master/X HTTP/1.1\r\nLibprocess-From: {FROM}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\n\r\n"
        ),
        format!("POST /master/X HTTP/1.1\r\nLibprocess-From: {FROM}\r\nContent-Encoding: gzip\r\n\r\n"),
    ] {
        let answer = port.exchange(&request).await;
        assert_eq!(
            status_and_body(&answer),
            ("500 Internal Server Error", "failed to decode body")
        );
    }
    assert!(port.messages.try_recv().is_err());
}

#[tokio::test]
async fn sender_that_closes_at_once_is_heard() {
    let mut port = Port::start_with(Limits::default(), true).await;
    for number in 0..20 {
        let mut raw = port.connect().await;
        raw.send(message(&format!("/master/{number}"), "body")).await;
        if number % 2 == 0 {
            raw.0.shutdown().await.unwrap();
        }
        drop(raw);
    }
    // Delivery begins only now, when every sender is gone.
    port.recorder.gate.add_permits(20);
    let mut names = Vec::new();
    for _ in 0..20 {
        names.push(next(&mut port.messages).await.name.parse::<u32>().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn half_closed_sender_gets_its_answer_after_delivery() {
    let mut port = Port::start_with(Limits::default(), true).await;
    let mut raw = port.connect().await;
    raw.send(message("/master/X", "body")).await;
    raw.0.shutdown().await.unwrap();
    port.recorder.gate.add_permits(1);
    assert_eq!(status_and_body(&raw.rest().await).0, "202 Accepted");
    assert!(
        port.messages.try_recv().is_ok(),
        "the answer must not come before the delivery"
    );
}

#[tokio::test]
async fn messages_of_one_connection_keep_their_order_among_requests() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    let mut requests = String::new();
    for number in 0..200 {
        requests += &message(&format!("/master/{number}"), "body");
        if number % 50 == 0 {
            requests += &format!("GET /{number} HTTP/1.1\r\n\r\n");
        }
    }
    raw.send(&requests).await;
    for number in 0..200 {
        assert_eq!(next(&mut port.messages).await.name, number.to_string());
        let (head, _) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
        if number % 50 == 0 {
            assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 "));
            assert_eq!(next(&mut port.requests).await.path, format!("/{number}"));
        }
    }
}

#[tokio::test]
async fn sender_that_never_reads_answers_is_heard() {
    let mut port = Port::start().await;
    let raw = port.connect().await;
    let (_unread, mut write) = raw.0.into_split();
    let sending = tokio::spawn(async move {
        for number in 0..5000 {
            write
                .write_all(message(&format!("/master/{number}"), "").as_bytes())
                .await
                .unwrap();
        }
        write
    });
    for number in 0..5000 {
        assert_eq!(next(&mut port.messages).await.name, number.to_string());
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn large_message_is_delivered() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    let body = "x".repeat(70 * 1024 * 1024);
    raw.send(message("/master/X", &body)).await;
    let (head, _) = raw.answer().await;
    assert_eq!(field(&head, "Content-Length"), Some("0"));
    assert_eq!(next(&mut port.messages).await.body.len(), body.len());
}
