//! A file system that forgets: what was written is durable once `fsync` or `fdatasync` arrives for the file, a name
//! once its directory was synced. Mounted through FUSE, it sees the real system calls; `sync_file_range` never reaches
//! it, exactly as it never reaches a disk's cache.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

/// The kernel asks each time.
const TTL: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
/// Blocks that seem to be free.
const BLOCKS_FREE: u64 = 1 << 20;

#[derive(Clone)]
enum Node {
    Directory {
        names: BTreeMap<OsString, u64>,
        durable: BTreeMap<OsString, u64>,
    },
    File {
        content: Vec<u8>,
        durable: Vec<u8>,
    },
}

impl Node {
    fn directory() -> Self {
        Node::Directory {
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
        }
    }

    fn file() -> Self {
        Node::File {
            content: Vec::new(),
            durable: Vec::new(),
        }
    }

    fn sync(&mut self) {
        match self {
            Node::Directory { names, durable } => durable.clone_from(names),
            Node::File { content, durable } => durable.clone_from(content),
        }
    }

    fn attributes(&self, number: u64) -> FileAttr {
        let (kind, size) = match self {
            Node::Directory { .. } => (FileType::Directory, 0),
            Node::File { content, .. } => (FileType::RegularFile, content.len() as u64),
        };
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

/// Nodes stay after their last name is gone; a test is short.
#[derive(Default)]
struct Nodes {
    nodes: HashMap<u64, Node>,
    last: u64,
}

impl Nodes {
    fn names(&mut self, directory: INodeNo) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match self.nodes.get_mut(&directory.0) {
            Some(Node::Directory { names, .. }) => Ok(names),
            Some(Node::File { .. }) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn content(&mut self, file: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        match self.nodes.get_mut(&file.0) {
            Some(Node::File { content, .. }) => Ok(content),
            Some(Node::Directory { .. }) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let number = *self.names(parent)?.get(name).ok_or(Errno::ENOENT)?;
        self.attributes(INodeNo(number))
    }

    fn attributes(&self, node: INodeNo) -> Result<FileAttr, Errno> {
        Ok(self.nodes.get(&node.0).ok_or(Errno::ENOENT)?.attributes(node.0))
    }

    fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        self.last += 1;
        let number = self.last;
        let attributes = node.attributes(number);
        self.names(parent)?.insert(name.to_owned(), number);
        self.nodes.insert(number, node);
        Ok(attributes)
    }

    fn write_durable(&self, number: u64, to: &Path) {
        match &self.nodes[&number] {
            Node::File { durable, .. } => fs::write(to, durable).unwrap(),
            Node::Directory { durable, .. } => {
                fs::create_dir_all(to).unwrap();
                for (name, number) in durable {
                    self.write_durable(*number, &to.join(name));
                }
            }
        }
    }
}

/// The file system; clones are the same.
#[derive(Clone)]
pub(super) struct VolatileFs(Arc<Mutex<Nodes>>);

impl VolatileFs {
    pub(super) fn new() -> Self {
        let nodes = HashMap::from([(INodeNo::ROOT.0, Node::directory())]);
        VolatileFs(Arc::new(Mutex::new(Nodes {
            nodes,
            last: INodeNo::ROOT.0,
        })))
    }

    /// Mounts it; `None`, with the reason printed, where that is not possible.
    pub(super) fn mount(&self, at: &Path) -> Option<fuser::BackgroundSession> {
        if !Path::new("/dev/fuse").exists() {
            println!("SKIPPED: there is no /dev/fuse");
            return None;
        }
        fuser::spawn_mount(self.clone(), at, &Config::default())
            .inspect_err(|error| println!("SKIPPED: mounting a file system: {error}"))
            .ok()
    }

    /// Writes what the loss of power would leave.
    pub(super) fn after_power_cut(&self, to: &Path) {
        self.nodes().write_durable(INodeNo::ROOT.0, to);
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap()
    }

    fn sync(&self, node: INodeNo, reply: ReplyEmpty) {
        match self.nodes().nodes.get_mut(&node.0) {
            Some(node) => {
                node.sync();
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }
}

fn answer_entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for VolatileFs {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(self.nodes().find(parent, name), reply);
    }

    fn getattr(&self, _request: &Request, node: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.nodes().attributes(node) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        node: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.nodes();
        if let Some(size) = size {
            match nodes.content(node) {
                Ok(content) => content.resize(size as usize, 0),
                Err(error) => return reply.error(error),
            }
        }
        match nodes.attributes(node) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        answer_entry(self.nodes().add(parent, name, Node::directory()), reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self
            .nodes()
            .names(parent)
            .and_then(|names| names.remove(name).map(|_| ()).ok_or(Errno::ENOENT));
        answer_empty(removed, reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(request, parent, name, reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut nodes = self.nodes();
        let renamed = nodes
            .names(parent)
            .and_then(|names| names.remove(name).ok_or(Errno::ENOENT))
            .and_then(|number| {
                nodes.names(new_parent)?.insert(new_name.to_owned(), number);
                Ok(())
            });
        answer_empty(renamed, reply);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.nodes().add(parent, name, Node::file()) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.nodes().content(node) {
            Ok(content) => {
                let start = (offset as usize).min(content.len());
                let end = (start + size as usize).min(content.len());
                reply.data(&content[start..end]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.nodes().content(node) {
            Ok(content) => {
                let end = offset as usize + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[offset as usize..end].copy_from_slice(data);
                reply.written(data.len() as u32);
            }
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _request: &Request, _node: INodeNo, _handle: FileHandle, _lock: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, node: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn fsyncdir(&self, _request: &Request, node: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn readdir(&self, _request: &Request, node: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut nodes = self.nodes();
        let names = match nodes.names(node) {
            Ok(names) => names.clone(),
            Err(error) => return reply.error(error),
        };
        for (place, (name, number)) in (1..).zip(names).skip(offset as usize) {
            let kind = nodes.nodes[&number].attributes(number).kind;
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _node: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            BLOCKS_FREE,
            BLOCKS_FREE,
            BLOCKS_FREE,
            1 << 20,
            1 << 20,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
    }
}
