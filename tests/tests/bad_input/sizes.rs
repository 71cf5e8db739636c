//! Input that is too large, or never ends: memory stays bounded and the others are served meanwhile.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::http;
use cluster_tests::processes::resident_bytes;

use crate::Bench;

const MEBIBYTE: usize = 1024 * 1024;
/// More than any honest request, less than what would hurt the machine that runs the test.
const ENDLESS: usize = 1024 * MEBIBYTE;
/// How much a master's memory may grow while it is sent [`ENDLESS`] bytes.
const GROWTH_MAX: u64 = 400 * 1024 * 1024;
/// The longest an endless request is kept up.
const KEPT_UP: Duration = Duration::from_secs(60);

/// Sends `head`, then zeros or blocks made by `block` until the master closes or [`ENDLESS`] bytes were sent.
/// Returns how many bytes were taken and the highest memory seen.
fn pour(port: u16, pid: u32, head: &[u8], block: &[u8]) -> Result<(usize, u64)> {
    let mut stream = http::connect(port, Duration::from_secs(10))?;
    stream.write_all(head)?;
    let start = Instant::now();
    let mut sent = 0;
    let mut highest = 0;
    while sent < ENDLESS && start.elapsed() < KEPT_UP {
        if stream.write_all(block).is_err() {
            break;
        }
        sent += block.len();
        highest = highest.max(resident_bytes(pid)?);
    }
    Ok((sent, highest))
}

#[test]
fn endless_requests_do_not_fill_the_memory() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let pid = bench.cluster.masters[bench.leader].pid().context("the leader runs")?;
    let before = resident_bytes(pid)?;
    let json = "POST /api/v1/scheduler HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    let message = "POST /master/mesos.internal.PongSlaveMessage HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\n";
    let chunk = [format!("{MEBIBYTE:x}\r\n").as_bytes(), &vec![b' '; MEBIBYTE], b"\r\n"].concat();
    let blanks = vec![b' '; MEBIBYTE];
    let table: Vec<(&str, String, &[u8])> = vec![
        (
            "an endless chunked body",
            format!("{json}Transfer-Encoding: chunked\r\n\r\n"),
            &chunk,
        ),
        (
            "a body of a terabyte",
            format!("{json}Content-Length: 1099511627776\r\n\r\n"),
            &blanks,
        ),
        (
            "an endless chunked message",
            format!("{message}Transfer-Encoding: chunked\r\n\r\n"),
            &chunk,
        ),
        ("endless headers", "GET /health HTTP/1.1\r\nX: ".to_owned(), &blanks),
        ("an endless request line", "GET /".to_owned(), &blanks),
        (
            "an endless chunk length",
            format!("{json}Transfer-Encoding: chunked\r\n\r\n"),
            &blanks,
        ),
    ];
    for (row, head, block) in table {
        let (sent, highest) = pour(port, pid, head.as_bytes(), block)?;
        let grown = highest.saturating_sub(before);
        ensure!(grown < GROWTH_MAX, "{row}: memory grew by {} MiB", grown / 1024 / 1024);
        println!(
            "{row}: ended after {} MiB, memory grew by {} MiB",
            sent / MEBIBYTE,
            grown / 1024 / 1024
        );
        let health = http::get(port, "/health", http::TIMEOUT)?;
        ensure!(
            health.status == 200,
            "{row}: /health answers {} afterwards",
            health.status
        );
    }
    bench.conclude()
}

#[test]
fn many_idle_connections_do_not_keep_the_master_from_work() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut idle = Vec::new();
    for index in 0..300 {
        let mut stream = http::connect(port, http::TIMEOUT)?;
        // Some say nothing, some begin a request and never end it.
        if index % 2 == 0 {
            stream.write_all(b"POST /api/v1/scheduler HTTP/1.1\r\nContent-Le")?;
        }
        idle.push(stream);
    }
    bench.framework.wait_for_progress(5)?;
    drop(idle);
    bench.conclude()
}
