//! Planned hand-overs in a row while frameworks write and operators read. No call of a framework fails and none is of unknown
//! fate: each is carried out, or its caller is told to go to the next leader. No read is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::http;
use cluster_tests::master;
use cluster_tests::subscriber::{Subscriber, framework_info};
use cluster_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

/// Frameworks that write.
const WRITERS: usize = 6;
/// Hand-overs in a row.
const HAND_OVERS: usize = 9;
/// Writes that each framework gets through between two hand-overs.
const WRITES_BETWEEN: u64 = 5;
/// Longest wait for an answer: longer than masters hold a call.
const ANSWER: Duration = Duration::from_secs(20);

/// What the writers and readers share with the test.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    writes: [AtomicU64; WRITERS],
    reads: AtomicU64,
    moved: AtomicU64,
}

/// The port that a `307` points to.
fn target(response: &http::Response) -> Result<u16> {
    let location = response.header("location").context("a redirect without Location")?;
    let authority = location.trim_start_matches("//").split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port.parse());
    Ok(port.with_context(|| format!("a redirect to {location}"))??)
}

/// Subscribes with whoever leads.
fn subscribe(ports: &[u16], info: &Value) -> Result<Subscriber> {
    wait_for("the framework is subscribed", PATIENCE, || {
        for port in ports {
            if let Ok(Some(leader)) = master::leader_port(*port)
                && let Ok(subscriber) = Subscriber::open(leader, info)
            {
                return Ok(Some(subscriber));
            }
        }
        Ok(None)
    })
}

/// Updates a framework until told to stop; an error is a call that failed.
fn write(ports: &[u16], number: usize, shared: &Shared) -> Result<()> {
    let mut info = framework_info(&format!("writer-{number}"));
    let mut written = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let subscriber = subscribe(ports, &info)?;
        info["id"] = subscriber.framework_id()?;
        while !shared.stop.load(Ordering::Relaxed) {
            info["labels"] = json!({"labels": [{"key": "write", "value": format!("{}", written + 1)}]});
            let call = json!({"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": info}});
            let answer = match subscriber.call(call) {
                Ok(answer) => answer,
                // Nobody listens there any more, so that nothing was sent.
                Err(error) if format!("{error:#}").contains("cannot connect to") => break,
                Err(error) => return Err(error.context(format!("UPDATE_FRAMEWORK to port {}", subscriber.port))),
            };
            match (answer.status, answer.text()) {
                (200, _) => {
                    written += 1;
                    shared.writes[number].store(written, Ordering::Relaxed);
                }
                (307, _) => {
                    ensure!(target(&answer)? != subscriber.port, "redirected to where it came from");
                    shared.moved.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                // It leads again and wants a subscription first.
                (403, text) if text == "Framework is not subscribed" => break,
                (status, text) => bail!("UPDATE_FRAMEWORK was answered {status}: {text}"),
            }
        }
    }
    Ok(())
}

/// Reads at one master until told to stop, following redirects.
fn read(first: u16, shared: &Shared) -> Result<()> {
    while !shared.stop.load(Ordering::Relaxed) {
        let mut port = first;
        loop {
            // This client keeps coming back to a master that ends: its connection may be closed then, as by any server
            // that stops. What is answered, however, is never a refusal.
            let Ok(answer) = http::get(port, "/master/frameworks", ANSWER) else {
                break;
            };
            match answer.status {
                200 => {
                    shared.reads.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                307 => port = target(&answer)?,
                // A master that has just been started.
                503 if answer.text() == "Master has not finished recovery" => break,
                status => bail!("a read at port {port} was answered {status}: {}", answer.text()),
            }
        }
    }
    Ok(())
}

fn outcome(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a client panicked"))?
}

#[test]
fn no_call_fails_and_none_is_of_unknown_fate_while_leaders_hand_over() -> Result<()> {
    let mut cluster = Cluster::builder().start()?;
    let ports: Vec<u16> = (0..3).map(|index| cluster.port(index)).collect();
    let shared = Arc::new(Shared::default());
    let mut clients: Vec<JoinHandle<Result<()>>> = Vec::new();
    for number in 0..WRITERS {
        let (ports, shared) = (ports.clone(), Arc::clone(&shared));
        clients.push(std::thread::spawn(move || write(&ports, number, &shared)));
    }
    for port in ports.clone() {
        let shared = Arc::clone(&shared);
        clients.push(std::thread::spawn(move || read(port, &shared)));
    }
    let writes = |shared: &Shared| -> Vec<u64> { shared.writes.iter().map(|it| it.load(Ordering::Relaxed)).collect() };
    for round in 0..=HAND_OVERS {
        let before = writes(&shared);
        let what = format!("everybody writes after {round} hand-overs");
        let mut failed = None;
        wait_until(&what, PATIENCE, || {
            failed = clients.iter().position(JoinHandle::is_finished);
            let now = writes(&shared);
            let all_wrote = now
                .iter()
                .zip(&before)
                .all(|(now, before)| now - before >= WRITES_BETWEEN);
            Ok(failed.is_some() || all_wrote)
        })?;
        if let Some(failed) = failed {
            outcome(clients.remove(failed))?;
            bail!("a client ended early");
        }
        if round < HAND_OVERS {
            let leader = cluster.wait_for_leader()?;
            cluster.terminate_master(leader)?;
            cluster.masters[leader].start()?;
            cluster.wait_until_follows(leader)?;
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    clients.into_iter().try_for_each(outcome)?;
    println!(
        "{} writes, {} reads, {} calls sent on",
        writes(&shared).iter().sum::<u64>(),
        shared.reads.load(Ordering::Relaxed),
        shared.moved.load(Ordering::Relaxed)
    );
    // Each acknowledged write is there.
    let frameworks = http::get(cluster.leader_port()?, "/master/frameworks", ANSWER)?.json()?;
    for (number, written) in writes(&shared).into_iter().enumerate() {
        let listed = frameworks["frameworks"].as_array().context("no list of frameworks")?;
        let name = format!("writer-{number}");
        let framework = listed
            .iter()
            .find(|it| it["name"] == *name)
            .with_context(|| format!("{name} is gone"))?;
        ensure!(
            framework["labels"][0]["value"] == written.to_string().as_str(),
            "{name} has acknowledged write {written} and is listed with {}",
            framework["labels"]
        );
    }
    cluster.passed()
}
