//! The proposers that wait for their commands to be applied, by entry.
//!
//! A group of commands carries the random origin of the run that proposed it and a number. When that entry is applied
//! in the same run, its proposers are found here, whichever way it got into the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::Applied;
use crate::error::ProposeError;
use crate::type_config::CommandGroup;

/// Called exactly once with the fate of one command.
pub(crate) type Reply<O> = Box<dyn FnOnce(Result<Applied<O>, ProposeError>) + Send>;

/// All waiting proposers of this run. The batcher has one group under way at a time, which bounds it.
pub(crate) struct Waiting<O> {
    origin: u64,
    groups: Mutex<BTreeMap<u64, Vec<Reply<O>>>>,
}

impl<O> Waiting<O> {
    pub(crate) fn new(origin: u64) -> Self {
        Waiting {
            origin,
            groups: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    pub(crate) fn insert(&self, group: u64, replies: Vec<Reply<O>>) {
        self.groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(group, replies);
    }

    /// Takes the proposers of a group, one per command and in their order; empty when nobody waits here.
    pub(crate) fn take(&self, group: u64) -> Vec<Reply<O>> {
        self.groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&group)
            .unwrap_or_default()
    }

    /// Takes the proposers of an applied entry, if this run proposed it.
    pub(crate) fn take_applied(&self, group: &CommandGroup) -> Vec<Reply<O>> {
        if group.origin == self.origin {
            self.take(group.group)
        } else {
            Vec::new()
        }
    }
}
