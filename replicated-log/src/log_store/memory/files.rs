//! Files beside the log: their bytes and their names become durable separately, as on a real file system.

use std::collections::BTreeMap;
use std::io;

use bytes::{Bytes, BytesMut};

use super::faults::Random;

/// All files of the disk; a name stands for a number, so that a renamed file stays the same.
#[derive(Debug, Default)]
pub(super) struct Files {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes from `durable_names` to `names`, in order.
    changes: Vec<NameChange>,
    last_number: u64,
}

#[derive(Debug, Default)]
struct Content {
    bytes: BytesMut,
    /// How many of them are durable.
    durable: usize,
}

#[derive(Debug)]
enum NameChange {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Create(name, number) => {
            names.insert(name.clone(), *number);
        }
        NameChange::Rename(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

impl Files {
    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn number(&self, name: &str) -> io::Result<u64> {
        let number = self.names.get(name).copied();
        number.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no file '{name}'")))
    }

    fn content(&mut self, name: &str) -> io::Result<&mut Content> {
        let number = self.number(name)?;
        Ok(self.contents.entry(number).or_default())
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Bytes> {
        let number = self.number(name)?;
        let content = self.contents.get(&number);
        Ok(content.map_or_else(Bytes::new, |content| Bytes::copy_from_slice(&content.bytes)))
    }

    pub(super) fn create(&mut self, name: &str) {
        self.last_number += 1;
        self.contents.insert(self.last_number, Content::default());
        self.change(NameChange::Create(name.to_owned(), self.last_number));
    }

    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.content(name)?.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self, name: &str) -> io::Result<()> {
        let content = self.content(name)?;
        content.durable = content.bytes.len();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.number(from)?;
        self.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn sync_names(&mut self) {
        self.changes.clear();
        self.durable_names.clone_from(&self.names);
        self.forget_unnamed();
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.number(name)?;
        self.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    /// The bytes that were not durable are there in part, and the changes of names up to some one.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        for content in self.contents.values_mut() {
            let lost = content.bytes.len() - content.durable;
            let kept = content.durable + random.below(lost + 1);
            content.bytes.truncate(kept);
            content.durable = kept;
        }
        let kept = random.below(self.changes.len() + 1);
        for change in self.changes.drain(..).take(kept) {
            apply(&mut self.durable_names, &change);
        }
        self.names.clone_from(&self.durable_names);
        self.forget_unnamed();
    }

    /// The bytes of a file that shall be damaged.
    pub(super) fn durable_bytes(&mut self, name: &str) -> Option<&mut [u8]> {
        let number = self.durable_names.get(name)?;
        Some(&mut self.contents.get_mut(number)?.bytes)
    }

    fn forget_unnamed(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        self.contents
            .retain(|number, _| names.values().chain(durable.values()).any(|named| named == number));
    }
}
