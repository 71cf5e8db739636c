//! The settings of this master as text, under Mesos's flag names where Mesos has the flag.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Config;

/// Every setting by flag name; optional ones only when they are set.
pub(super) fn flags(config: &Config) -> BTreeMap<&'static str, String> {
    let mut flags = BTreeMap::from([
        ("agent_ping_timeout", duration(config.agent_ping_timeout)),
        ("agent_reregister_timeout", duration(config.agent_reregister_timeout)),
        ("allocation_interval", duration(config.allocation_interval)),
        ("cluster", config.cluster.clone()),
        ("follower_wait", duration(config.follower_wait)),
        ("heartbeat_interval", duration(config.heartbeat_interval)),
        ("ip", config.ip.to_string()),
        ("max_agent_ping_timeouts", config.max_agent_ping_timeouts.to_string()),
        ("max_body_bytes", config.max_body_bytes.to_string()),
        (
            "max_completed_frameworks",
            master_core::registry::COMPLETED_FRAMEWORKS_MAX.to_string(),
        ),
        (
            "max_completed_tasks_per_framework",
            master_core::registry::COMPLETED_TASKS_PER_FRAMEWORK_MAX.to_string(),
        ),
        (
            "max_unreachable_tasks_per_framework",
            master_core::registry::UNREACHABLE_TASKS_PER_FRAMEWORK_MAX.to_string(),
        ),
        (
            "max_operator_event_stream_subscribers",
            config.max_operator_event_stream_subscribers.to_string(),
        ),
        ("node_id", config.node_id.to_string()),
        ("port", config.port.to_string()),
        ("propose_timeout", duration(config.propose_timeout)),
        ("raft_election_max", duration(config.raft_election_max)),
        ("raft_election_min", duration(config.raft_election_min)),
        ("raft_heartbeat", duration(config.raft_heartbeat)),
        ("raft_port", config.raft_port.to_string()),
        (
            "registry_max_agent_count",
            master_core::registry::UNREACHABLE_AGENTS_MAX.to_string(),
        ),
        ("root_submissions", config.root_submissions.to_string()),
        ("snapshot_every", config.snapshot_every.to_string()),
    ]);
    let members: Vec<String> = config
        .initial_cluster
        .iter()
        .map(|(id, address)| format!("{id}={address}"))
        .collect();
    let optional = [
        ("advertise_ip", config.advertise_ip.map(|ip| ip.to_string())),
        ("advertise_port", config.advertise_port.map(|port| port.to_string())),
        ("hostname", config.hostname.clone()),
        ("initial_cluster", (!members.is_empty()).then(|| members.join(","))),
        ("join", config.join.clone()),
        ("offer_timeout", config.offer_timeout.map(duration)),
        ("roles", config.roles.as_ref().map(|roles| roles.join(","))),
        (
            "work_dir",
            config.work_dir.as_ref().map(|dir| dir.display().to_string()),
        ),
    ];
    flags.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    flags
}

/// A duration in Mesos's notation: the largest unit that leaves no rest, `15secs`, `10mins`, `100ms`.
fn duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 7] = [
        (604_800_000_000_000, "weeks"),
        (86_400_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanoseconds = duration.as_nanos();
    let fitting = UNITS
        .iter()
        .find(|(unit, _)| nanoseconds >= *unit && nanoseconds.is_multiple_of(*unit));
    match fitting {
        Some((unit, name)) => format!("{}{name}", nanoseconds / unit),
        None => format!("{nanoseconds}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_the_largest_whole_unit() {
        for (time, text) in [
            (Duration::from_secs(15), "15secs"),
            (Duration::from_secs(60), "1mins"),
            (Duration::from_secs(600), "10mins"),
            (Duration::from_secs(90), "90secs"),
            (Duration::from_secs(14 * 86_400), "2weeks"),
            (Duration::from_millis(1_500), "1500ms"),
            (Duration::ZERO, "0ns"),
        ] {
            assert_eq!(duration(time), text);
        }
    }

    #[test]
    fn unset_flags_are_left_out() {
        let flags = flags(&Config::default());
        assert_eq!(flags.get("agent_ping_timeout").map(String::as_str), Some("15secs"));
        assert_eq!(flags.get("port").map(String::as_str), Some("5050"));
        assert_eq!(flags.get("hostname"), None);
        assert_eq!(flags.get("initial_cluster"), None);
    }
}
