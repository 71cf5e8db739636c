//! The phases of a run: begin, faults, healed, end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use chaos::check::Finding;
use chaos::history::{Coverage, History, Phase, Record};
use xxhash_rust::xxh3::Xxh3;

use super::{Report, Run};
use crate::load;
use crate::plan::FAULTS;

/// For how long the first leader may take, microseconds.
const BEGIN_MAX: u64 = 10_000_000;
/// Within this time after healing a write is acknowledged, microseconds.
const WRITE_WITHIN: u64 = 5_000_000;
/// Within this time after healing all replicas are equal, microseconds.
const EQUAL_WITHIN: u64 = 30_000_000;
/// The load goes on for so long after healing, microseconds.
const LOAD_AFTER: u64 = 3_000_000;

impl Run<'_> {
    /// Runs all phases. Errors: the harness failed.
    pub(super) fn phases(&mut self) -> Result<()> {
        self.phase(Phase::Begin);
        let deadline = self.now() + BEGIN_MAX;
        while self.leader().is_none() {
            if self.now() > deadline {
                self.oracle
                    .violated("liveness", format!("no leader within {BEGIN_MAX} us of the start"));
                return Ok(());
            }
            self.step()?;
        }
        self.load.start()?;
        self.phase(Phase::Faults);
        let began = self.now();
        let end = began + u64::try_from(FAULTS.as_micros())?;
        while self.now() < end && self.oracle.violations.is_empty() {
            self.faults(began)?;
            self.step()?;
        }
        if self.oracle.violations.is_empty() {
            self.healed()?;
        }
        self.phase(Phase::End);
        Ok(())
    }

    fn healed(&mut self) -> Result<()> {
        self.heal()?;
        for host in self.members() {
            self.start(host)?;
        }
        self.phase(Phase::Healed);
        let began = self.now();
        let written = Arc::new(AtomicBool::new(false));
        let (done, masters, seams) = (
            written.clone(),
            self.cluster.master_list()?,
            self.operator_seams.clone(),
        );
        self.jobs.give(async move {
            load::write(masters, seams).await;
            done.store(true, Ordering::Relaxed);
        })?;
        let mut stopped = false;
        loop {
            self.step()?;
            let now = self.now() - began;
            if !written.load(Ordering::Relaxed) && now > WRITE_WITHIN {
                let text = format!("no write was acknowledged within {WRITE_WITHIN} us after all faults ended");
                self.oracle.violated("liveness-write", text);
            }
            if !stopped && now > LOAD_AFTER {
                stopped = true;
                self.load.stop();
            }
            if !self.oracle.violations.is_empty() {
                return Ok(());
            }
            let quiet = stopped && self.load.is_over()? && written.load(Ordering::Relaxed);
            let members = self.members();
            if quiet && self.replacements.is_empty() && self.all_equal(&members) {
                self.counters.add("healed/equal-ms", now / 1_000);
                return Ok(());
            }
            if now > EQUAL_WITHIN {
                let text = self.why_unequal();
                self.oracle.violated("liveness-equal", text);
                return Ok(());
            }
        }
    }

    /// Lets the checkers judge the whole history. What they leave undecided is counted: it is no pass.
    fn judge(&mut self, history: &History) {
        for verdict in chaos::check::check(history) {
            match &verdict.finding {
                Finding::Held { .. } => self.counters.add(&format!("check/{}", verdict.check), 1),
                Finding::NothingToCheck => self.counters.add(&format!("nothing-to-check/{}", verdict.check), 1),
                Finding::Undecided { .. } => self.counters.add(&format!("undecided/{}", verdict.check), 1),
                Finding::Violated { count, violations } => {
                    let first = violations.first();
                    let what = first.map_or(String::new(), |first| {
                        format!("{} (lines {:?})", first.what, first.evidence)
                    });
                    self.oracle
                        .violated(&verdict.check, format!("{count} times, first: {what}"));
                }
            }
        }
    }

    fn why_unequal(&self) -> String {
        let mut states = Vec::new();
        for host in self.members() {
            let machine = self.cluster.machines[host].lock();
            let state = match &machine.master {
                None => format!("{:?}", machine.ended),
                Some(master) => {
                    let status = master.status().borrow().clone();
                    format!(
                        "{:?} in term {} of leader {:?}, last {:?}, committed {:?}, applied {:?}, hash {:?}, running {}, voters {:?}, learners {:?}",
                        status.role,
                        status.term,
                        status.leader,
                        status.last_log,
                        status.committed,
                        status.applied,
                        master.state_hash(),
                        status.running,
                        status.voters.keys().collect::<Vec<_>>(),
                        status.learners.keys().collect::<Vec<_>>(),
                    )
                }
            };
            states.push(format!("node {}: {state}", machine.node));
        }
        format!(
            "replicas are not equal {EQUAL_WITHIN} us after all faults ended (replacements {:?}, load over: {}): {}",
            self.replacements,
            self.load.is_over().unwrap_or(true),
            states.join("; ")
        )
    }

    /// Ends the run: history, trace and what is known.
    pub(super) fn report(mut self) -> Result<(Report, History)> {
        for machine in &self.cluster.machines {
            self.count(&machine.lock());
        }
        self.counters.add("election/leaderships", self.oracle.leaderships());
        self.counters.add("election/shared-term", self.oracle.shared_terms());
        for (name, count) in self.counters.all() {
            self.recorder.record(Record::Coverage(Coverage { name, count }));
        }
        let history = self.recorder.finish()?;
        self.judge(&history);
        let mut bytes = Vec::new();
        history.write(&mut bytes)?;
        let mut hash = Xxh3::new();
        hash.update(&bytes);
        let (trace, events) = self.trace.finish()?;
        let violations = std::mem::take(&mut self.oracle.violations);
        let report = Report {
            seed: self.plan.seed,
            violations,
            faults: self.plan.faults.clone(),
            coverage: self.counters.all(),
            trace: format!("{trace:016x}"),
            events,
            history: format!("{:016x}", hash.digest()),
            simulated: self.now() / 1_000,
        };
        Ok((report, history))
    }
}
