//! One replica process: a replicated log behind an HTTP port.
//!
//! `POST /write` proposes its body and is answered `200` once it is committed and applied; `GET /status` names role and
//! term; `POST /load` runs a load inside the process.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Message, Server, Service};
use replicated_log::{Config, LogPosition, ProposeError, ReplicatedLog, StateMachine, Timers};
use seams::Seams;
use tokio::time::sleep;

use super::{InsideFigures, InsideLoad};
use crate::load::{Client, Length, closed_loop};

/// Those of an etcd with default settings, so that a busy machine changes neither leader in the middle of a load.
const TIMERS: Timers = Timers {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(1000),
    election_max: Duration::from_millis(2000),
};
/// Pause before a command that was certainly not proposed is proposed again, as a master does at the start of a term.
const PAUSE_BEFORE_RETRY: Duration = Duration::from_millis(2);
/// How often a command is proposed again before its client is told.
const RETRIES_MAX: usize = 500;

/// Arguments of a replica process.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Raft node id
    #[arg(long = "node_id")]
    node_id: u64,
    /// HTTP port
    #[arg(long)]
    port: u16,
    /// All replicas: 1=host:port,2=host:port,3=host:port
    #[arg(long)]
    members: String,
    /// Where the log lies
    #[arg(long = "data_dir")]
    data_dir: PathBuf,
}

/// Runs a replica until the process is killed.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut members = BTreeMap::new();
    for member in arguments.members.split(',') {
        let (id, address) = member
            .split_once('=')
            .with_context(|| format!("member '{member}' is not id=host:port"))?;
        members.insert(id.parse::<u64>()?, address.to_owned());
    }
    let listen: SocketAddr = members
        .get(&arguments.node_id)
        .context("this replica is not a member")?
        .parse()?;
    let mut config = Config::new(arguments.node_id, "bench", listen);
    config.data_dir = Some(arguments.data_dir);
    config.initial_members = members;
    config.timers = TIMERS;
    let seams = Seams::real();
    let log = ReplicatedLog::start(config, seams.clone(), Counter::default()).await?;
    let http = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let port = Arc::new(Port { log });
    let _server = Server::start(seams, http, Limits::default(), port).await?;
    std::future::pending().await
}

/// Counts commands and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    commands: u64,
    bytes: u64,
}

impl StateMachine for Counter {
    type Outcome = u64;
    type View = Counter;

    fn apply(&mut self, _position: LogPosition, command: &[u8]) -> u64 {
        self.commands += 1;
        self.bytes += command.len() as u64;
        self.commands
    }

    fn applied(&mut self, _upto: LogPosition) {}

    fn view(&self) -> Counter {
        *self
    }

    fn write_snapshot(view: &Counter, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&view.commands.to_be_bytes())?;
        out.write_all(&view.bytes.to_be_bytes())
    }

    fn read_snapshot(input: &mut dyn Read) -> io::Result<Counter> {
        let mut commands = [0; 8];
        let mut bytes = [0; 8];
        input.read_exact(&mut commands)?;
        input.read_exact(&mut bytes)?;
        Ok(Counter {
            commands: u64::from_be_bytes(commands),
            bytes: u64::from_be_bytes(bytes),
        })
    }

    fn install(&mut self, _upto: LogPosition, view: Counter) {
        *self = view;
    }
}

/// A proposer inside the process.
#[derive(Clone)]
struct Proposer {
    log: ReplicatedLog<Counter>,
    command: Bytes,
}

impl Client for Proposer {
    async fn call(&mut self) -> Result<()> {
        Ok(propose(&self.log, self.command.clone()).await?)
    }
}

/// Proposes until the command is committed or its fate is not certain any more.
async fn propose(log: &ReplicatedLog<Counter>, command: Bytes) -> Result<(), ProposeError> {
    let mut retries = 0;
    loop {
        match log.propose(command.clone()).await {
            Ok(_) => return Ok(()),
            Err(ProposeError::Unavailable { .. }) if retries < RETRIES_MAX => {
                retries += 1;
                sleep(PAUSE_BEFORE_RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The HTTP port of a replica.
struct Port {
    log: ReplicatedLog<Counter>,
}

impl Port {
    async fn answer(&self, request: HttpRequest) -> HttpResponse {
        match request.path.as_str() {
            "/write" => match propose(&self.log, request.body).await {
                Ok(()) => HttpResponse::new(200),
                Err(error) => HttpResponse::text(503, error.to_string()),
            },
            "/status" => {
                let status = self.log.status().borrow().clone();
                HttpResponse::text(200, format!("{:?} term {}", status.role, status.term))
            }
            "/load" => match serde_json::from_slice::<InsideLoad>(&request.body) {
                Ok(order) => self.load(order).await,
                Err(error) => HttpResponse::text(400, error.to_string()),
            },
            _ => HttpResponse::status(404),
        }
    }

    async fn load(&self, order: InsideLoad) -> HttpResponse {
        let proposer = Proposer {
            log: self.log.clone(),
            command: Bytes::from(vec![0x61; order.bytes]),
        };
        let length = Length {
            warm_up: Duration::from_millis(order.warm_up_millis),
            measured: Duration::from_millis(order.measured_millis),
        };
        let figures = closed_loop(vec![proposer; order.clients], length).await;
        let figures = InsideFigures {
            per_second: figures.per_second,
            p50: figures.times.percentile(50.0),
            p99: figures.times.percentile(99.0),
            failed: figures.failed,
            first_failure: figures.first_failure,
        };
        match serde_json::to_vec(&figures) {
            Ok(json) => HttpResponse::ok("application/json", json),
            Err(error) => HttpResponse::text(500, error.to_string()),
        }
    }
}

impl Service for Port {
    fn knows_actor(&self, _id: &str) -> bool {
        false
    }

    fn deliver(&self, _message: Message) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(self.answer(request))
    }
}
