//! A bare v1 scheduler on a raw connection, for tests that must see each byte: events, stream id, clean end.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cluster::PATIENCE;
use crate::http::{self, Reader, Response};
use crate::wait::wait_for;

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(3600);

/// How an event stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With the final chunk.
    Clean,
    /// In any other way; the text says how.
    Broken(String),
}

#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    end: Option<End>,
}

/// An open subscription whose events are collected by a thread.
pub struct Subscriber {
    /// The master it is subscribed with.
    pub port: u16,
    /// The answer to SUBSCRIBE, without its body.
    pub head: Response,
    /// `Mesos-Stream-Id`.
    pub stream_id: String,
    seen: Arc<Mutex<Seen>>,
    socket: std::net::TcpStream,
}

/// A framework description with the capabilities of a modern framework.
pub fn framework_info(name: &str) -> Value {
    json!({
        "user": "root", "name": name, "roles": ["*"], "failover_timeout": 600.0, "checkpoint": true,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}, {"type": "RESERVATION_REFINEMENT"}],
    })
}

/// The SUBSCRIBE call for a description; repeats its id at the top when it has one.
pub fn subscribe_call(info: &Value) -> Value {
    let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
    if let Some(id) = info.get("id") {
        call["framework_id"] = id.clone();
    }
    call
}

impl Subscriber {
    /// Subscribes with the master on `port`; anything but 200 is an error.
    pub fn open(port: u16, info: &Value) -> Result<Self> {
        let body = serde_json::to_vec(&subscribe_call(info))?;
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
        let mut bytes = http::head(port, "POST", "/api/v1/scheduler", &headers);
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        let mut socket = http::connect(port, http::TIMEOUT)?;
        socket.write_all(&bytes)?;
        let mut reader = Reader::new(socket.try_clone()?, Instant::now() + http::TIMEOUT);
        let head = reader.response_head()?;
        ensure!(head.status == 200, "SUBSCRIBE answered {}", head.status);
        ensure!(
            head.header("transfer-encoding") == Some("chunked"),
            "the event stream is not chunked: {head:?}"
        );
        let stream_id = head.header("mesos-stream-id").unwrap_or_default().to_owned();
        reader.set_deadline(Instant::now() + FOREVER);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let collected = Arc::clone(&seen);
        std::thread::spawn(move || {
            let end = collect(&mut reader, &collected);
            collected.lock().unwrap_or_else(PoisonError::into_inner).end = Some(end);
        });
        Ok(Self {
            port,
            head,
            stream_id,
            seen,
            socket,
        })
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }

