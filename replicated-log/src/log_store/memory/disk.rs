//! The log on the simulated disk: opening it, and the writing side.

use std::io;

use super::super::codec::decode_value;
use super::super::layout::{self, Layout, OpenError};
use super::super::{Change, Disk, NodeRecord, Recovered};
use super::{Contents, Mount, Step};

/// The writing side of a [`super::MemoryStore`].
#[derive(Debug)]
pub(crate) struct MemoryDisk {
    layout: Layout<Mount>,
}

impl Mount {
    /// Opens or creates the log for `node`, as `sled::open` does.
    pub(crate) fn open_log(&self, node: &NodeRecord) -> Result<(MemoryDisk, Recovered), OpenError> {
        let mut trees = self.clone();
        let torn = self.with(|contents, _| contents.take_in_tail());
        layout::check_identity(&mut trees, node)?;
        let writes = layout::writes(&trees)?;
        let noted = self.with(|contents, _| contents.mark);
        if writes < noted {
            return Err(OpenError::Damaged(format!(
                "the end of the log is missing: write {noted} had become durable, but the disk is readable up to write \
                 {writes} only"
            )));
        }
        self.with(|contents, number| contents.sync(number, writes))?;
        let (layout, recovered) = layout::load(trees)?;
        Ok((MemoryDisk { layout }, Recovered { torn, ..recovered }))
    }
}

impl Contents {
    /// Takes what a loss of power left for as far as it is whole, and drops the rest. Whether there was such a rest.
    fn take_in_tail(&mut self) -> bool {
        for bytes in std::mem::take(&mut self.tail) {
            let Ok(step) = decode_value::<Step>(&bytes) else {
                self.torn_tails += 1;
                return true;
            };
            self.durable.apply(step.clone());
            self.visible.apply(step);
        }
        false
    }
}

impl Disk for MemoryDisk {
    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        self.layout.write(changes)
    }

    async fn sync(&mut self) -> io::Result<()> {
        let (mount, writes) = (&self.layout.trees, self.layout.writes);
        mount.pause().await;
        mount.with(|contents, number| contents.sync(number, writes))
    }

    fn has_space(&mut self) -> io::Result<bool> {
        Ok(self.layout.trees.with(|contents, _| !contents.faults.full))
    }
}
