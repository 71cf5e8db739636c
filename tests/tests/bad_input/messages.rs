//! Libprocess messages from nobody, and random bytes on every port.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::http;
use cluster_tests::master;

use crate::{Bench, Differences, Text};

/// How long random bytes are left with a port.
const WATCH: Duration = Duration::from_secs(2);

/// What is tried, path, `Libprocess-From`, body, and the status of the answer.
type Row<'a> = (&'a str, &'a str, Option<&'a str>, &'a [u8], u16);

/// A message as libprocess sends it; answered on the same connection.
fn message(port: u16, path: &str, from: Option<&str>, body: &[u8]) -> Result<http::Response> {
    let mut headers = Vec::new();
    if let Some(from) = from {
        headers.push(("Libprocess-From", from));
    }
    http::request(port, "POST", path, &headers, body, http::TIMEOUT)
}

#[test]
fn messages_from_nobody_are_dropped() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let before = master::active_agents(port)?;
    let mut rows = Differences::default();
    let nobody = Some("slave(1)@127.0.0.1:1");
    // UnregisterSlave and a Pong need an agent; a body of two bytes is no message at all. Field 1 of
    // UnregisterSlaveMessage is the agent id, a message whose field 1 is its value.
    let unregister = [&[0x0a, 8, 0x0a, 6][..], b"nobody"].concat();
    let table: Vec<Row<'_>> = vec![
        (
            "an unknown actor",
            "/nobody/mesos.internal.PongSlaveMessage",
            nobody,
            b"",
            404,
        ),
        (
            "an unknown message",
            "/master/mesos.internal.NopeMessage",
            nobody,
            b"",
            202,
        ),
        ("no message name", "/master/", nobody, b"", 202),
        (
            "an undecodable body",
            "/master/mesos.internal.RegisterSlaveMessage",
            nobody,
            b"\xff\xff",
            202,
        ),
        (
            "missing required fields",
            "/master/mesos.internal.RegisterSlaveMessage",
            nobody,
            b"",
            202,
        ),
        (
            "a pong from nobody",
            "/master/mesos.internal.PongSlaveMessage",
            nobody,
            b"",
            202,
        ),
        (
            "an agent nobody knows leaves",
            "/master/mesos.internal.UnregisterSlaveMessage",
            nobody,
            &unregister,
            202,
        ),
        (
            "a reregistration without content",
            "/master/mesos.internal.ReregisterSlaveMessage",
            nobody,
            b"",
            202,
        ),
        (
            "a status update without content",
            "/master/mesos.internal.StatusUpdateMessage",
            nobody,
            b"",
            202,
        ),
        (
            "an exited executor without content",
            "/master/mesos.internal.ExitedExecutorMessage",
            nobody,
            b"",
            202,
        ),
        (
            "a scheduler call without content",
            "/master/mesos.scheduler.Call",
            nobody,
            b"",
            202,
        ),
        (
            "an unparsable sender",
            "/master/mesos.internal.PongSlaveMessage",
            Some("nonsense"),
            b"",
            202,
        ),
        (
            "an empty sender",
            "/master/mesos.internal.PongSlaveMessage",
            Some(""),
            b"",
            202,
        ),
        ("no sender", "/master/mesos.internal.PongSlaveMessage", None, b"", 404),
        (
            "a message to an HTTP route",
            "/master/api/v1/scheduler",
            nobody,
            b"{}",
            202,
        ),
    ];
    for (row, path, from, body, status) in table {
        rows.answer(row, message(port, path, from, body), status, Text::Any);
    }

    // A status update about a task of a running framework, from an agent that is not registered: a pid that is not
    // the agent's must not be able to end a task.
    let id = bench.framework.id()?;
    let task = bench
        .framework
        .journal()?
        .running_long()
        .pop_first()
        .unwrap_or_default();
    let forged = forged_update(&id, "no-such-agent", &task);
    let answer = message(port, "/master/mesos.internal.StatusUpdateMessage", nobody, &forged);
    rows.answer("a forged status update", answer, 202, Text::Any);
    // The same without a pid: an unmodified master aborts here.
    let forged = &forged[..forged.len() - PID.len() - 2];
    let answer = message(port, "/master/mesos.internal.StatusUpdateMessage", nobody, forged);
    rows.answer("a forged status update without a pid", answer, 202, Text::Any);
    rows.conclude()?;

    bench.framework.wait_for_progress(2)?;
    let states = bench.framework.journal()?.states();
    ensure!(
        states[&task] == "TASK_RUNNING",
        "a forged update reached the framework: {task} is {}",
        states[&task]
    );
    ensure!(master::active_agents(port)? == before, "the agents have changed");
    bench.conclude()
}

const PID: &str = "slave(1)@127.0.0.1:1";

/// `StatusUpdateMessage{update{framework_id, slave_id, status{task_id, state FINISHED}, timestamp, uuid}, pid}` by hand.
fn forged_update(framework_id: &str, agent_id: &str, task_id: &str) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap_or(0));
        bytes.extend_from_slice(content);
        bytes
    };
    let id = |number: u8, value: &str| field(number, &field(1, value.as_bytes()));
    let mut status = id(1, task_id);
    status.extend([2 << 3, 2]);
    let mut update = id(1, framework_id);
    update.extend(id(3, agent_id));
    update.extend(field(4, &status));
    update.extend([5 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    update.extend(field(6, &[7; 16]));
    let mut message = field(1, &update);
    message.extend(field(2, PID.as_bytes()));
    message
}

/// A sequence that looks random and is the same each time (xorshift).
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[3]
        })
        .collect()
}

#[test]
fn random_bytes_on_every_port_do_nothing() -> Result<()> {
    let bench = Bench::start()?;
    let mut ports: Vec<u16> = (0..3)
        .flat_map(|index| [bench.cluster.port(index), bench.cluster.raft_port(index)])
        .collect();
    ports.push(bench.cluster.agent_port(0));
    std::thread::scope(|scope| {
        for port in &ports {
            for seed in 1..=8 {
                scope.spawn(move || {
                    let bytes = noise(1 << (2 * seed), seed * 7919 + u64::from(*port));
                    // Whatever the port does with it, the cluster must not care; that is checked below.
                    http::raw(*port, &bytes, WATCH).ok();
                    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), bytes].concat();
                    http::raw(*port, &preface, WATCH).ok();
                });
            }
        }
    });
    bench.conclude()
}
