//! Where work runs that would keep an asynchronous thread from others: encoding, compression, files.

use std::io;

/// Where blocking work runs.
///
/// Threads finish in an order that nobody decides, so a simulation, which must repeat itself, has to do without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's pool for blocking work. For real processes.
    #[default]
    Threads,
    /// At once, on the thread that asks. For simulations, whose clock stands still meanwhile.
    Inline,
}

impl Blocking {
    /// Runs `work` and waits for its result.
    ///
    /// Errors: the work panicked, or the runtime is being shut down.
    /// Cancel safety: work that has begun runs to its end.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            Blocking::Threads => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Blocking::Inline => Ok(work()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn work_runs_on_the_asking_thread_only_when_it_is_inline() {
        let asking = thread::current().id();
        let ran_on = |blocking: Blocking| blocking.run(|| thread::current().id());
        assert_eq!(ran_on(Blocking::Inline).await.unwrap(), asking);
        assert_ne!(ran_on(Blocking::Threads).await.unwrap(), asking);
    }
}