    /// How the stream ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).end.clone()
    }

    /// Waits for the first event at or after `position` that `matches`; returns it with the position behind it.
    pub fn wait_for(&self, what: &str, position: usize, matches: impl Fn(&Value) -> bool) -> Result<(usize, Value)> {
        wait_for(what, PATIENCE, || {
            let events = self.events();
            let found = events
                .iter()
                .enumerate()
                .skip(position)
                .find(|(_, event)| matches(event));
            if found.is_none()
                && let Some(end) = self.end()
            {
                bail!("the stream ended: {end:?}; events: {events:?}");
            }
            Ok(found.map(|(position, event)| (position + 1, event.clone())))
        })
    }

    /// Waits for an event of the type.
    pub fn wait_for_type(&self, kind: &str, position: usize) -> Result<(usize, Value)> {
        self.wait_for(kind, position, |event| event["type"] == kind)
    }

    /// Waits for an update of the task.
    pub fn wait_for_update(&self, task_id: &str, position: usize) -> Result<(usize, Value)> {
        let (position, event) = self.wait_for(&format!("an update of {task_id:?}"), position, |event| {
            event["type"] == "UPDATE" && event["update"]["status"]["task_id"]["value"] == task_id
        })?;
        Ok((position, event["update"]["status"].clone()))
    }

    /// Waits for an offer that was not seen before `position`.
    pub fn wait_for_offer(&self, position: usize) -> Result<(usize, Value)> {
        let (position, event) = self.wait_for_type("OFFERS", position)?;
        let offer = event["offers"]["offers"][0].clone();
        ensure!(offer.is_object(), "OFFERS without an offer: {event}");
        Ok((position, offer))
    }

    /// Waits for the stream to end.
    pub fn wait_for_end(&self) -> Result<End> {
        wait_for("the stream ends", PATIENCE, || Ok(self.end()))
    }

    /// The framework id from SUBSCRIBED.
    pub fn framework_id(&self) -> Result<Value> {
        let (_, event) = self.wait_for_type("SUBSCRIBED", 0)?;
        Ok(event["subscribed"]["framework_id"].clone())
    }

    /// Makes a call with this framework's id and stream id.
    pub fn call(&self, mut call: Value) -> Result<Response> {
        call["framework_id"] = self.framework_id()?;
        http::post_json(
            self.port,
            "/api/v1/scheduler",
            &call,
            &[("Mesos-Stream-Id", &self.stream_id)],
        )
    }

    /// Makes a call that must be answered with 202.
    pub fn accepted(&self, call: Value) -> Result<()> {
        let response = self.call(call)?;
        ensure!(
            response.status == 202,
            "answered {}: {}",
            response.status,
            response.text()
        );
        Ok(())
    }

    /// ACCEPT of one offer with one LAUNCH of the tasks.
    pub fn launch(&self, offer: &Value, tasks: &Value) -> Result<()> {
        self.accepted(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
            "filters": {"refuse_seconds": 0.0},
        }}))
    }

    /// Acknowledges the update if it asks for that.
    pub fn acknowledge(&self, status: &Value) -> Result<()> {
        if status.get("uuid").is_none() {
            return Ok(());
        }
        self.accepted(json!({"type": "ACKNOWLEDGE", "acknowledge": {
            "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
        }}))
    }

    /// Acknowledges updates of the task until one with the wanted state has come.
    pub fn follow(&self, task_id: &str, wanted: &str, mut position: usize) -> Result<(usize, Value)> {
        loop {
            let (next, status) = self.wait_for_update(task_id, position)?;
            self.acknowledge(&status)?;
            if status["state"] == wanted {
                return Ok((next, status));
            }
            let state = status["state"].as_str().unwrap_or_default();
            if matches!(
                state,
                "TASK_FAILED" | "TASK_ERROR" | "TASK_DROPPED" | "TASK_LOST" | "TASK_FINISHED"
            ) {
                bail!("{task_id} went to {state} instead of {wanted}: {status}");
            }
            position = next;
        }
    }

    /// Closes the connection.
    pub fn close(&self) {
        // It may be closed already, which is what was wanted.
        self.socket.shutdown(std::net::Shutdown::Both).ok();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads records until the stream ends. Insists on one record per chunk, which clients rely on.
fn collect(reader: &mut Reader, seen: &Mutex<Seen>) -> End {
    loop {
        match reader.chunk() {
            Ok(None) => return End::Clean,
            Ok(Some(chunk)) => match record(&chunk) {
                Ok(event) => seen.lock().unwrap_or_else(PoisonError::into_inner).events.push(event),
                Err(error) => return End::Broken(format!("{error:#}")),
            },
            Err(error) => return End::Broken(format!("{error:#}")),
        }
    }
}

fn record(chunk: &[u8]) -> Result<Value> {
    let end = chunk
        .iter()
        .position(|byte| *byte == b'\n')
        .context("a chunk without a record length")?;
    let length: usize = std::str::from_utf8(&chunk[..end])?
        .parse()
        .context("the record length is not a number")?;
    let body = &chunk[end + 1..];
    ensure!(
        body.len() == length,
        "a chunk of {} bytes holds a record of {length}",
        body.len()
    );
    Ok(serde_json::from_slice(body)?)
}
