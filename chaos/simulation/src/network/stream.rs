//! One end of a connection: turmoil's, behind the gates.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;
use xxhash_rust::xxh3::xxh3_64;

use super::{End, HostId, Net, REPLAY_BYTES_MAX, Recording};
use crate::time::now_micros;

/// A connected stream.
#[derive(Debug)]
pub(super) struct Wire {
    inner: TcpStream,
    net: Net,
    id: u64,
    /// The connection is gone in turmoil, but a closed gate hides that from this end.
    gone: bool,
}

/// What stands between an end and its connection just now.
enum Gate {
    Open,
    Shut,
    Broken,
}

fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) if waker.will_wake(context.waker()) => {}
        other => *other = Some(context.waker().clone()),
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

impl Wire {
    /// The end of `inner` at the host `me`; `opened` if that host opened it.
    pub(super) fn new(inner: TcpStream, net: Net, me: HostId, peer: SocketAddr, opened: bool) -> io::Result<Wire> {
        let local = inner.local_addr()?;
        let mut state = net.state();
        let id = state.next_end;
        state.next_end += 1;
        let other = state.ids.get(&peer.ip()).copied().unwrap_or(me);
        let recording = (opened && state.recorded_port == Some(peer.port())).then(|| {
            state.recordings.push(Recording {
                from: me,
                to: peer,
                bytes: Vec::new(),
                full: false,
            });
            state.recordings.len() - 1
        });
        let end = End {
            me,
            peer: other,
            broken: false,
            reader: None,
            writer: None,
            recording,
        };
        state.ends.insert(id, end);
        let numbers = [id, me as u64, other as u64, peer.port().into(), local.port().into()];
        state.trace.numbers(now_micros(), "connected", &numbers);
        drop(state);
        Ok(Wire {
            inner,
            net,
            id,
            gone: false,
        })
    }

    /// Whether this end may be read now; if not, it is woken when it may.
    fn read_gate(&self, context: &Context<'_>) -> Gate {
        let mut state = self.net.state();
        let Some(end) = state.ends.get(&self.id) else {
            return Gate::Broken;
        };
        if end.broken {
            return Gate::Broken;
        }
        let shut = state.hosts[end.me].frozen || state.is_closed(end.peer, end.me);
        // Kept also while the gate is open: a reset has to be noticed by who waits for bytes.
        if let Some(end) = state.ends.get_mut(&self.id) {
            keep(&mut end.reader, context);
        }
        if shut { Gate::Shut } else { Gate::Open }
    }

    fn write_gate(&mut self, context: &Context<'_>) -> Gate {
        let mut state = self.net.state();
        let Some(end) = state.ends.get(&self.id) else {
            return Gate::Broken;
        };
        if end.broken {
            return Gate::Broken;
        }
        let frozen = state.hosts[end.me].frozen;
        if let Some(end) = state.ends.get_mut(&self.id) {
            keep(&mut end.writer, context);
        }
        if frozen { Gate::Shut } else { Gate::Open }
    }

    /// Whether this end cannot hear from its peer.
    fn is_deaf(&self) -> bool {
        let state = self.net.state();
        let end = state.ends.get(&self.id);
        end.is_some_and(|end| state.is_closed(end.peer, end.me))
    }

    fn note_read(&self, bytes: &[u8]) {
        let state = self.net.state();
        let numbers = [self.id, bytes.len() as u64, xxh3_64(bytes)];
        state.trace.numbers(now_micros(), "read", &numbers);
    }

    fn note_written(&self, bytes: &[u8]) {
        let mut state = self.net.state();
        let Some(place) = state.ends.get(&self.id).and_then(|end| end.recording) else {
            return;
        };
        if let Some(recording) = state.recordings.get_mut(place) {
            recording.full |= recording.bytes.len() + bytes.len() > REPLAY_BYTES_MAX;
            if !recording.full {
                recording.bytes.extend_from_slice(bytes);
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.read_gate(context) {
            Gate::Shut => return Poll::Pending,
            Gate::Broken => return Poll::Ready(Err(reset())),
            Gate::Open => {}
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        this.note_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.write_gate(context) {
            Gate::Shut => return Poll::Pending,
            Gate::Broken => return Poll::Ready(Err(reset())),
            Gate::Open => {}
        }
        if this.gone && this.is_deaf() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match ready!(Pin::new(&mut this.inner).poll_write(context, bytes)) {
            Ok(length) => {
                this.note_written(&bytes[..length]);
                Poll::Ready(Ok(length))
            }
            // The reset did not come through the cut: the kernel goes on taking bytes.
            Err(_) if this.is_deaf() => {
                this.gone = true;
                Poll::Ready(Ok(bytes.len()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.write_gate(context) {
            Gate::Shut => return Poll::Pending,
            Gate::Broken => return Poll::Ready(Err(reset())),
            Gate::Open => {}
        }
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.net.state().ends.remove(&self.id);
    }
}
