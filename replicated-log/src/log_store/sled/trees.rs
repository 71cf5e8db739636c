//! sled's trees as the layout sees them.

use std::io;

use bytes::Bytes;

use super::super::keys::LogKey;
use super::super::layout::{LogChange, Trees};
use super::sled_error;

/// The two trees.
pub(crate) struct SledTrees {
    pub(super) log: ::sled::Tree,
    pub(super) meta: ::sled::Tree,
}

impl Trees for SledTrees {
    fn change_log(&mut self, changes: Vec<LogChange>) -> io::Result<()> {
        // Atomic by itself. A batch costs two more writes and waits for the disk: sled begins a new buffer before it and
        // another within.
        if let [(key, value)] = &changes[..] {
            let changed = match value {
                Some(value) => self.log.insert(key, value.as_slice()),
                None => self.log.remove(key),
            };
            return changed.map(drop).map_err(sled_error);
        }
        let mut batch = ::sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&key, value),
                None => batch.remove(&key),
            }
        }
        self.log.apply_batch(batch).map_err(sled_error)
    }

    fn log_value(&self, key: &LogKey) -> io::Result<Option<Bytes>> {
        let value = self.log.get(key).map_err(sled_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn log_values(&self) -> impl Iterator<Item = io::Result<(Bytes, Bytes)>> {
        self.log.iter().map(|item| {
            let (key, value) = item.map_err(sled_error)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })
    }

    fn set_meta(&mut self, values: Vec<(&'static str, Vec<u8>)>) -> io::Result<()> {
        if let [(key, value)] = &values[..] {
            return self.meta.insert(key, value.as_slice()).map(drop).map_err(sled_error);
        }
        let mut batch = ::sled::Batch::default();
        for (key, value) in values {
            batch.insert(key, value);
        }
        self.meta.apply_batch(batch).map_err(sled_error)
    }

    fn meta_value(&self, key: &str) -> io::Result<Option<Bytes>> {
        let value = self.meta.get(key).map_err(sled_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn are_empty(&self) -> bool {
        self.log.is_empty() && self.meta.is_empty()
    }
}
