//! What is forgotten of frameworks and executors that are over, and when. Must never touch what still runs, or what a
//! framework has not acknowledged.

use super::{Book, Effect};

impl Book {
    /// Forgets what is over for too long, or too much of it: records, and then the sandboxes.
    pub(crate) fn collect_garbage(&mut self) {
        let now = self.seams.clock.now_micros();
        let delay = u64::try_from(self.config.gc_delay.as_micros()).unwrap_or(u64::MAX);
        let per_framework = self.config.max_completed_executors_per_framework;
        let mut idle: Vec<(u64, String)> = Vec::new();
        let mut surplus: Vec<(String, usize)> = Vec::new();
        for (id, known) in &self.frameworks {
            let is_old = |micros: Option<u64>| micros.is_some_and(|micros| micros.saturating_add(delay) <= now);
            let old = known
                .completed
                .iter()
                .take_while(|run| is_old(run.completed_micros))
                .count();
            let count = old.max(known.completed.len().saturating_sub(per_framework));
            surplus.push((id.clone(), count));
            if known.executors.is_empty() {
                let last = known.completed.back().and_then(|run| run.completed_micros).unwrap_or(0);
                idle.push((last, id.clone()));
            }
        }
        idle.sort();
        let excess = idle.len().saturating_sub(self.config.max_completed_frameworks);
        surplus.extend(idle.into_iter().take(excess).map(|(_, id)| (id, usize::MAX)));
        for (framework, count) in surplus {
            self.forget_completed(&framework, count);
        }
    }

    fn forget_completed(&mut self, framework: &str, count: usize) {
        for _ in 0..count {
            let Some(run) = self
                .frameworks
                .get_mut(framework)
                .and_then(|known| known.completed.pop_front())
            else {
                break;
            };
            for task in run.tasks.keys() {
                self.completed_tasks.remove(&(framework.to_owned(), task.clone()));
            }
            self.changes.remove(self.layout.executor(framework, &run.container_id));
            let path = self
                .layout
                .sandbox(&run.agent_id, framework, run.id(), &run.container_id);
            self.effects.push(Effect::RemoveSandbox { path });
        }
        let is_over = self
            .frameworks
            .get(framework)
            .is_some_and(|known| known.executors.is_empty() && known.completed.is_empty());
        if is_over {
            self.frameworks.remove(framework);
            self.changes.remove(self.layout.framework(framework));
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
