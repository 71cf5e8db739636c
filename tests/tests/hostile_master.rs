//! Event streams that no honest master sends: the client ends with a sentence and does not fill its memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{PATIENCE, binary};
use cluster_tests::node::Node;
use cluster_tests::processes::resident_bytes;
use cluster_tests::wait::wait_until;

/// Bytes of one block of an endless record.
const BLOCK: usize = 64 * 1024;
/// How much an endless record is fed on at most.
const FED_MAX: usize = 512 * 1024 * 1024;
/// What the client may take.
const MEMORY_MAX: u64 = 200 * 1024 * 1024;

/// What follows the head of the event stream: a beginning, and a block that is repeated for as long as it is taken.
#[derive(Clone, Copy)]
struct Stream {
    name: &'static str,
    beginning: &'static [u8],
    repeated: Option<u8>,
}

const STREAMS: [Stream; 5] = [
    Stream {
        name: "a huge length",
        beginning: b"99999999999999999999999\n{}",
        repeated: None,
    },
    Stream {
        name: "a length of gigabytes",
        beginning: b"8000000000\n{",
        repeated: Some(b' '),
    },
    Stream {
        name: "no digits",
        beginning: b"abc\n{}",
        repeated: None,
    },
    Stream {
        name: "a negative length",
        beginning: b"-5\n{}",
        repeated: None,
    },
    Stream {
        name: "endless digits",
        beginning: b"",
        repeated: Some(b'1'),
    },
];

/// Answers every SUBSCRIBE with the stream, for as long as the test runs.
fn serve(listener: &TcpListener, stream: Stream) {
    for connection in listener.incoming().flatten() {
        std::thread::spawn(move || answer(connection, stream));
    }
}

/// An error means that the client has closed the connection, which is its right.
fn answer(mut connection: TcpStream, stream: Stream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = Vec::new();
    let mut block = vec![0; BLOCK];
    while !request.windows(9).any(|part| part == b"SUBSCRIBE") && !request.starts_with(b"GET ") {
        match connection.read(&mut block)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&block[..count]),
        }
    }
    if request.starts_with(b"GET ") {
        return connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\
                Mesos-Stream-Id: 5b3a5a4e-0000-4000-8000-000000000000\r\n\r\n";
    connection.write_all(head.as_bytes())?;
    chunk(&mut connection, stream.beginning)?;
    if let Some(byte) = stream.repeated {
        let block = vec![byte; BLOCK];
        for _ in 0..FED_MAX / BLOCK {
            chunk(&mut connection, &block)?;
        }
    }
    // The stream stays open: an incomplete record is not an end.
    while connection.read(&mut block)? > 0 {}
    Ok(())
}

fn chunk(connection: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    connection.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    connection.write_all(bytes)?;
    connection.write_all(b"\r\n")
}

#[test]
fn a_client_survives_event_streams_that_make_no_sense() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for stream in STREAMS {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || serve(&listener, stream));
        let arguments = vec![
            "run".to_owned(),
            format!("--master=127.0.0.1:{port}"),
            "--command=true".to_owned(),
            "--timeout=3secs".to_owned(),
        ];
        let mut run = Node::new(
            "run",
            binary()?,
            arguments,
            folder.path().join(format!("{}.log", stream.name)),
        );
        run.start()?;
        let pid = run.pid().context("run was started")?;
        let mut highest = 0;
        wait_until("run ends", PATIENCE, || {
            highest = highest.max(resident_bytes(pid).unwrap_or(0));
            Ok(!run.is_running())
        })?;
        let said = run.log_text();
        ensure!(!said.contains("panicked"), "{}: {said}", stream.name);
        ensure!(!said.trim().is_empty(), "{}: it ended without a word", stream.name);
        ensure!(
            highest < MEMORY_MAX,
            "{}: it took {} MiB",
            stream.name,
            highest / 1024 / 1024
        );
        println!(
            "{}: {} MiB; {}",
            stream.name,
            highest / 1024 / 1024,
            said.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}
