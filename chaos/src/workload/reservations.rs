//! Reservations of operators as registers: how much of an agent is reserved for a role that nobody uses.
//!
//! The value of `reservation/<agent>/<role>` is the reserved disk in megabytes, none the empty text. RESERVE adds and
//! UNRESERVE takes away, so that a register has one writer, which knows what is there: it reserves where nothing is and
//! gives all of it back. After a write whose outcome is unknown it goes on with another role, and the old one is only read.
//! Agents that are not listed, because they ended or are not back yet, say nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{Encoding, Operator};
use proto::v1::master::Call;
use proto::v1::master::call::{ReserveResources, Type, UnreserveResources};
use proto::v1::resource::{ReservationInfo, reservation_info};
use proto::v1::value::{self, Scalar};
use proto::v1::{AgentId, Resource};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::draw::Draw;
use super::reads::ask;
use super::scribe::{Scribe, done, of_failed_write, unknown};
use super::{HarnessError, Options, Summary, Workload, World, check, join, mean_pause, reads};
use crate::history::{Operation, Outcome};

/// Longest time of one call.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Reads among a hundred operations.
const READS_PERCENT: usize = 60;
/// What is reserved: no task asks for it.
const RESERVED: &str = "disk";
/// Amounts are below this, so that all reservations fit an agent.
const AMOUNTS: u32 = 100;
/// Writes of one register; then its writer takes another role, perhaps on another agent.
const WRITES_MAX: u32 = 30;

/// Runs `options.clients` writers, each of one register at a time; all of them read all registers.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Reservations;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    let known: Arc<Mutex<Vec<Register>>> = Arc::default();
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let name = format!("{}-{number}", options.name);
        let operator = Operator::new(&world.masters, Encoding::Protobuf, world.seams.clone()).with_limit(CALL_LIMIT);
        let client = Client {
            draw: Draw::new(world.seed, &name),
            name,
            world: world.clone(),
            options: options.clone(),
            scribe: scribe.clone(),
            operator,
            known: Arc::clone(&known),
            roles: 0,
            own: None,
        };
        clients.spawn(client.run());
    }
    join(workload, clients).await?;
    Ok(scribe.summary(workload.name()))
}

/// What a register is called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Register {
    agent: String,
    role: String,
}

impl Register {
    fn object(&self) -> String {
        format!("reservation/{}/{}", self.agent, self.role)
    }

    fn resources(&self, megabytes: u32) -> Vec<Resource> {
        let reservation = ReservationInfo {
            role: Some(self.role.clone()),
            r#type: Some(reservation_info::Type::Dynamic.into()),
            ..ReservationInfo::default()
        };
        vec![Resource {
            name: RESERVED.to_owned(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(Scalar {
                value: f64::from(megabytes),
            }),
            reservations: vec![reservation],
            ..Resource::default()
        }]
    }

    fn reserve(&self, megabytes: u32) -> Call {
        Call {
            r#type: Some(Type::ReserveResources.into()),
            reserve_resources: Some(ReserveResources {
                agent_id: AgentId::from(self.agent.as_str()),
                resources: self.resources(megabytes),
                source: Vec::new(),
            }),
            ..Call::default()
        }
    }

    fn unreserve(&self, megabytes: u32) -> Call {
        Call {
            r#type: Some(Type::UnreserveResources.into()),
            unreserve_resources: Some(UnreserveResources {
                agent_id: AgentId::from(self.agent.as_str()),
                resources: self.resources(megabytes),
            }),
            ..Call::default()
        }
    }
}

/// The register a client writes, with what is certainly there.
#[derive(Clone, Debug)]
struct Own {
    register: Register,
    reserved: Option<u32>,
    writes: u32,
}

struct Client {
    name: String,
    draw: Draw,
    world: World,
    options: Options,
    scribe: Scribe,
    operator: Operator,
    /// Every register of the run; the newest are read.
    known: Arc<Mutex<Vec<Register>>>,
    /// Counts the roles this client has used.
    roles: u32,
    own: Option<Own>,
}

impl Client {
    fn known(&self) -> MutexGuard<'_, Vec<Register>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(mut self) -> Result<(), HarnessError> {
        let mean = mean_pause(&self.options, self.options.clients);
        loop {
            let pause = self.draw.duration(Duration::ZERO, mean * 2);
            tokio::select! {
                biased;
                () = self.world.stop.cancelled() => break,
                () = sleep(pause) => {}
            }
            if self.own.is_none() {
                self.take_register().await;
            } else if self.draw.percent(READS_PERCENT) {
                self.read_one().await;
            } else {
                self.write().await;
            }
        }
        let closing = async {
            let newest = self.newest();
            for register in newest {
                self.read(&register, String::new()).await;
            }
        };
        if timeout(self.options.closing, closing).await.is_err() {
            self.scribe.count("closing-timed-out");
        }
        Ok(())
    }

