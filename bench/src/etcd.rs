//! The rival: three etcd members on loopback with their default settings, and a client of their key-value API.
//!
//! Only what the benchmark needs of etcd's API is written down here, anew: `KV.Put` with key and value.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cluster_tests::node::Node;
use libprocess::{HttpClient, Request};
use seams::Seams;
use test_ports::free_port;
use tokio::time::{Instant, sleep};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::load::Client;

/// How long three members may take to elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks for the leader.
const PAUSE: Duration = Duration::from_millis(50);
/// Most bytes of a metrics page.
const METRICS_BYTES_MAX: usize = 16 << 20;
/// Keys that one client writes in turn.
const KEYS_PER_CLIENT: u64 = 100;
/// Most connections that the clients share, as the published figures of etcd are made with 100 for 1,000 clients.
const CONNECTIONS_MAX: usize = 100;

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `etcdserverpb.PutResponse`; its content is not looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Three running members; dropping it kills them.
pub struct Etcd {
    members: Vec<Node>,
    leader: String,
}

impl Etcd {
    /// Starts the members in folders below `folder` and waits until one leads.
    pub async fn start(folder: &Path) -> Result<Etcd> {
        let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let cluster: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, (_, peer))| format!("m{index}=http://127.0.0.1:{peer}"))
            .collect();
        let cluster = cluster.join(",");
        let mut members = Vec::new();
        for (index, (client, peer)) in ports.iter().enumerate() {
            let arguments = vec![
                format!("--name=m{index}"),
                format!("--data-dir={}", folder.join(format!("etcd-{index}")).display()),
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-cluster={cluster}"),
                "--initial-cluster-state=new".to_owned(),
                "--logger=zap".to_owned(),
                "--log-level=error".to_owned(),
            ];
            let log = folder.join(format!("etcd-{index}.log"));
            let mut member = Node::new(format!("etcd-{index}"), "etcd", arguments, log);
            member.start()?;
            members.push(member);
        }
        let clients: Vec<u16> = ports.iter().map(|(client, _)| *client).collect();
        let leader = find_leader(&clients).await?;
        Ok(Etcd { members, leader })
    }

    /// `count` clients that put to the leader, on connections that they share fairly.
    pub async fn clients(&self, count: usize, value_bytes: usize) -> Result<Vec<EtcdClient>> {
        let mut channels = Vec::new();
        for _ in 0..count.min(CONNECTIONS_MAX) {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.leader))?.tcp_nodelay(true);
            channels.push(endpoint.connect().await.context("cannot connect to etcd")?);
        }
        let client = |number: usize| EtcdClient {
            grpc: Grpc::new(channels[number % channels.len()].clone()),
            number,
            calls: 0,
            value: Bytes::from(vec![0x61; value_bytes]),
        };
        Ok((0..count).map(client).collect())
    }

    /// How many members still run.
    pub fn running(&mut self) -> usize {
        self.members
            .iter_mut()
            .map(|member| usize::from(member.is_running()))
            .sum()
    }
}

async fn find_leader(ports: &[u16]) -> Result<String> {
    let http = HttpClient::new(Seams::real());
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for port in ports {
            let address = format!("127.0.0.1:{port}");
            let Ok(response) = http.request(&address, Request::get("/metrics")).await else {
                continue;
            };
            let page = response.body.collect(METRICS_BYTES_MAX).await?;
            if String::from_utf8_lossy(&page).contains("etcd_server_is_leader 1") {
                return Ok(address);
            }
        }
        sleep(PAUSE).await;
    }
    bail!("no etcd member leads after {PATIENCE:?}")
}

/// One client: unary puts, one after the other.
pub struct EtcdClient {
    grpc: Grpc<Channel>,
    number: usize,
    calls: u64,
    value: Bytes,
}

impl Client for EtcdClient {
    async fn call(&mut self) -> Result<()> {
        self.calls += 1;
        let request = PutRequest {
            key: Bytes::from(format!("{:06}-{:03}", self.number, self.calls % KEYS_PER_CLIENT)),
            value: self.value.clone(),
        };
        self.grpc.ready().await.context("etcd is not ready")?;
        let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        self.grpc
            .unary(tonic::Request::new(request), path, codec)
            .await
            .context("put failed")?;
        Ok(())
    }
}
