//! Directories and files by number, with what of their names is durable.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{fs, io};

use fuser::{Errno, FileAttr, FileType, INodeNo};

use crate::file::{Chance, File};

pub(crate) const BLOCK_BYTES: u32 = 4096;
/// Permissions of everything: one user has it all.
const PERMISSIONS: u16 = 0o755;

type Names = BTreeMap<OsString, u64>;

/// A directory or a file.
pub(crate) enum Node {
    Directory { names: Names, durable: Names },
    File { file: File, opened: u64 },
}

impl Node {
    pub(crate) fn directory() -> Self {
        Node::Directory {
            names: Names::new(),
            durable: Names::new(),
        }
    }

    pub(crate) fn file() -> Self {
        Node::File {
            file: File::default(),
            opened: 0,
        }
    }

    pub(crate) fn kind(&self) -> FileType {
        match self {
            Node::Directory { .. } => FileType::Directory,
            Node::File { .. } => FileType::RegularFile,
        }
    }

    fn attributes(&self, number: u64) -> FileAttr {
        let size = match self {
            Node::Directory { .. } => 0,
            Node::File { file, .. } => file.len(),
        };
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: self.kind(),
            perm: PERMISSIONS,
            nlink: 1,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

/// Everything on the disk.
pub(crate) struct Nodes {
    nodes: HashMap<u64, Node>,
    last: u64,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        Nodes {
            nodes: HashMap::from([(INodeNo::ROOT.0, Node::directory())]),
            last: INodeNo::ROOT.0,
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub(crate) fn names(&mut self, directory: INodeNo) -> Result<&mut Names, Errno> {
        match self.nodes.get_mut(&directory.0) {
            Some(Node::Directory { names, .. }) => Ok(names),
            Some(Node::File { .. }) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub(crate) fn file(&mut self, number: INodeNo) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&number.0) {
            Some(Node::File { file, .. }) => Ok(file),
            Some(Node::Directory { .. }) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    pub(crate) fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let number = *self.names(parent)?.get(name).ok_or(Errno::ENOENT)?;
        self.attributes(INodeNo(number))
    }

    pub(crate) fn attributes(&self, node: INodeNo) -> Result<FileAttr, Errno> {
        Ok(self.get(node.0).ok_or(Errno::ENOENT)?.attributes(node.0))
    }

    pub(crate) fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        self.last += 1;
        let number = self.last;
        let attributes = node.attributes(number);
        self.names(parent)?.insert(name.to_owned(), number);
        self.nodes.insert(number, node);
        Ok(attributes)
    }

    pub(crate) fn remove(&mut self, parent: INodeNo, name: &OsStr, kind: FileType) -> Result<(), Errno> {
        let number = *self.names(parent)?.get(name).ok_or(Errno::ENOENT)?;
        match self.get(number) {
            Some(Node::Directory { names, .. }) if kind == FileType::Directory && !names.is_empty() => {
                return Err(Errno::ENOTEMPTY);
            }
            Some(node) if node.kind() != kind && kind == FileType::Directory => return Err(Errno::ENOTDIR),
            Some(node) if node.kind() != kind => return Err(Errno::EISDIR),
            _ => {}
        }
        self.names(parent)?.remove(name);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr)) -> Result<(), Errno> {
        self.names(to.0)?;
        let number = self.names(from.0)?.remove(from.1).ok_or(Errno::ENOENT)?;
        self.names(to.0)?.insert(to.1.to_owned(), number);
        Ok(())
    }

    /// Counts who has a file open, so that it stays after its last name is gone.
    pub(crate) fn open(&mut self, number: INodeNo, by: i64) {
        if let Some(Node::File { opened, .. }) = self.nodes.get_mut(&number.0) {
            *opened = opened.saturating_add_signed(by);
        }
    }

    pub(crate) fn sync(&mut self, number: INodeNo) -> Result<(), Errno> {
        match self.nodes.get_mut(&number.0).ok_or(Errno::ENOENT)? {
            Node::File { file, .. } => file.sync(),
            Node::Directory { names, durable } => {
                durable.clone_from(names);
                self.collect();
            }
        }
        Ok(())
    }

    /// Forgets what has neither a name, now or after a power cut, nor anybody who has it open.
    fn collect(&mut self) {
        let mut named = BTreeSet::from([INodeNo::ROOT.0]);
        for node in self.nodes.values() {
            if let Node::Directory { names, durable } = node {
                named.extend(names.values().chain(durable.values()));
            }
        }
        self.nodes
            .retain(|number, node| named.contains(number) || matches!(node, Node::File { opened, .. } if *opened > 0));
    }

    pub(crate) fn cut_power(&mut self, torn: Option<u64>) {
        let mut chance = torn.map(Chance);
        // In order, so that the same number tears the same.
        let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            match self.nodes.get_mut(&number) {
                Some(Node::File { file, .. }) => file.cut_power(chance.as_mut()),
                Some(Node::Directory { names, durable }) => {
                    // A journal of names is written in order: as far as it goes, whole.
                    if chance.as_mut().is_some_and(Chance::coin) {
                        durable.clone_from(names);
                    }
                    names.clone_from(durable);
                }
                None => {}
            }
        }
    }

    pub(crate) fn write_durable(&self, to: &Path) -> io::Result<()> {
        self.write_durable_node(INodeNo::ROOT.0, to)
    }

    fn write_durable_node(&self, number: u64, to: &Path) -> io::Result<()> {
        match self.get(number) {
            Some(Node::File { file, .. }) => fs::write(to, file.durable()),
            Some(Node::Directory { durable, .. }) => {
                fs::create_dir_all(to)?;
                let mut entries = durable.iter();
                entries.try_for_each(|(name, number)| self.write_durable_node(*number, &to.join(name)))
            }
            None => Ok(()),
        }
    }
}
