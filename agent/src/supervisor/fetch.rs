//! Copies the files a command asks for (`CommandInfo.uris`) into the sandbox.
//!
//! Only local files: `file://` and absolute paths. The copying runs as the task's user, so that a task can never get
//! at a file its user may not read. Must never follow a name out of the sandbox.

use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::spec::Fetch;
use super::user::Identity;

/// Archives that are unpacked, by the end of their name, with the command that does it.
const ARCHIVES: [(&str, &[&str]); 8] = [
    (".tar", &["tar", "-xf"]),
    (".tar.gz", &["tar", "-xzf"]),
    (".tgz", &["tar", "-xzf"]),
    (".tar.bz2", &["tar", "-xjf"]),
    (".tbz2", &["tar", "-xjf"]),
    (".tar.xz", &["tar", "-xJf"]),
    (".txz", &["tar", "-xJf"]),
    (".zip", &["unzip", "-o", "-q"]),
];

/// Places one file into `sandbox`.
///
/// Errors: a sentence for the task's status: the URI is not local, the name leaves the sandbox, or a command failed.
pub(crate) fn fetch(item: &Fetch, sandbox: &Path, identity: Option<&Identity>) -> Result<(), String> {
    let source = local_path(&item.uri)?;
    let name = match &item.output_file {
        Some(name) => PathBuf::from(name),
        None => PathBuf::from(
            source
                .file_name()
                .ok_or_else(|| format!("URI '{}' does not name a file", item.uri))?,
        ),
    };
    if name.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(format!(
            "output file '{}' of URI '{}' is not inside the sandbox",
            name.display(),
            item.uri
        ));
    }
    let target = sandbox.join(&name);
    if let Some(parent) = name.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        run(
            Command::new("mkdir").arg("-p").arg("--").arg(sandbox.join(parent)),
            sandbox,
            identity,
        )?;
    }
    run(
        Command::new("cp").arg("-L").arg("--").arg(&source).arg(&target),
        sandbox,
        identity,
    )?;
    if item.executable {
        return run(
            Command::new("chmod").arg("a+x").arg("--").arg(&target),
            sandbox,
            identity,
        );
    }
    if item.extract
        && let Some(command) = unpacker(&name)
    {
        return run(
            Command::new(command[0]).args(&command[1..]).arg(&target),
            sandbox,
            identity,
        );
    }
    Ok(())
}

/// The path behind a local URI.
fn local_path(uri: &str) -> Result<PathBuf, String> {
    let path = match uri.split_once("://") {
        Some(("file", rest)) => rest.strip_prefix("localhost").unwrap_or(rest),
        Some(_) => {
            return Err(format!(
                "cannot fetch URI '{uri}': this agent copies local files only (file:// or a path)"
            ));
        }
        None => uri,
    };
    if !path.starts_with('/') {
        return Err(format!("cannot fetch URI '{uri}': the path is not absolute"));
    }
    Ok(PathBuf::from(path))
}

fn unpacker(name: &Path) -> Option<&'static [&'static str]> {
    let name = name.file_name()?.to_str()?;
    ARCHIVES
        .iter()
        .find(|(end, _)| name.ends_with(end))
        .map(|(_, command)| *command)
}

fn run(command: &mut Command, sandbox: &Path, identity: Option<&Identity>) -> Result<(), String> {
    command.current_dir(sandbox);
    if let Some(identity) = identity {
        command.uid(identity.uid).gid(identity.gid);
    }
    let output = command
        .process_group(0)
        .output()
        .map_err(|error| format!("cannot run {:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{:?} failed: {}", command.get_program(), said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(uri: &str) -> Fetch {
        Fetch {
            uri: uri.into(),
            executable: false,
            extract: true,
            output_file: None,
        }
    }

    #[test]
    fn only_local_absolute_uris_are_accepted() {
        assert_eq!(local_path("file:///etc/hosts").unwrap(), Path::new("/etc/hosts"));
        assert_eq!(local_path("/etc/hosts").unwrap(), Path::new("/etc/hosts"));
        assert!(local_path("http://h/x").unwrap_err().contains("local files only"));
        assert!(local_path("relative/x").unwrap_err().contains("not absolute"));
    }

    #[test]
    fn a_file_is_copied_under_its_own_or_the_given_name_and_never_outside() {
        let sandbox = tempfile::tempdir().unwrap();
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), "content").unwrap();
        let uri = source.path().to_str().unwrap();
        fetch(&item(uri), sandbox.path(), None).unwrap();
        let copy = sandbox.path().join(source.path().file_name().unwrap());
        assert_eq!(std::fs::read_to_string(copy).unwrap(), "content");

        let named = Fetch {
            output_file: Some("in/side".into()),
            executable: true,
            ..item(uri)
        };
        fetch(&named, sandbox.path(), None).unwrap();
        assert_eq!(
            std::fs::read_to_string(sandbox.path().join("in/side")).unwrap(),
            "content"
        );

        let outside = Fetch {
            output_file: Some("../out".into()),
            ..item(uri)
        };
        assert!(
            fetch(&outside, sandbox.path(), None)
                .unwrap_err()
                .contains("not inside the sandbox")
        );
    }
}
