//! A master refuses a data directory that is not its own, in a sentence that says what to do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::Framework;
use cluster_tests::node::Node;

/// What the log certainly holds: the name of the framework.
const WITNESS: &[u8] = b"durable";

/// Starts the master, which must end by itself without success; returns what it said.
fn refused(node: &mut Node) -> Result<String> {
    let before = node.log_text().len();
    node.start()?;
    let status = node.wait_for_exit(PATIENCE)?;
    let said = node.log_text()[before..].to_owned();
    ensure!(!status.success(), "it ended with success and said: {said}");
    ensure!(!said.contains("panicked at"), "it panicked: {said}");
    Ok(said)
}

/// Checks that the message holds each of the words, in any case.
fn says(message: &str, words: &[&str]) -> Result<()> {
    let lower = message.to_lowercase();
    for word in words {
        ensure!(
            lower.contains(&word.to_lowercase()),
            "the message does not name '{word}': {message}"
        );
    }
    Ok(())
}

/// The largest file below the folder.
fn largest_file(folder: &Path) -> Result<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    let mut largest: Option<(u64, PathBuf)> = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.metadata()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if largest.as_ref().is_none_or(|(size, _)| kind.len() > *size) {
                largest = Some((kind.len(), entry.path()));
            }
        }
    }
    Ok(largest
        .with_context(|| format!("no file below {}", folder.display()))?
        .1)
}

#[test]
fn a_directory_of_another_cluster_is_refused() -> Result<()> {
    let mut cluster = Cluster::builder().start()?;
    let name = cluster
        .folder()
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    cluster.masters[0].kill9()?;
    cluster.masters[0].set_flag("cluster", "elsewhere");
    let said = refused(&mut cluster.masters[0])?;
    says(&said, &["elsewhere", &name, "directory"])?;
    cluster.masters[0].set_flag("cluster", &name);
    cluster.masters[0].start()?;
    cluster.wait_until_follows(0)?;
    cluster.passed()
}

#[test]
fn a_directory_of_another_node_is_refused() -> Result<()> {
    let mut cluster = Cluster::builder().start()?;
    cluster.masters[0].kill9()?;
    cluster.masters[0].set_flag("node_id", "2");
    let said = refused(&mut cluster.masters[0])?;
    says(&said, &["node", "1", "2", "directory"])?;
    cluster.masters[0].set_flag("node_id", "1");
    cluster.masters[0].start()?;
    cluster.wait_until_follows(0)?;
    cluster.passed()
}

#[test]
fn an_empty_directory_where_a_member_s_used_to_be_is_refused() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=2", "--agents=1", "--shorts"])?;
    framework.wait_for_running(2)?;
    let leader = cluster.wait_for_leader()?;
    let victim = (0..3).find(|index| *index != leader).unwrap_or(0);
    cluster.masters[victim].kill9()?;
    std::fs::remove_dir_all(cluster.master_folder(victim))?;
    let said = refused(&mut cluster.masters[victim])?;
    says(&said, &["empty", "member"])?;
    // Refused twice: the first attempt must not have left a directory that the second one takes for good.
    let said = refused(&mut cluster.masters[victim])?;
    says(&said, &["member"])?;
    framework.wait_for_progress(3)?;
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}

#[test]
fn a_corrupted_log_is_refused_and_the_others_go_on() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=2", "--agents=1", "--shorts"])?;
    framework.wait_for_running(2)?;
    framework.wait_for_progress(10)?;
    let leader = cluster.wait_for_leader()?;
    let victim = (0..3).find(|index| *index != leader).unwrap_or(0);
    cluster.masters[victim].kill9()?;
    let path = largest_file(&cluster.master_folder(victim))?;
    // Every record that holds the framework's name is damaged; other parts of the file may be out of use.
    let mut bytes = std::fs::read(&path)?;
    let places: Vec<usize> = bytes
        .windows(WITNESS.len())
        .enumerate()
        .filter(|(_, part)| *part == WITNESS)
        .map(|(place, _)| place)
        .collect();
    ensure!(
        !places.is_empty(),
        "{} does not hold the framework's name",
        path.display()
    );
    for place in places {
        bytes[place] ^= 0x20;
    }
    std::fs::write(&path, bytes)?;
    let said = refused(&mut cluster.masters[victim])?;
    ensure!(
        ["corrupt", "checksum", "damaged"]
            .iter()
            .any(|word| said.to_lowercase().contains(word)),
        "it does not say what is wrong: {said}"
    );
    framework.wait_for_progress(3)?;
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}
