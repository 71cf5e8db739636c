//! Links between masters, and to them, that are slow, lossy or say things again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::partition::begun;
use super::{Begun, FaultError, hold, not_now};
use crate::run::arena::Arena;
use crate::run::dice::Dice;
use crate::run::network::{Effect, Host};

/// Delays from below a heartbeat to above an election timeout.
const DELAY_MIN: Duration = Duration::from_millis(5);
const DELAY_MAX: Duration = Duration::from_millis(500);
/// How a kernel repeats what was lost: first after 200 ms.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
/// How late a whole connection is at most.
const REORDER_MAX: Duration = Duration::from_millis(400);
/// How long somebody who says things again waits for answers, which nobody reads.
const REPLAY_LIMIT: Duration = Duration::from_secs(2);

/// What a fault of links is about.
#[derive(Clone, Copy, Debug)]
enum Scope {
    /// All links of this master.
    Of(Host),
    /// All links among masters.
    Masters,
}

impl Scope {
    async fn draw(arena: &Arena, dice: &mut Dice) -> Result<Scope, FaultError> {
        if dice.below(4) == 0 {
            return Ok(Scope::Masters);
        }
        let (master, _) = arena.pick_master(dice).await.ok_or_else(|| not_now("no master runs"))?;
        Ok(Scope::Of(Host::Master(master.place)))
    }

    fn holds(self, from: Host, to: Host) -> bool {
        match self {
            Scope::Of(host) => from == host || to == host,
            Scope::Masters => from.is_master() && to.is_master(),
        }
    }

    fn name(self) -> String {
        match self {
            Scope::Of(host) => host.to_string(),
            Scope::Masters => "links among masters".to_owned(),
        }
    }
}

/// Everything a master sends and receives is late.
pub(super) async fn delay(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let scope = Scope::draw(arena, &mut dice).await?;
    let low = dice.between(DELAY_MIN, DELAY_MAX / 2);
    let high = dice.between(low, DELAY_MAX);
    let rule = arena
        .switchboard
        .add(Effect::Delay { low, high }, move |from, to| scope.holds(from, to));
    let detail = format!("{} to {} ms", low.as_millis(), high.as_millis());
    Ok(begun(arena, &mut dice, vec![scope.name()], detail, rule))
}

/// Pieces are lost and come after a pause, with all that is behind them.
pub(super) async fn loss(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let scope = Scope::draw(arena, &mut dice).await?;
    let one_in = dice.pick(&[2, 5, 20]).unwrap_or(5);
    let effect = Effect::Lose {
        one_in,
        pause: REPEAT_PAUSE,
    };
    let rule = arena.switchboard.add(effect, move |from, to| scope.holds(from, to));
    let detail = format!("one piece in {one_in}");
    Ok(begun(arena, &mut dice, vec![scope.name()], detail, rule))
}

/// Connections overtake each other.
pub(super) async fn reorder(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let scope = Scope::draw(arena, &mut dice).await?;
    let effect = Effect::Reorder { high: REORDER_MAX };
    let rule = arena.switchboard.add(effect, move |from, to| scope.holds(from, to));
    let detail = format!("by up to {} ms", REORDER_MAX.as_millis());
    Ok(begun(arena, &mut dice, vec![scope.name()], detail, rule))
}

/// Connections of a live master are reset.
pub(super) async fn reset(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let scope = Scope::draw(arena, &mut dice).await?;
    let count = arena.switchboard.reset(|from, to| scope.holds(from, to));
    let detail = format!("{count} connections");
    Ok(Begun::new(vec![scope.name()], detail, Duration::ZERO, async { Ok(()) }))
}

/// What masters say to each other from now on is said again at the end, on connections of its own.
pub(super) async fn duplicate(arena: &Arc<Arena>, mut dice: Dice) -> Result<Begun, FaultError> {
    let scope = Scope::draw(arena, &mut dice).await?;
    let among_masters = move |from: Host, to: Host| scope.holds(from, to) && from.is_master() && to.is_master();
    let rule = arena.switchboard.add(Effect::Record, among_masters);
    // Only what was heard from its beginning can be said again.
    arena.switchboard.reset(among_masters);
    let switchboard = Arc::clone(&arena.switchboard);
    let end = async move {
        switchboard.remove(rule);
        for recording in switchboard.take_recordings() {
            // The host may be down, and may hang up on nonsense: both are its right.
            if let Err(error) = say_again(recording.upstream, &recording.bytes).await {
                tracing::debug!("{error:#}");
            }
        }
        Ok(())
    };
    Ok(Begun::new(
        vec![scope.name()],
        "from the beginning of each connection",
        hold(&mut dice),
        end,
    ))
}

async fn say_again(to: SocketAddr, bytes: &[u8]) -> anyhow::Result<()> {
    let replay = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let mut ignored = vec![0; 16 << 10];
        while stream.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    match timeout(REPLAY_LIMIT, replay).await {
        Ok(said) => said.with_context(|| format!("cannot say things again to {to}")),
        // It still listens, as it may.
        Err(_) => Ok(()),
    }
}
