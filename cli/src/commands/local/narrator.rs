//! The calm voice of `mesoraft local`: one line per thing that happens, with the time since the start.

use tokio::time::Instant;

use super::leader::LeaderChange;
use super::supervisor::Event;
use crate::output::say;

/// Prints what happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narrator {
    started: Instant,
}

impl Narrator {
    /// Time starts now.
    pub(crate) fn start() -> Self {
        Narrator {
            started: Instant::now(),
        }
    }

    /// A line with the time since the start.
    pub(crate) fn tell(&self, text: &str) {
        say(&format!("[{:7.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }

    /// A line with the time since `from`.
    pub(crate) fn tell_since(&self, from: Instant, text: &str) {
        say(&format!("  + {:5} ms  {text}", from.elapsed().as_millis()));
    }

    pub(crate) fn tell_event(&self, event: &Event) {
        match event {
            Event::Started { name, pid } => self.tell(&format!("{name} runs, pid {pid}")),
            Event::Died { name, how, last_words } => {
                let words = last_words
                    .as_ref()
                    .map(|words| format!("; its last words: {words}"))
                    .unwrap_or_default();
                self.tell(&format!("{name} {how}{words}"));
            }
            Event::Restarting { name, pause } => {
                self.tell(&format!("{name} is started again in {:.1} s", pause.as_secs_f64()));
            }
            Event::Failed { name, error } => self.tell(&format!("{name} cannot be started: {error}")),
        }
    }

    pub(crate) fn tell_leader(&self, change: &LeaderChange, pid: Option<i32>, leaderless_since: Option<Instant>) {
        match &change.leader {
            Some(leader) => {
                let term = change.term.map(|term| format!(", term {term}")).unwrap_or_default();
                let after = leaderless_since
                    .map(|since| format!(", after {} ms without a leader", since.elapsed().as_millis()))
                    .unwrap_or_default();
                let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                self.tell(&format!("{leader}{pid} leads{term}{after}"));
            }
            None => self.tell("nobody leads"),
        }
    }
}
