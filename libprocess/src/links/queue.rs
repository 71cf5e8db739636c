//! Encoded messages that wait for one connection.
//!
//! One buffer, filled by senders and swapped out whole by the connection, so that a burst is one write. Must never hold more
//! than its bound plus one message.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;

/// Buffers beyond this capacity in bytes are not kept for reuse.
const KEPT_CAPACITY_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Send what is there, then close.
    Finish,
    /// Too much was queued: close.
    Broken,
}

/// What a connection finds in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Bytes, now in the given buffer.
    Bytes,
    /// Nothing more will come.
    Finished,
    /// The bound was exceeded; everything queued is dropped.
    Broken,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Queue {
            bytes_max,
            waiting: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// Adds what `write` appends. False if that was too much; the queue is broken then.
    pub(super) fn push(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut waiting = self.lock();
        if waiting.end == End::Broken {
            return true;
        }
        let before = waiting.bytes.len();
        write(&mut waiting.bytes);
        let is_too_much = before > 0 && waiting.bytes.len() > self.bytes_max;
        if is_too_much {
            waiting.bytes = BytesMut::new();
            waiting.end = End::Broken;
        }
        drop(waiting);
        self.waker.wake();
        !is_too_much
    }

    /// Asks the connection to close after what is queued.
    pub(super) fn finish(&self) {
        let mut waiting = self.lock();
        if waiting.end == End::Open {
            waiting.end = End::Finish;
        }
        drop(waiting);
        self.waker.wake();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().bytes.is_empty()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.lock().end == End::Broken
    }

    /// Whether the connection was asked to close.
    pub(super) fn is_finishing(&self) -> bool {
        self.lock().end == End::Finish
    }

    /// Swaps everything queued into `empty`, which must be empty; its capacity is used for what comes next.
    pub(super) fn poll_take(&self, context: &Context<'_>, empty: &mut BytesMut) -> Poll<Taken> {
        self.waker.register(context.waker());
        let mut waiting = self.lock();
        if waiting.end == End::Broken {
            return Poll::Ready(Taken::Broken);
        }
        if !waiting.bytes.is_empty() {
            if empty.capacity() > KEPT_CAPACITY_MAX {
                *empty = BytesMut::new();
            }
            std::mem::swap(&mut waiting.bytes, empty);
            return Poll::Ready(Taken::Bytes);
        }
        if waiting.end == End::Finish {
            Poll::Ready(Taken::Finished)
        } else {
            Poll::Pending
        }
    }

    /// Drops what is queued.
    pub(super) fn discard(&self) {
        self.lock().bytes = BytesMut::new();
    }

    /// Wakes the task of `context` on the next change.
    pub(super) fn watch(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A sender that panicked while encoding leaves at worst half a message of its own.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::BufMut;

    use super::*;

    fn take(queue: &Queue) -> (Poll<Taken>, usize) {
        let mut bytes = BytesMut::new();
        let taken = queue.poll_take(&Context::from_waker(Waker::noop()), &mut bytes);
        (taken, bytes.len())
    }

    fn push(queue: &Queue, length: usize) -> bool {
        queue.push(|out| out.put_bytes(b'x', length))
    }

    #[test]
    fn everything_queued_is_taken_at_once() {
        let queue = Queue::new(10);
        assert_eq!(take(&queue), (Poll::Pending, 0));
        assert!(push(&queue, 4) && push(&queue, 6));
        assert_eq!(take(&queue), (Poll::Ready(Taken::Bytes), 10));
        assert!(queue.is_empty());
    }

    #[test]
    fn one_long_message_is_always_taken_but_nothing_behind_it() {
        let queue = Queue::new(10);
        assert!(push(&queue, 1000));
        assert!(!push(&queue, 1));
        assert!(push(&queue, 1), "reported only once");
        assert_eq!(take(&queue), (Poll::Ready(Taken::Broken), 0));
    }

    #[test]
    fn what_is_queued_goes_out_before_the_end() {
        let queue = Queue::new(10);
        push(&queue, 3);
        queue.finish();
        assert_eq!(take(&queue), (Poll::Ready(Taken::Bytes), 3));
        assert_eq!(take(&queue), (Poll::Ready(Taken::Finished), 0));
    }
}
