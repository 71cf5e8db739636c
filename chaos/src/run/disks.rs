//! The disks of masters: plain directories; file systems that lose power, fail, are full or slow; and small ones that
//! can be filled.
//!
//! The first kind of special disk is served by a child process, so that one that does not answer holds up nobody but its
//! master; it ends, and its mount with it, when its input closes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::Mutex;
use tokio::time::timeout;
use volatile_fs::{Faults, VolatileFs};

use super::cluster::process::command;

/// Limit of one order to a volume.
const ORDER_LIMIT: Duration = Duration::from_secs(20);
/// Size of a disk that can be filled, for `mount`: logs and snapshots of a run, some times over.
const SMALL_SIZE: &str = "size=192m";
/// What fills it.
const FILLER: &str = "filler";
/// What a volume answers when an order is carried out.
const DONE: &str = "done";

/// Where one master keeps its data.
pub(crate) enum Disk {
    /// A directory of this machine.
    Plain,
    /// A file system of ours.
    Volume(Box<Volume>),
    /// A small file system in memory.
    Small(Small),
}

/// A file system served by a child process.
pub(crate) struct Volume {
    mount: PathBuf,
    process: Mutex<Server>,
}

struct Server {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Volume {
    /// Mounts one at a directory, which is made.
    pub(crate) async fn start(harness: &Path, mount: &Path) -> Result<Volume> {
        fs::create_dir_all(mount).with_context(|| format!("cannot create {}", mount.display()))?;
        let mut child = command(harness)
            .args(["chaos", "volume"])
            .arg(mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for us: masters still write to it then.
            .process_group(0)
            .spawn()
            .context("cannot start the server of a volume")?;
        let orders = child.stdin.take();
        let answers = child.stdout.take().context("the server of a volume has no output")?;
        let volume = Volume {
            mount: mount.to_path_buf(),
            process: Mutex::new(Server {
                child,
                orders,
                answers: BufReader::new(answers).lines(),
            }),
        };
        volume.order("heal").await?;
        Ok(volume)
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) async fn order(&self, order: &str) -> Result<()> {
        let mut server = self.process.lock().await;
        let name = self.mount.display();
        let exchange = async {
            let orders = server.orders.as_mut().context("it has been ended")?;
            orders.write_all(format!("{order}\n").as_bytes()).await?;
            orders.flush().await?;
            server.answers.next_line().await?.context("it has ended")
        };
        match timeout(ORDER_LIMIT, exchange).await {
            Ok(Ok(answer)) if answer == DONE => Ok(()),
            Ok(Ok(answer)) => bail!("volume {name} does not {order}: {answer}"),
            Ok(Err(error)) => Err(error).with_context(|| format!("volume {name} does not {order}")),
            Err(_) => bail!("volume {name} does not {order} within {ORDER_LIMIT:?}"),
        }
    }

    /// Unmounts it; nobody may use it any more.
    async fn end(&self) -> Result<()> {
        let mut server = self.process.lock().await;
        drop(server.orders.take());
        let ended = timeout(ORDER_LIMIT, server.child.wait()).await;
        match ended {
            Ok(status) => status.map(drop).context("cannot wait for the server of a volume"),
            Err(_) => bail!("volume {} does not end", self.mount.display()),
        }
    }
}

/// Serves a volume until the input ends: what a child of a run does. Orders are lines: `heal`, `cut`, `tear SEED`,
/// `fail`, `fail-reads`, `full`, `slow MICROSECONDS`.
///
/// # Errors
/// It cannot be mounted, or its orders not be read.
pub fn serve_volume(mount: &Path) -> Result<()> {
    let disk = VolatileFs::new();
    let session = disk
        .mount(mount)
        .with_context(|| format!("cannot mount at {}", mount.display()))?;
    for order in std::io::stdin().lines() {
        let answer = match carry_out(&disk, &order?) {
            Ok(()) => DONE.to_owned(),
            Err(problem) => problem,
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}").and_then(|()| output.flush())?;
    }
    drop(session);
    Ok(())
}

fn carry_out(disk: &VolatileFs, order: &str) -> Result<(), String> {
    let (verb, argument) = order.split_once(' ').unwrap_or((order, ""));
    let number = || {
        argument
            .parse::<u64>()
            .map_err(|_| format!("'{argument}' of '{order}' is no number"))
    };
    let healthy = Faults::default();
    match verb {
        "heal" => disk.set_faults(healthy),
        "cut" => disk.cut_power(None),
        "tear" => disk.cut_power(Some(number()?)),
        "fail" => disk.set_faults(Faults {
            fail_writes: true,
            fail_syncs: true,
            ..healthy
        }),
        "fail-syncs" => disk.set_faults(Faults {
            fail_syncs: true,
            ..healthy
        }),
        "full" => disk.set_faults(Faults { full: true, ..healthy }),
        "slow" => disk.set_faults(Faults {
            latency: Duration::from_micros(number()?),
            ..healthy
        }),
        _ => return Err(format!("'{order}' is no order")),
    }
    Ok(())
}

/// A small file system in memory.
pub(crate) struct Small {
    mount: PathBuf,
}

impl Small {
    /// Mounts one at a directory, which is made. For root only.
    pub(crate) fn start(at: &Path) -> Result<Small> {
        fs::create_dir_all(at).with_context(|| format!("cannot create {}", at.display()))?;
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(SMALL_SIZE))
            .with_context(|| format!("cannot mount a small disk at {}", at.display()))?;
        Ok(Small {
            mount: at.to_path_buf(),
        })
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill(&self) -> Result<()> {
        let path = self.mount.join(FILLER);
        let mut file = fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        // Small at the end, so that the last page is taken too.
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0; size];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).with_context(|| format!("cannot fill {}", path.display())),
                }
            }
        }
        Ok(())
    }

    /// Makes room again; nothing happens when there is.
    pub(crate) fn free(&self) -> Result<()> {
        match fs::remove_file(self.mount.join(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot remove what fills a disk")
            }
            _ => Ok(()),
        }
    }
}

impl Disk {
    /// Whatever is wrong with it is so no more.
    pub(crate) async fn heal(&self) -> Result<()> {
        match self {
            Disk::Plain => Ok(()),
            Disk::Volume(volume) => volume.order("heal").await,
            Disk::Small(small) => small.free(),
        }
    }

    /// Unmounts it; the processes that used it have ended.
    pub(crate) async fn end(&self) -> Result<()> {
        match self {
            Disk::Plain => Ok(()),
            Disk::Volume(volume) => volume.end().await,
            Disk::Small(small) => umount2(&small.mount, MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {}", small.mount.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_carried_out_and_nonsense_is_refused() {
        let disk = VolatileFs::new();
        for order in [
            "heal",
            "cut",
            "tear 7",
            "fail",
            "fail-syncs",
            "full",
            "slow 100",
            "heal",
        ] {
            assert_eq!(carry_out(&disk, order), Ok(()), "{order}");
        }
        assert!(carry_out(&disk, "slow down").unwrap_err().contains("'down'"));
        assert!(carry_out(&disk, "burn").unwrap_err().contains("'burn'"));
    }
}
