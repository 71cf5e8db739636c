//! Reads a large answer of a master without keeping it, and looks meanwhile whether the master still answers others.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::http;

use crate::spread::Spread;

/// Longest time for the whole answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest time for an answer of `/health`.
const HEALTH_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two questions for `/health`.
const HEALTH_PAUSE: Duration = Duration::from_millis(2);
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 18;

/// What an answer cost.
pub struct Download {
    /// Bytes on the wire, head and chunk sizes included.
    pub bytes: u64,
    /// From the request to the first byte.
    pub first: Duration,
    /// From the request to the last byte.
    pub whole: Duration,
    /// Answers of `/health` meanwhile.
    pub health: Spread,
}

/// `GET path` of the master at this port. Errors: it is not answered with 200.
pub fn download(port: u16, path: &str) -> Result<Download> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let health = scope.spawn(|| ask_for_health(port, &done));
        let figures = read_all(port, path);
        done.store(true, Ordering::Relaxed);
        let health = health.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (bytes, first, whole) = figures.with_context(|| format!("GET {path}"))?;
        Ok(Download {
            bytes,
            first,
            whole,
            health,
        })
    })
}

fn read_all(port: u16, path: &str) -> Result<(u64, Duration, Duration)> {
    let begin = Instant::now();
    let mut stream = http::connect(port, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = http::head(port, "GET", path, &[]);
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut read = stream.read(&mut block)?;
    let first = begin.elapsed();
    ensure!(
        block.starts_with(b"HTTP/1.1 200 "),
        "answered {}",
        String::from_utf8_lossy(&block[..read.min(200)])
    );
    let mut bytes = 0;
    while read > 0 {
        bytes += read as u64;
        read = stream.read(&mut block)?;
    }
    Ok((bytes, first, begin.elapsed()))
}

fn ask_for_health(port: u16, done: &AtomicBool) -> Result<Spread> {
    let mut times = Spread::default();
    while !done.load(Ordering::Relaxed) {
        let begin = Instant::now();
        ensure!(
            http::get(port, "/health", HEALTH_PATIENCE)?.status == 200,
            "/health was not answered with 200"
        );
        times.record(begin.elapsed());
        std::thread::sleep(HEALTH_PAUSE);
    }
    Ok(times)
}
