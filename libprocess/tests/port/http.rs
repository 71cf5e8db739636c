//! Plain HTTP: one test for each row of what Mesos answers to edge-case input at this layer.

use std::io::Write;
use std::time::Duration;

use libprocess::Limits;
use tokio::io::AsyncWriteExt;

use crate::support::{Port, bounded, field, next, status_and_body};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST /echo HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

#[tokio::test]
async fn answer_has_date_and_length_and_keeps_the_connection() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    for round in 0..3 {
        raw.send(post("", b"hello")).await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{round}: {head}");
        assert!(field(&head, "Date").unwrap().ends_with(" GMT"));
        assert_eq!(field(&head, "Connection"), None);
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn accepted_answer_has_date_and_zero_length_only() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("POST /accepted HTTP/1.1\r\n\r\n").await;
    let (head, _) = raw.answer().await;
    let names: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert!(head.starts_with("HTTP/1.1 202 Accepted\r\n"));
    assert_eq!(names, ["Date", "Content-Length"]);
}

#[tokio::test]
async fn post_without_any_length_has_an_empty_body() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.1, "");
    assert!(next(&mut port.requests).await.body.is_empty());
}

#[tokio::test]
async fn chunked_bodies_are_joined_and_extensions_ignored() {
    let port = Port::start().await;
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n1\r\nl\r\n2;x=\"y\"\r\nlo\r\n0\r\n\r\n",
        "0005 \r\nhello\r\n000\r\n\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let answer = port.exchange(&request).await;
        assert_eq!(status_and_body(&answer), ("200 OK", "hello"), "{body}");
    }
}

#[tokio::test]
async fn trailer_is_refused_and_the_connection_stays_usable() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n")
        .await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert_eq!(field(&head, "Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(body, "failed to decode body");
    raw.send(post("", b"again")).await;
    assert_eq!(raw.answer().await.1, "again");
}

#[tokio::test]
async fn what_is_no_http_is_closed_unanswered() {
    let port = Port::start().await;
    let long_url = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    let unended = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100_000));
    for request in [
        "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "POST /echo HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "garbage\r\n\r\n",
        "garbage without an end",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "get",
        "BREW /pot HTTP/1.1\r\n\r\n",
        "GET state HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/x.y\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \0\r\n",
        "GET /?x=%zz HTTP/1.1\r\n\r\n",
        "GET /?x=%4 HTTP/1.1\r\n\r\n",
        &long_url,
        &long_header,
        &unended,
    ] {
        let answer = port.exchange_open(request).await;
        assert_eq!(answer, "", "{}", &request[..request.len().min(80)]);
    }
}

