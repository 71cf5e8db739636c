//! Bad and edge-case input. Tools match on these statuses and texts, which were observed on an unmodified Mesos master;
//! where that master aborts or leaks, ours refuses.
//!
//! Each table is run to its end: a failure names every row that differs. After each table the cluster must still have
//! its leader, nothing may have panicked, and the long tasks of a framework must still run.

#![allow(clippy::too_many_lines, reason = "tables are long and read from top to bottom")]

mod http_layer;
mod identity;
mod launch;
mod messages;
mod scheduler_calls;
mod sizes;

use anyhow::{Result, bail, ensure};
use cluster_tests::cluster::Cluster;
use cluster_tests::framework::Framework;
use cluster_tests::http::Response;

/// What the body of an answer must be.
#[derive(Clone, Copy, Debug)]
enum Text<'a> {
    /// Exactly this.
    Is(&'a str),
    /// It begins so; the rest depends on the parser.
    Starts(&'a str),
    /// Anything.
    Any,
}

impl Text<'_> {
    fn fits(self, body: &str) -> bool {
        match self {
            Text::Is(text) => body == text,
            Text::Starts(text) => body.starts_with(text),
            Text::Any => true,
        }
    }
}

/// Rows of a table that did not come out as they should.
#[derive(Default)]
struct Differences {
    rows: usize,
    found: Vec<String>,
}

impl Differences {
    /// Compares an answer with what is wanted.
    fn answer(&mut self, row: &str, answer: Result<Response>, status: u16, text: Text<'_>) {
        self.rows += 1;
        match answer {
            Ok(answer) if answer.status == status && text.fits(&answer.text()) => {}
            Ok(answer) => {
                let body: String = answer.text().chars().take(300).collect();
                self.found.push(format!(
                    "{row}: {} {body:?} instead of {status} {text:?}",
                    answer.status
                ));
            }
            Err(error) => self
                .found
                .push(format!("{row}: {error:#} instead of {status} {text:?}")),
        }
    }

    /// Compares any two texts.
    fn equal(&mut self, row: &str, found: &str, wanted: &str) {
        self.holds(row, found == wanted, || format!("{found:?} instead of {wanted:?}"));
    }

    /// Notes a row that holds or not.
    fn holds(&mut self, row: &str, holds: bool, what: impl FnOnce() -> String) {
        self.rows += 1;
        if !holds {
            self.found.push(format!("{row}: {}", what()));
        }
    }

    /// Fails when a row differed.
    fn conclude(self) -> Result<()> {
        if self.found.is_empty() {
            println!("{} rows as wanted", self.rows);
            return Ok(());
        }
        bail!(
            "{} of {} rows differ:\n  {}",
            self.found.len(),
            self.rows,
            self.found.join("\n  ")
        )
    }
}

/// A cluster with a framework that has something to lose.
struct Bench {
    cluster: Cluster,
    framework: Framework,
    leader: usize,
    term_witness: String,
}

impl Bench {
    fn start() -> Result<Self> {
        let mut cluster = Cluster::builder().agents(1).start()?;
        let framework = Framework::start(&cluster, "durable", &["--long=3", "--agents=1", "--shorts"])?;
        framework.wait_for_running(3)?;
        let leader = cluster.wait_for_leader()?;
        let term_witness = framework.id()?;
        Ok(Self {
            cluster,
            framework,
            leader,
            term_witness,
        })
    }

    /// The port of the leader.
    fn port(&self) -> u16 {
        self.cluster.port(self.leader)
    }

    /// Checks that nothing was lost: same leader, no process ended, tasks run, launches work.
    fn conclude(mut self) -> Result<()> {
        for index in 0..3 {
            let node = &mut self.cluster.masters[index];
            ensure!(node.is_running(), "{} has ended", node.name());
        }
        ensure!(self.cluster.wait_for_leader()? == self.leader, "the leader has changed");
        ensure!(
            self.framework.id()? == self.term_witness,
            "the framework has another id"
        );
        ensure!(
            self.framework.journal()?.events("subscribed", 0).count() == 1,
            "the framework had to resubscribe"
        );
        self.framework.wait_for_progress(3)?;
        self.framework.wind_down()?;
        self.framework.check()?;
        self.cluster.passed()
    }
}
