//! The system calls, as the kernel hands them on.

use std::ffi::OsStr;
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::VolatileFs;
use crate::nodes::{BLOCK_BYTES, Node};

/// The kernel asks each time.
const TTL: Duration = Duration::ZERO;
/// Blocks that seem to be there, and to be free unless the disk is full.
const BLOCKS: u64 = 1 << 20;

impl VolatileFs {
    /// Waits as long as the disk takes at present.
    fn take_time(&self) {
        let latency = self.disk().faults.latency;
        if !latency.is_zero() {
            thread::sleep(latency);
        }
    }

    fn make(&self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        let mut disk = self.disk();
        if disk.faults.full {
            return Err(Errno::ENOSPC);
        }
        disk.nodes.add(parent, name, node)
    }

    fn do_write(&self, node: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        self.take_time();
        let mut disk = self.disk();
        let faults = disk.faults;
        let file = disk.nodes.file(node)?;
        if faults.fail_writes {
            return Err(Errno::EIO);
        }
        if faults.full && file.would_grow(offset, data.len()) {
            return Err(Errno::ENOSPC);
        }
        file.write(offset, data);
        u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
    }

    fn do_sync(&self, node: INodeNo, reply: ReplyEmpty) {
        self.take_time();
        let mut disk = self.disk();
        let done = match disk.faults.fail_syncs {
            true => Err(Errno::EIO),
            false => disk.nodes.sync(node),
        };
        answer_empty(done, reply);
    }
}

fn answer_entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(found: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match found {
        Ok(attributes) => reply.attr(&TTL, &attributes),
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
        answer_entry(self.disk().nodes.find(parent, name), reply);
    }

    fn getattr(&self, _request: &Request, node: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(self.disk().nodes.attributes(node), reply);
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
        let mut disk = self.disk();
        let faults = disk.faults;
        let resized = match size {
            None => Ok(()),
            Some(_) if faults.fail_writes => Err(Errno::EIO),
            Some(size) => disk
                .nodes
                .file(node)
                .and_then(|file| match faults.full && size > file.len() {
                    true => Err(Errno::ENOSPC),
                    false => {
                        file.set_len(size);
                        Ok(())
                    }
                }),
        };
        answer_attributes(resized.and_then(|()| disk.nodes.attributes(node)), reply);
    }

    fn mkdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        answer_entry(self.make(parent, name, Node::directory()), reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(self.disk().nodes.remove(parent, name, FileType::RegularFile), reply);
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(self.disk().nodes.remove(parent, name, FileType::Directory), reply);
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
        let renamed = self.disk().nodes.rename((parent, name), (new_parent, new_name));
        answer_empty(renamed, reply);
    }

    fn open(&self, _request: &Request, node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.disk().nodes.open(node, 1);
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn release(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.disk().nodes.open(node, -1);
        reply.ok();
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
        match self.make(parent, name, Node::file()) {
            Ok(attributes) => {
                self.disk().nodes.open(attributes.ino, 1);
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
        let mut disk = self.disk();
        if disk.faults.fail_reads {
            return reply.error(Errno::EIO);
        }
        match disk.nodes.file(node) {
            Ok(file) => reply.data(file.read(offset, size)),
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
        match self.do_write(node, offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _request: &Request, _node: INodeNo, _handle: FileHandle, _lock: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, node: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.do_sync(node, reply);
    }

    fn fsyncdir(&self, _request: &Request, node: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.do_sync(node, reply);
    }

    fn readdir(&self, _request: &Request, node: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut disk = self.disk();
        let names = match disk.nodes.names(node) {
            Ok(names) => names.clone(),
            Err(error) => return reply.error(error),
        };
        let seen = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (name, number)) in (1..).zip(names).skip(seen) {
            let kind = disk.nodes.get(number).map_or(FileType::RegularFile, Node::kind);
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _node: INodeNo, reply: ReplyStatfs) {
        let free = if self.disk().faults.full { 0 } else { BLOCKS };
        reply.statfs(BLOCKS, free, free, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