    /// A role that was never used, on an agent that is there.
    async fn take_register(&mut self) {
        let Ok(answer) = ask(&self.operator, "", Type::GetAgents).await else {
            return;
        };
        let agents = answer.get_agents.map(|agents| agents.agents).unwrap_or_default();
        let mut ids: Vec<String> = agents
            .into_iter()
            .filter_map(|agent| agent.agent_info.id.map(|id| id.value))
            .collect();
        ids.sort();
        let Some(agent) = self.draw.pick(&ids).cloned() else {
            return;
        };
        self.roles += 1;
        let register = Register {
            agent,
            role: format!("{}-{}", self.name, self.roles),
        };
        self.known().push(register.clone());
        self.own = Some(Own {
            register,
            reserved: None,
            writes: 0,
        });
    }

    /// Two for each client, the last ones taken.
    fn newest(&self) -> Vec<Register> {
        let known = self.known();
        known.iter().rev().take(self.options.clients * 2).cloned().collect()
    }

    async fn read_one(&mut self) {
        let at = reads::draw_master(&self.world.masters, &mut self.draw);
        let newest = self.newest();
        if let Some(register) = self.draw.pick(&newest) {
            self.read(register, at).await;
        }
    }

    async fn read(&self, register: &Register, at: String) {
        let operation = Operation::Read {
            object: register.object(),
            at: at.clone(),
        };
        let open = self.scribe.begin(&self.name, operation);
        let outcome = match self.reserved(register, &at).await {
            Ok(value) => Outcome::Ok { value },
            Err(reason) => unknown(reason),
        };
        self.scribe.end(open, outcome);
    }

    /// What is reserved for the register's role on its agent.
    async fn reserved(&self, register: &Register, at: &str) -> Result<String, String> {
        let answer = ask(&self.operator, at, Type::GetAgents).await?;
        let agents = answer.get_agents.ok_or("an answer without agents")?.agents;
        let is_it = |id: &Option<AgentId>| id.as_ref().is_some_and(|id| id.value == register.agent);
        let agent = agents.into_iter().find(|agent| is_it(&agent.agent_info.id));
        let agent = agent.ok_or("the agent is not listed")?;
        let is_for_role = |resource: &&Resource| {
            let last = resource.reservations.last();
            last.is_some_and(|last| last.role.as_deref() == Some(&register.role))
        };
        let reserved: f64 = agent
            .total_resources
            .iter()
            .filter(is_for_role)
            .filter_map(|resource| resource.scalar.as_ref().map(|scalar| scalar.value))
            .sum();
        Ok(if reserved == 0.0 {
            String::new()
        } else {
            reserved.to_string()
        })
    }

    /// Reserves where nothing is reserved, gives back what is.
    async fn write(&mut self) {
        let Some(mut own) = self.own.take() else { return };
        own.writes += 1;
        let (call, after) = match own.reserved {
            Some(megabytes) => (own.register.unreserve(megabytes), None),
            // Each amount once in the life of a register.
            None => (own.register.reserve(own.writes % AMOUNTS), Some(own.writes % AMOUNTS)),
        };
        let operation = Operation::Write {
            object: own.register.object(),
            value: after.map(|megabytes| megabytes.to_string()).unwrap_or_default(),
        };
        let open = self.scribe.begin(&self.name, operation);
        let outcome = match self.operator.call(call).await {
            Ok(_) => done(),
            Err(error) => of_failed_write(&error),
        };
        self.scribe.end(open, outcome.clone());
        match outcome {
            Outcome::Ok { .. } => own.reserved = after,
            // The agent may be gone.
            Outcome::Refused { .. } => own.writes += WRITES_MAX / 3,
            Outcome::Unknown { .. } => return,
        }
        if own.writes < WRITES_MAX {
            self.own = Some(own);
        }
    }
}
