//! The pymesos framework `frameworks/durable.py` as a process that tests command and watch.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::{Cluster, PATIENCE, profile_folder};
use crate::journal::Journal;
use crate::node::Node;
use crate::wait::{wait_for, wait_until};

/// A running framework. Started again after [`Framework::kill9`] it takes up its old framework id and tasks.
pub struct Framework {
    node: Node,
    events: PathBuf,
    pids: PathBuf,
    agents_died: bool,
}

impl Framework {
    /// Starts the framework against all masters of the cluster; `options` are further arguments of `durable.py`.
    /// Waits until it is subscribed.
    pub fn start(cluster: &Cluster, name: &str, options: &[&str]) -> Result<Self> {
        let folder = cluster.folder();
        let events = folder.join(format!("{name}.events"));
        let pids = folder.join(format!("{name}.pids"));
        std::fs::create_dir_all(&pids).with_context(|| format!("cannot create {}", pids.display()))?;
        let mut arguments = vec![
            scripts().join("durable.py").display().to_string(),
            format!("--masters={}", cluster.addresses()),
            format!("--events={}", events.display()),
            format!("--pids={}", pids.display()),
            format!("--name={name}"),
        ];
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        let node = Node::new(name, python()?, arguments, folder.join(format!("{name}.log")))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        let mut framework = Self {
            node,
            events,
            pids,
            agents_died: false,
        };
        framework.restart()?;
        Ok(framework)
    }

    /// Starts the process (again) and waits until it is subscribed.
    pub fn restart(&mut self) -> Result<()> {
        let position = self.journal()?.len();
        self.node.start()?;
        self.wait_for_subscription(position)?;
        Ok(())
    }

    /// Starts the process (again) without waiting for anything.
    pub fn restart_only(&mut self) -> Result<()> {
        self.node.start()
    }

    /// `kill -9` of the framework's process.
    pub fn kill9(&mut self) -> Result<()> {
        self.node.kill9()
    }

    /// Says that the scenario kills agents, which may then fail tasks that they had not started yet.
    pub fn expect_dead_agents(&mut self) {
        self.agents_died = true;
    }

    /// What it has written down so far.
    pub fn journal(&self) -> Result<Journal> {
        Journal::read(&self.events)
    }

    /// The folder in which each start of a task leaves a file.
    pub fn pids(&self) -> &Path {
        &self.pids
    }

    /// Its framework id.
    pub fn id(&self) -> Result<String> {
        let ids = self.journal()?.framework_ids();
        ensure!(ids.len() == 1, "the framework was given several ids: {ids:?}");
        ids.into_iter().next().context("the framework has no id yet")
    }

    /// Gives the framework a command (a line of its standard input).
    pub fn command(&mut self, line: &str) -> Result<()> {
        let stdin = self.node.stdin()?;
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("cannot send '{line}'"))?;
        stdin.flush()?;
        Ok(())
    }

    /// Waits for the process to end by itself, as after the command `stop`.
    pub fn wait_for_exit(&mut self) -> Result<()> {
        let status = self.node.wait_for_exit(PATIENCE)?;
        ensure!(status.success(), "{} ended with {status}", self.node.name());
        Ok(())
    }

    /// Waits for a `subscribed` event at or after `position`; returns its position.
    pub fn wait_for_subscription(&mut self, position: usize) -> Result<usize> {
        wait_for(&format!("{} is subscribed", self.node.name()), PATIENCE, || {
            if !self.node.is_running() {
                bail!("{} has ended; see {}", self.node.name(), self.node.log().display());
            }
            let journal = Journal::read(&self.events)?;
            journal.check_no_error()?;
            let found = journal
                .events("subscribed", position)
                .next()
                .map(|(position, _)| position);
            Ok(found)
        })
    }

    /// Waits until the framework has had something happen that `condition` recognises.
    pub fn wait_until(&self, what: &str, mut condition: impl FnMut(&Journal) -> Result<bool>) -> Result<()> {
        wait_until(what, PATIENCE, || condition(&self.journal()?))
    }

    /// Waits until `count` long tasks run, according to their updates.
    pub fn wait_for_running(&self, count: usize) -> Result<()> {
        self.wait_until(&format!("{count} long tasks run"), |journal| {
            let running = journal.running_long().len();
            ensure!(running >= count, "{running} run");
            Ok(true)
        })
    }

    /// Waits until `more` short tasks have finished beyond those finished now: launches work.
    pub fn wait_for_progress(&self, more: usize) -> Result<()> {
        let before = self.journal()?.finished_short().len();
        self.wait_until(&format!("{more} more short tasks finish"), |journal| {
            let finished = journal.finished_short().len();
            ensure!(finished >= before + more, "{} finished", finished - before);
            Ok(true)
        })
    }

    /// Stops the stream of short tasks and waits until each has ended.
    pub fn wind_down(&mut self) -> Result<()> {
        self.command("shorts off")?;
        wait_until("every short task has ended", 2 * PATIENCE, || {
            let open = self.journal()?.open_short();
            ensure!(open.is_empty(), "still open: {open:?}");
            Ok(true)
        })
    }

    /// Checks that every long task was started exactly once and that its process runs.
    pub fn check_long(&self) -> Result<()> {
        self.journal()?.check_long_tasks(&self.pids)
    }

    /// Everything that must hold at the end of every scenario in which no task was meant to end.
    pub fn check(&self) -> Result<()> {
        let journal = self.journal()?;
        journal.check_no_error()?;
        self.id()?;
        journal.check_long_tasks(&self.pids)?;
        journal.check_short_tasks(&self.pids, self.agents_died)
    }
}

/// The folder of the Python scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("frameworks")
}

/// The interpreter that has pymesos: `MESORAFT_PYTHON`, or the one that `cargo xtask clients` has set up.
pub fn python() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MESORAFT_PYTHON") {
        return Ok(PathBuf::from(path));
    }
    let target = profile_folder()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let python = target.join("clients/python/current/bin/python");
    if !python.exists() {
        bail!("{} does not exist: run `cargo xtask clients`", python.display());
    }
    Ok(python)
}

/// Between the kill of a leader and the next one: long enough for tasks to be under way, short enough for twenty.
pub const BREATH: Duration = Duration::from_millis(500);
