//! Which faults work on this machine, and why the others do not.

use std::path::{Path, PathBuf};

use crate::fault::FaultKind;

/// Where distributions put the library that fakes the clock.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// What there is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Whether this process is root.
    pub(crate) is_root: bool,
    /// Whether file systems can be mounted through FUSE.
    pub(crate) has_fuse: bool,
    /// The library that fakes the clock.
    pub(crate) faketime: Option<PathBuf>,
}

impl Surroundings {
    /// Looks around.
    pub(crate) fn look() -> Self {
        let is_root = nix::unistd::geteuid().is_root();
        let mounts = is_root
            || ["/bin", "/usr/bin"]
                .iter()
                .any(|dir| Path::new(dir).join("fusermount3").exists());
        Surroundings {
            is_root,
            has_fuse: mounts && Path::new("/dev/fuse").exists(),
            faketime: FAKETIME.iter().map(PathBuf::from).find(|path| path.exists()),
        }
    }
}

/// Why a fault cannot be injected into processes started here; `None` when it can.
pub(crate) fn unavailable(kind: FaultKind, around: &Surroundings) -> Option<&'static str> {
    use FaultKind as K;
    match kind {
        K::ClockJump | K::ClockSkew if around.faketime.is_none() => {
            Some("needs libfaketime (Debian package libfaketime)")
        }
        K::DiskFull if !around.has_fuse && !around.is_root => Some("needs root, or FUSE"),
        K::DiskLost | K::DiskError | K::DiskSlow if !around.has_fuse => {
            Some("needs FUSE: /dev/fuse, and root or fusermount3")
        }
        _ if !kind.in_processes(around.is_root) && kind.in_processes(true) => Some("needs root"),
        _ if !kind.in_processes(true) => Some("works in the simulator only"),
        _ => None,
    }
}
