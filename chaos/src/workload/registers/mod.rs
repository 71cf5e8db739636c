//! Registers of the operator API: quotas and weights of roles that no framework uses, written and read by several clients.
//!
//! A client makes one call at a time. Every value but none, the empty text, is written once, so that a read says which write
//! it saw. Some writes of quotas are conditional, as the API has it: SET_QUOTA where there is none, REMOVE_QUOTA where there
//! is one; they are refused elsewhere. `kinds.rs` knows how each kind of register is written and read.

mod kinds;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Encoding, Operator};
use proto::v1::master::Call;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::kinds::{KINDS, Register};
use super::draw::Draw;
use super::scribe::{Scribe, done, of_failed_write, unknown};
use super::{HarnessError, Options, Summary, Workload, World, check, join, mean_pause, reads};
use crate::history::{Operation, Outcome};

/// Longest time of one call.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Reads among a hundred operations.
const READS_PERCENT: usize = 50;
/// Among a hundred operations those that write, or read, two registers of a kind at once.
const PAIRS_PERCENT: usize = 15;
/// Among a hundred writes of one quota those that set it only where there is none, and those that remove it.
const SETS_PERCENT: usize = 20;
const REMOVALS_PERCENT: usize = 20;

/// Runs `options.clients` clients on `options.objects` registers of each kind.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Registers;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    // Begins anew in each run, so that values are used once as long as registers are.
    let values = Arc::new(Mutex::new(0));
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
            values: Arc::clone(&values),
        };
        clients.spawn(client.run());
    }
    join(workload, clients).await?;
    Ok(scribe.summary(workload.name()))
}

struct Client {
    name: String,
    draw: Draw,
    world: World,
    options: Options,
    scribe: Scribe,
    operator: Operator,
    /// The last value that was written, of any register.
    values: Arc<Mutex<u32>>,
}

impl Client {
    async fn run(mut self) -> Result<(), HarnessError> {
        let mean = mean_pause(&self.options, self.options.clients);
        loop {
            let pause = self.draw.duration(Duration::ZERO, mean * 2);
            tokio::select! {
                biased;
                () = self.world.stop.cancelled() => break,
                () = sleep(pause) => {}
            }
            let registers = self.draw_registers();
            if self.draw.percent(READS_PERCENT) {
                let at = reads::draw_master(&self.world.masters, &mut self.draw);
                self.read(&registers, at).await;
            } else {
                self.write(&registers).await;
            }
        }
        let closing = async {
            for kind in KINDS {
                let all: Vec<Register> = (0..self.options.objects)
                    .map(|number| self.register(*kind, number))
                    .collect();
                self.read(&all, String::new()).await;
            }
        };
        if timeout(self.options.closing, closing).await.is_err() {
            self.scribe.count("closing-timed-out");
        }
        Ok(())
    }

    fn register(&self, kind: kinds::Kind, number: usize) -> Register {
        Register {
            kind,
            role: format!("{}-{number}", self.options.name),
        }
    }

    /// One register, or two of one kind.
    fn draw_registers(&mut self) -> Vec<Register> {
        let kind = self.draw.pick(KINDS).copied().unwrap_or(kinds::Kind::Quota);
        let first = self.draw.below(self.options.objects);
        let mut registers = vec![self.register(kind, first)];
        let second = self.draw.below(self.options.objects);
        if second != first && self.draw.percent(PAIRS_PERCENT) {
            registers.push(self.register(kind, second));
        }
        registers
    }

    /// The name under which a client works on the n-th register of one call.
    fn lane(&self, number: usize) -> String {
        if number == 0 {
            self.name.clone()
        } else {
            format!("{}/{number}", self.name)
        }
    }

    /// Reads registers of one kind with one question.
    async fn read(&self, registers: &[Register], at: String) {
        let Some(kind) = registers.first().map(|register| register.kind) else {
            return;
        };
        let begin = |(number, register): (usize, &Register)| {
            let operation = Operation::Read {
                object: register.object(),
                at: at.clone(),
            };
            self.scribe.begin(&self.lane(number), operation)
        };
        let open: Vec<_> = registers.iter().enumerate().map(begin).collect();
        let values = kind.read(&self.operator, &at).await;
        for (open, register) in open.into_iter().zip(registers) {
            let outcome = match &values {
                Ok(values) => Outcome::Ok {
                    value: values.get(&register.role).cloned().unwrap_or_default(),
                },
                Err(reason) => unknown(reason.clone()),
            };
            self.scribe.end(open, outcome);
        }
    }

    /// Writes registers of one kind with one call.
    async fn write(&mut self, registers: &[Register]) {
        let Some(kind) = registers.first().map(|register| register.kind) else {
            return;
        };
        let values: Vec<(String, u32)> = registers
            .iter()
            .map(|register| (register.role.clone(), self.next_value()))
            .collect();
        let (call, values) = self.draw_write(kind, values);
        let begin = |(number, (register, value)): (usize, (&Register, &String))| {
            let operation = Operation::Write {
                object: register.object(),
                value: value.clone(),
            };
            self.scribe.begin(&self.lane(number), operation)
        };
        let open: Vec<_> = registers.iter().zip(&values).enumerate().map(begin).collect();
        let outcome = match self.operator.call(call).await {
            Ok(_) => done(),
            Err(error) => of_failed_write(&error),
        };
        for open in open {
            self.scribe.end(open, outcome.clone());
        }
    }

    /// One of the calls that write these values, and what each register holds afterwards.
    fn draw_write(&mut self, kind: kinds::Kind, values: Vec<(String, u32)>) -> (Call, Vec<String>) {
        let drawn = self.draw.below(100);
        match (kind, values.as_slice()) {
            (kinds::Kind::Quota, [(role, value)]) if drawn < SETS_PERCENT => {
                (kinds::set_quota(role, *value), vec![value.to_string()])
            }
            (kinds::Kind::Quota, [(role, _)]) if drawn < SETS_PERCENT + REMOVALS_PERCENT => {
                (kinds::remove_quota(role), vec![String::new()])
            }
            _ => {
                let texts = values.iter().map(|(_, value)| value.to_string()).collect();
                (kind.write(&values), texts)
            }
        }
    }

    fn next_value(&self) -> u32 {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        *values += 1;
        *values
    }
}
