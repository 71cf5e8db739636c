//! A replicated log alone: three replica processes with a state machine that only counts, and how to load them.
//!
//! `server.rs` is what runs in a replica process; [`LogCluster`] starts three of them (the benchmark's own program with
//! hidden arguments) and talks to the one that leads.

mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use cluster_tests::node::Node;
use libprocess::{HttpClient, Request};
use seams::Seams;
use serde::{Deserialize, Serialize};
use test_ports::free_port;
use tokio::time::{Instant, sleep};

use crate::load::{Client, Length};

pub use server::{Arguments, run};

/// How long three replicas may take to found the cluster.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks for the leader.
const PAUSE: Duration = Duration::from_millis(50);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks a leader to load itself from inside its own process, as a master does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InsideLoad {
    /// Concurrent proposers.
    pub clients: usize,
    /// Bytes of each command.
    pub bytes: usize,
    /// Milliseconds before anything counts.
    pub warm_up_millis: u64,
    /// Milliseconds that are counted.
    pub measured_millis: u64,
}

/// What a leader says after such a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InsideFigures {
    /// Commands per second.
    pub per_second: f64,
    /// Time from proposal to outcome in milliseconds, median.
    pub p50: f64,
    /// The same, 99th percentile.
    pub p99: f64,
    /// Proposals that failed.
    pub failed: u64,
    /// The first failure.
    pub first_failure: Option<String>,
}

/// Three running replicas; dropping it kills them.
pub struct LogCluster {
    replicas: Vec<Node>,
    addresses: Vec<String>,
    leader: String,
    http: HttpClient,
}

impl LogCluster {
    /// Starts three processes of this very program and waits until one leads.
    pub async fn start(folder: &Path) -> Result<LogCluster> {
        let program = std::env::current_exe().context("this program has no path")?;
        let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let members: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, (_, raft))| format!("{}=127.0.0.1:{raft}", index + 1))
            .collect();
        let mut replicas = Vec::new();
        for (index, (http, _)) in ports.iter().enumerate() {
            let id = index + 1;
            let arguments = vec![
                "replica".to_owned(),
                format!("--node_id={id}"),
                format!("--port={http}"),
                format!("--members={}", members.join(",")),
                format!("--data_dir={}", folder.join(format!("replica-{id}")).display()),
            ];
            let log = folder.join(format!("replica-{id}.log"));
            let mut replica = Node::new(format!("replica-{id}"), &program, arguments, log);
            replica.start()?;
            replicas.push(replica);
        }
        let addresses: Vec<String> = ports.iter().map(|(http, _)| format!("127.0.0.1:{http}")).collect();
        let http = HttpClient::new(Seams::real());
        let leader = find_leader(&http, &addresses).await?;
        Ok(LogCluster {
            replicas,
            addresses,
            leader,
            http,
        })
    }

    /// Looks for the leader again, in case another replica leads by now.
    pub async fn find_leader(&mut self) -> Result<()> {
        self.leader = find_leader(&self.http, &self.addresses).await?;
        Ok(())
    }

    /// `count` clients that send one HTTP request per write to the leader, each on a connection of its own.
    pub fn clients(&self, count: usize, value_bytes: usize) -> Vec<HttpWriter> {
        let writer = |_| HttpWriter {
            http: HttpClient::new(Seams::real()),
            leader: self.leader.clone(),
            value: Bytes::from(vec![0x61; value_bytes]),
        };
        (0..count).map(writer).collect()
    }

    /// Loads the leader from inside.
    pub async fn load_inside(&self, clients: usize, bytes: usize, length: Length) -> Result<InsideFigures> {
        let order = InsideLoad {
            clients,
            bytes,
            warm_up_millis: u64::try_from(length.warm_up.as_millis())?,
            measured_millis: u64::try_from(length.measured.as_millis())?,
        };
        let request = Request::post("/load", "application/json", serde_json::to_vec(&order)?);
        let response = self.http.request(&self.leader, request).await?;
        let status = response.status;
        let body = response.body.collect(ANSWER_BYTES_MAX).await?;
        ensure!(
            status == 200,
            "/load was answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&body).context("/load was not answered with figures")
    }

    /// The status line of the leader.
    pub async fn status(&self) -> Result<String> {
        read_status(&self.http, &self.leader).await
    }

    /// How many replicas still run.
    pub fn running(&mut self) -> usize {
        self.replicas
            .iter_mut()
            .map(|replica| usize::from(replica.is_running()))
            .sum()
    }
}

async fn find_leader(http: &HttpClient, addresses: &[String]) -> Result<String> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for address in addresses {
            if let Ok(status) = read_status(http, address).await
                && status.starts_with("Leader")
            {
                return Ok(address.clone());
            }
        }
        sleep(PAUSE).await;
    }
    bail!("no replica leads after {PATIENCE:?}")
}

async fn read_status(http: &HttpClient, address: &str) -> Result<String> {
    let response = http.request(address, Request::get("/status")).await?;
    let body = response.body.collect(ANSWER_BYTES_MAX).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// One client: a request per write, one after the other.
pub struct HttpWriter {
    http: HttpClient,
    leader: String,
    value: Bytes,
}

impl Client for HttpWriter {
    async fn call(&mut self) -> Result<()> {
        let request = Request::post("/write", "application/octet-stream", self.value.clone());
        let response = self.http.request(&self.leader, request).await?;
        let status = response.status;
        let body = response.body.collect(ANSWER_BYTES_MAX).await?;
        ensure!(status == 200, "answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }
}
