//! The runtime openraft runs on: tokio, with random numbers that come from the entropy seam.
//!
//! openraft draws its election timeouts from a function without arguments, so the seed lies in a thread-local value.
//! A simulator runs everything on one thread and seeds it through [`seed`]: the same seed then gives the same
//! elections. Threads nobody seeded draw their seed from the operating system.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use seams::Entropy;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Mixes random bits of the entropy seam into this thread's seed.
pub(crate) fn seed(bits: u64) {
    SEED.set(Some(next(SEED.get().unwrap_or(0) ^ bits)));
}

/// The step of the SplitMix64 generator: each bit of the input changes half of the output.
fn next(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn os_seed() -> u64 {
    let mut bytes = [0; 8];
    seams::OsEntropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Tokio with our random numbers.
#[derive(Debug)]
pub(crate) struct SeededRuntime(TokioRuntime);

impl AsyncRuntime for SeededRuntime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = StdRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        let seed = SEED.get().unwrap_or_else(os_seed);
        SEED.set(Some(next(seed)));
        StdRng::seed_from_u64(seed)
    }

    fn new(threads: usize) -> Self {
        SeededRuntime(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        TokioRuntime::spawn_blocking(work)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn draws() -> Vec<u64> {
        (0..5).map(|_| SeededRuntime::thread_rng().next_u64()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let run = |bits| {
            let drawing = std::thread::spawn(move || {
                seed(bits);
                draws()
            });
            drawing.join().unwrap()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_thread_without_a_seed_draws_its_own() {
        let unseeded = || std::thread::spawn(draws).join().unwrap();
        assert_ne!(unseeded(), unseeded());
    }
}