#[tokio::test]
async fn what_was_answered_before_garbage_still_arrives() {
    let port = Port::start().await;
    let answer = port.exchange_open("GET /echo HTTP/1.1\r\n\r\nGARBAGE\r\n\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn unusual_but_accepted_requests_are_answered() {
    let port = Port::start().await;
    let long = format!("GET /echo HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(80_900));
    let many: String = (0..500).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let many = format!("GET /echo HTTP/1.1\r\n{many}\r\n");
    for request in [
        "GET /echo HTTP/3.7\r\n\r\n",
        "GET /echo HTTP/1.1\nHost: x\n\n",
        "GET http://host:5050/echo HTTP/1.1\r\n\r\n",
        "\r\n\r\nGET /echo HTTP/1.1\r\n\r\n",
        "GET  /echo  HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nOrigin: http://x\r\n\r\n",
        "GET /echo#fragment HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nX: caf\u{e9}\r\n\r\n",
        "OPTIONS /echo HTTP/1.1\r\n\r\n",
        "CONNECT /echo HTTP/1.1\r\n\r\n",
        "GET //echo HTTP/1.1\r\n\r\n",
        "GET ///echo?x=%41 HTTP/1.1\r\n\r\n",
        &long,
        &many,
    ] {
        let answer = port.exchange(request).await;
        assert_eq!(
            status_and_body(&answer).0,
            "200 OK",
            "{}",
            &request[..request.len().min(80)]
        );
    }
}

#[tokio::test]
async fn handler_sees_the_raw_path_with_collapsed_slashes_and_the_query() {
    let mut port = Port::start().await;
    port.exchange("GET //api//v1/%61?x=%41&y HTTP/1.1\r\nX-Test: 1\r\n\r\n")
        .await;
    let request = next(&mut port.requests).await;
    assert_eq!((request.method, request.path.as_str()), ("GET", "/api//v1/%61"));
    assert_eq!(request.query.as_deref(), Some("x=%41&y"));
    assert_eq!(request.headers.get("x-test"), Some("1"));
    assert_eq!(request.peer.ip(), port.address.ip());
}

#[tokio::test]
async fn bad_paths_are_refused_with_the_texts_of_mesos() {
    let port = Port::start().await;
    for (request, status, text) in [
        (
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "400 Bad Request",
            "Request URL path must start with '/'",
        ),
        ("GET /../x HTTP/1.1\r\n\r\n", "404 Not Found", "404 Not Found."),
        ("GET /a/..b HTTP/1.1\r\n\r\n", "404 Not Found", "404 Not Found."),
        ("GET /%zz/x HTTP/1.1\r\n\r\n", "404 Not Found", "404 Not Found."),
    ] {
        let answer = port.exchange(request).await;
        assert_eq!(status_and_body(&answer), (status, text), "{request}");
    }
}

#[tokio::test]
async fn gzip_bodies_are_inflated_and_others_refused() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send(post("Content-Encoding: gzip\r\n", &gzip(b"hello"))).await;
    assert_eq!(raw.answer().await.1, "hello");
    raw.send(post("Content-Encoding: gzip\r\n", b"{}")).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert_eq!(body, "failed to decode body");
    raw.send(post("Content-Encoding: deflate\r\n", b"as it is")).await;
    assert_eq!(raw.answer().await.1, "as it is");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_with_both_values() {
    let limits = Limits {
        max_body_bytes: 10,
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let zeros = gzip(&[0; 1000]);
    assert!(zeros.len() > 10);
    for (request, text) in [
        (
            post("", b"hello world"),
            "body of 11 bytes exceeds the limit of 10 bytes",
        ),
        (
            b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n7\r\n".to_vec(),
            "body of 13 bytes exceeds the limit of 10 bytes",
        ),
        (
            b"POST /echo HTTP/1.1\r\nContent-Length: 300000000\r\n\r\n".to_vec(),
            "body of 300000000 bytes exceeds the limit of 10 bytes",
        ),
    ] {
        let mut raw = port.connect().await;
        raw.send(request).await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(field(&head, "Connection"), Some("close"));
        assert_eq!(body, text);
        raw.0.shutdown().await.unwrap();
        assert_eq!(raw.rest().await, "");
    }
}

#[tokio::test]
async fn small_bodies_cannot_inflate_beyond_the_limit() {
    let limits = Limits {
        max_body_bytes: 100_000,
        ..Limits::default()
    };
    let mut port = Port::start_with(limits, false).await;
    let bomb = gzip(&vec![0; 10_000_000]);
    let answer = port.exchange(post("Content-Encoding: gzip\r\n", &bomb)).await;
    assert_eq!(status_and_body(&answer).0, "413 Request Entity Too Large");
    assert!(
        answer.ends_with("inflates beyond the limit of 100000 bytes"),
        "{answer}"
    );
    assert!(port.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_large_body_refused_early_still_gets_its_answer() {
    let limits = Limits {
        max_body_bytes: 1000,
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let answer = port.exchange(post("", &vec![0; 5_000_000])).await;
    assert_eq!(
        status_and_body(&answer).1,
        "body of 5000000 bytes exceeds the limit of 1000 bytes"
    );
}

#[tokio::test]
async fn expectation_of_continue_is_ignored() {
    let port = Port::start().await;
    let answer = port.exchange(post("Expect: 100-continue\r\n", b"body")).await;
    assert_eq!(status_and_body(&answer), ("200 OK", "body"));
}

#[tokio::test]
async fn old_http_is_closed_unless_asked_otherwise() {
    let port = Port::start().await;
    let answer = port.exchange_open("GET /echo HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut raw = port.connect().await;
    for _ in 0..2 {
        raw.send("GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
        assert_eq!(field(&raw.answer().await.0, "Connection"), Some("keep-alive"));
    }
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let port = Port::start().await;
    let answer = port
        .exchange_open("GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(field(&answer, "Connection"), Some("close"));
    assert_eq!(answer.matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    let mut requests = Vec::new();
    for number in 0..50 {
        requests.extend_from_slice(&post("", number.to_string().as_bytes()));
    }
    raw.send(&requests).await;
    for number in 0..50 {
        assert_eq!(raw.answer().await.1, number.to_string());
    }
}

#[tokio::test]
async fn head_gets_the_headers_without_the_body() {
    let port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("HEAD /large HTTP/1.1\r\n\r\nHEAD /../x HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
        .await;
    let head = raw.until("\r\n\r\n").await;
    assert_eq!(field(&head, "Content-Length"), Some("3000000"));
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(field(&head, "Content-Length"), Some("14"));
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn long_bodies_are_compressed_if_accepted() {
    let port = Port::start().await;
    for (length, accepted, is_compressed) in [
        (1023, "gzip", false),
        (1024, "deflate, gzip", true),
        (1024, "deflate", false),
        (400_000, "gzip", true),
    ] {
        let request = post(
            &format!("Connection: close\r\nAccept-Encoding: {accepted}\r\n"),
            &vec![b'a'; length],
        );
        let answer = port.exchange_open(&request).await;
        assert_eq!(
            field(&answer, "Content-Encoding") == Some("gzip"),
            is_compressed,
            "{length} {accepted}"
        );
        let sent: usize = field(&answer, "Content-Length").unwrap().parse().unwrap();
        assert_eq!(sent == length, !is_compressed);
    }
}

#[tokio::test]
async fn half_closed_request_is_carried_out_and_answered() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("GET /wait HTTP/1.1\r\n\r\n").await;
    raw.0.shutdown().await.unwrap();
    let request = next(&mut port.requests).await;
    bounded(request.closed.closed()).await;
    port.recorder.gate.add_permits(1);
    assert_eq!(status_and_body(&raw.rest().await), ("200 OK", "waited"));
}

#[tokio::test]
async fn request_of_a_vanished_peer_is_carried_out() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("GET /wait HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n").await;
    let request = next(&mut port.requests).await;
    assert!(!request.closed.is_closed());
    raw.0.set_zero_linger().unwrap();
    drop(raw);
    bounded(request.closed.closed()).await;
    port.recorder.gate.add_permits(1);
    // The handler was not dropped, and the request behind it was read, so it is carried out too.
    assert_eq!(next(&mut port.requests).await.path, "/echo");
}

#[tokio::test]
async fn peer_is_seen_leaving_after_the_answer() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("GET /echo HTTP/1.1\r\n\r\n").await;
    raw.answer().await;
    let request = next(&mut port.requests).await;
    assert!(!request.closed.is_closed());
    drop(raw);
    bounded(request.closed.closed()).await;
}

#[tokio::test]
async fn large_answer_arrives_whole() {
    let port = Port::start().await;
    let answer = port
        .exchange("GET /large HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n")
        .await;
    let (status, body) = status_and_body(&answer);
    assert_eq!(status, "200 OK");
    assert_eq!(body.find("HTTP/1.1"), Some(3_000_000));
}

#[tokio::test]
async fn unfinished_heads_and_bodies_are_given_up_but_idle_connections_are_kept() {
    let limits = Limits {
        head_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let mut idle = port.connect().await;
    idle.send("GET /echo HTTP/1.1\r\n\r\n").await;
    idle.answer().await;
    assert_eq!(port.exchange_open("GET /echo HT").await, "");
    assert_eq!(
        port.exchange_open("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhi")
            .await,
        ""
    );
    idle.send("GET /echo HTTP/1.1\r\n\r\n").await;
    assert!(idle.answer().await.0.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_room_is_reused() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let port = Port::start_with(limits, false).await;
    let mut first = port.connect().await;
    first.send("GET /echo HTTP/1.1\r\n\r\n").await;
    first.answer().await;
    assert_eq!(port.connect().await.rest().await, "");
    drop(first);
    bounded(async {
        while !port
            .exchange("GET /echo HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_panicking_handler_closes_only_its_connection() {
    let port = Port::start().await;
    assert_eq!(port.exchange_open("GET /panic HTTP/1.1\r\n\r\n").await, "");
    assert_eq!(
        status_and_body(&port.exchange("GET /echo HTTP/1.1\r\n\r\n").await).0,
        "200 OK"
    );
}

#[tokio::test]
async fn stopping_answers_what_was_asked_and_closes_what_is_idle() {
    let mut port = Port::start().await;
    let (mut busy, mut idle) = (port.connect().await, port.connect().await);
    idle.send("GET /echo HTTP/1.1\r\n\r\n").await;
    idle.answer().await;
    busy.send("GET /wait HTTP/1.1\r\n\r\n").await;
    next(&mut port.requests).await;
    next(&mut port.requests).await;
    let stopping = tokio::spawn(port.server.stop(Duration::from_secs(60)));
    assert_eq!(idle.rest().await, "");
    port.recorder.gate.add_permits(1);
    let (head, body) = busy.answer().await;
    assert_eq!((field(&head, "Connection"), body.as_str()), (Some("close"), "waited"));
    drop(busy);
    bounded(stopping).await.unwrap();
}

#[tokio::test]
async fn stopping_cuts_off_what_outlasts_the_grace() {
    let mut port = Port::start().await;
    let mut raw = port.connect().await;
    raw.send("GET /wait HTTP/1.1\r\n\r\n").await;
    let request = next(&mut port.requests).await;
    bounded(port.server.stop(Duration::from_millis(10))).await;
    assert!(request.closed.is_closed());
    assert_eq!(raw.rest().await, "");
}
