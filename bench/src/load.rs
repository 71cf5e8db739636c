//! Closed-loop load: each client sends its next call when the last one was answered. The same generator drives every
//! system that is compared.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::spread::Spread;

/// Pause of a client after a failed call, so that a broken system is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(1);

/// One client of the system under load.
pub trait Client: Send + 'static {
    /// Makes one call and waits until it is acknowledged.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// For how long to load.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Before anything is counted.
    pub warm_up: Duration,
    /// While it is counted.
    pub measured: Duration,
}

/// What a load has shown.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Acknowledged calls per second.
    pub per_second: f64,
    /// Time of the acknowledged calls.
    pub times: Spread,
    /// Calls that failed.
    pub failed: u64,
    /// The first failure.
    pub first_failure: Option<String>,
}

/// Runs all clients at once. A call counts when it is answered within the measured time.
pub async fn closed_loop<C: Client>(clients: Vec<C>, length: Length) -> Figures {
    let begin = Instant::now() + length.warm_up;
    let end = begin + length.measured;
    let running: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(one_client(client, begin, end)))
        .collect();
    let mut figures = Figures::default();
    for client in running {
        match client.await {
            Ok(of_client) => {
                figures.times.add(&of_client.times);
                figures.failed += of_client.failed;
                figures.first_failure = figures.first_failure.or(of_client.first_failure);
            }
            Err(error) => {
                figures.failed += 1;
                figures.first_failure = Some(format!("a client died: {error}"));
            }
        }
    }
    figures.per_second = figures.times.count() as f64 / length.measured.as_secs_f64();
    figures
}

async fn one_client<C: Client>(mut client: C, begin: Instant, end: Instant) -> Figures {
    let mut figures = Figures::default();
    loop {
        let sent = Instant::now();
        if sent >= end {
            return figures;
        }
        let result = client.call().await;
        let answered = Instant::now();
        match result {
            Ok(()) if answered >= begin && answered < end => figures.times.record(answered - sent),
            Ok(()) => {}
            Err(error) => {
                figures.failed += 1;
                figures.first_failure.get_or_insert_with(|| format!("{error:#}"));
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flips(bool);

    impl Client for Flips {
        async fn call(&mut self) -> Result<()> {
            sleep(Duration::from_millis(10)).await;
            self.0 = !self.0;
            anyhow::ensure!(self.0, "every second call fails");
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answered_calls_are_counted_and_failures_kept_apart() {
        let length = Length {
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(2),
        };
        let figures = closed_loop(vec![Flips(false), Flips(false)], length).await;
        assert!(figures.failed > 10 && figures.times.count() > 10);
        assert_eq!(figures.first_failure.as_deref(), Some("every second call fails"));
    }
}
