//! One direction of a proxied connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Host;
use super::switchboard::Switchboard;
use crate::run::dice::Dice;

/// Most bytes of one piece.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces that are under way at once; then the sender is read no further, as with a full window.
const PIECES_MAX: usize = 256;

/// Where bytes go.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) from: Host,
    pub(super) to: Host,
    pub(super) connection: u64,
    /// For the way from the opener to a process: where what is said can be said again.
    pub(super) record_for: Option<SocketAddr>,
}

/// Passes bytes on until the reader's end, and then the end. Its failure is one of either side.
pub(super) async fn pump(way: Way, mut reader: OwnedReadHalf, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Bytes)>(PIECES_MAX);
    let incoming = way.clone();
    let reading = async move {
        let way = incoming;
        let mut dice = Dice::new(way.connection);
        let mut due = Instant::now();
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if reader.read_buf(&mut piece).await? == 0 {
                return io::Result::Ok(());
            }
            if let Some(upstream) = way.record_for {
                way.switchboard.record(way.connection, upstream, &piece);
            }
            let late = way.switchboard.lateness(way.from, way.to, way.connection, dice.next());
            // Bytes of one connection never overtake each other.
            due = due.max(Instant::now() + late);
            if sender.send((due, piece.freeze())).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = pieces.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            way.switchboard.passable(way.from, way.to).await;
            writer.write_all(&piece).await?;
        }
        way.switchboard.passable(way.from, way.to).await;
        writer.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}
