//! Files of sandboxes: browse, read, download. Must never leave the sandboxes, also not through a symbolic link.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use libprocess::{HttpResponse, percent};
use proto::v1::{FileInfo, TimeInfo};
use serde_json::json;

use super::JSON;
use crate::store::Layout;

/// Most bytes of one read; as in Mesos, 16 pages.
const READ_BYTES_MAX: u64 = 16 * 4096;

/// Most bytes of one download; longer files are read in parts.
const DOWNLOAD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads below one work directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

type Refused = HttpResponse;

impl Files {
    /// Everything below the sandboxes of `layout`.
    pub(crate) fn new(layout: Layout) -> Self {
        Files {
            root: layout.work_dir().join("slaves"),
        }
    }

    /// The real path behind a name, if it is a sandbox's.
    fn resolve(&self, name: &str) -> Result<PathBuf, Refused> {
        if name.is_empty() {
            return Err(HttpResponse::text(400, "Expecting 'path=value' in query."));
        }
        let missing = || HttpResponse::status(404);
        let path = Path::new(name).canonicalize().map_err(|_| missing())?;
        let root = self.root.canonicalize().map_err(|_| missing())?;
        if path.starts_with(root) {
            Ok(path)
        } else {
            Err(missing())
        }
    }

    /// Runs blocking work off the event loop.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Files) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let files = self.clone();
        tokio::task::spawn_blocking(move || work(files))
            .await
            .unwrap_or_else(|_| Err(HttpResponse::status(500)))
    }

    /// The entries of a directory.
    pub(crate) async fn list(&self, name: &str) -> Result<Vec<FileInfo>, Refused> {
        let name = name.to_owned();
        self.blocking(move |files| {
            let path = files.resolve(&name)?;
            let entries = std::fs::read_dir(path).map_err(|error| HttpResponse::text(400, error.to_string()))?;
            let mut infos: Vec<FileInfo> = entries
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    let metadata = entry.metadata().ok()?;
                    let path = Path::new(&name).join(entry.file_name()).display().to_string();
                    let mtime = TimeInfo {
                        nanoseconds: metadata.mtime().saturating_mul(1_000_000_000),
                    };
                    Some(FileInfo {
                        path,
                        nlink: i32::try_from(metadata.nlink()).ok(),
                        size: Some(metadata.len()),
                        mtime: Some(mtime),
                        mode: Some(metadata.mode()),
                        uid: Some(metadata.uid().to_string()),
                        gid: Some(metadata.gid().to_string()),
                    })
                })
                .collect();
            infos.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(infos)
        })
        .await
    }

    /// Part of a file, and the file's size.
    pub(crate) async fn read_part(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(u64, Bytes), Refused> {
        let name = name.to_owned();
        let limit = length.unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
        self.blocking(move |files| read(&files.resolve(&name)?, offset, limit))
            .await
    }

    /// `GET /files/browse?path=`.
    pub(crate) async fn browse(&self, query: Option<&str>) -> HttpResponse {
        let infos = match self.list(&parameter(query, "path").unwrap_or_default()).await {
            Ok(infos) => infos,
            Err(refused) => return refused,
        };
        let entries: Vec<_> = infos
            .iter()
            .map(|info| {
                json!({
                    "path": info.path,
                    "size": info.size,
                    "nlink": info.nlink,
                    "mtime": info.mtime.as_ref().map_or(0, |time| time.nanoseconds / 1_000_000_000),
                    "mode": mode_text(info.mode.unwrap_or(0)),
                    "uid": info.uid,
                    "gid": info.gid,
                })
            })
            .collect();
        HttpResponse::ok(JSON, serde_json::Value::Array(entries).to_string())
    }

    /// `GET /files/read?path=&offset=&length=`; an offset of -1 asks for the size.
    pub(crate) async fn read(&self, query: Option<&str>) -> HttpResponse {
        let name = parameter(query, "path").unwrap_or_default();
        let number = |key: &str| parameter(query, key).and_then(|text| text.parse::<i64>().ok());
        let offset = number("offset").unwrap_or(-1);
        let length = number("length").and_then(|length| u64::try_from(length).ok());
        let wants_size = offset < 0;
        let start = u64::try_from(offset).unwrap_or(0);
        match self
            .read_part(&name, start, if wants_size { Some(0) } else { length })
            .await
        {
            Ok((size, _)) if wants_size => HttpResponse::ok(JSON, json!({"offset": size, "data": ""}).to_string()),
            Ok((_, data)) => {
                let text = json!({"offset": start, "data": String::from_utf8_lossy(&data)}).to_string();
                HttpResponse::ok(JSON, text)
            }
            Err(refused) => refused,
        }
    }

    /// `GET /files/download?path=`.
    pub(crate) async fn download(&self, query: Option<&str>) -> HttpResponse {
        let name = parameter(query, "path").unwrap_or_default();
        let content = self
            .blocking(move |files| read(&files.resolve(&name)?, 0, DOWNLOAD_BYTES_MAX))
            .await;
        match content {
            Ok((_, data)) => HttpResponse::ok("application/octet-stream", data),
            Err(refused) => refused,
        }
    }
}

fn read(path: &Path, offset: u64, limit: u64) -> Result<(u64, Bytes), Refused> {
    let failed = |error: std::io::Error| HttpResponse::text(400, error.to_string());
    if !path.is_file() {
        return Err(HttpResponse::text(400, format!("{} is not a file", path.display())));
    }
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut data = Vec::new();
    file.take(limit).read_to_end(&mut data).map_err(failed)?;
    Ok((size, data.into()))
}

fn parameter(query: Option<&str>, key: &str) -> Option<String> {
    let pair = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
    percent::decode(pair).ok()
}

/// A mode as `ls -l` prints it.
fn mode_text(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        _ => '-',
    };
    let bits = (0..9).rev().map(|bit| {
        let letter = ['x', 'w', 'r'][bit as usize % 3];
        if mode >> bit & 1 == 1 { letter } else { '-' }
    });
    std::iter::once(kind).chain(bits).collect()
}
