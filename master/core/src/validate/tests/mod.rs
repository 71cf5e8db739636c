//! Every row of the observed refusals (errors of an unmodified master) that belongs to these calls is a row here. Inputs are
//! JSON fragments laid over a valid message: of a repeated key the last one counts.

mod agents;
mod calls;
mod group;
mod operations;
mod quota;
mod subscription;
mod tasks;

use super::*;
use crate::command::{AdmitAgent, AgentFacts, Command, CommandKind, LaunchTasks, SubscribeFramework};
use crate::encoded::Encoded;
use crate::ids::{AgentId, FrameworkId, OfferId};
use crate::registry::{Position, Registry};
use crate::resources::Resources;
use crate::timestamp::Timestamp;
use proto::json::{JsonMessage, from_slice};
use proto::v1;

/// Parses a message; every test input is meant to decode.
#[track_caller]
fn json<T: JsonMessage + Default>(text: &str) -> T {
    from_slice(text.as_bytes(), "Test").unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A registry with framework `f` (roles `*` and `web`, MULTI_ROLE) and one agent, and how they are called.
struct Fixture {
    registry: Registry,
    framework: FrameworkId,
    agent: AgentId,
    offered: Resources,
}

const FRAMEWORK: &str = r#""user":"u","name":"n","principal":"ops","checkpoint":true,
    "roles":["*","web"],"capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}]"#;

fn framework_info(changes: &str) -> v1::FrameworkInfo {
    json(&format!(
        "{{{FRAMEWORK}{}{changes}}}",
        if changes.is_empty() { "" } else { "," }
    ))
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Fixture {
            registry: Registry::default(),
            framework: FrameworkId::from("f"),
            agent: AgentId::from("none"),
            offered: Resources::parse_flag("cpus:3.9;mem:4064;disk:10000;ports:[31000-32000]", "*")
                .unwrap()
                .allocated_to("*"),
        };
        let leader = crate::command::AnnounceLeader {
            node_id: 1,
            term: 1,
            master: Encoded::new(&v1::MasterInfo {
                id: "m".into(),
                ..Default::default()
            }),
            cluster_id: "c".into(),
        };
        fixture.apply(CommandKind::AnnounceLeader(leader));
        let info = Encoded::new(&framework_info(r#""id":{"value":"f"}"#));
        fixture.apply(CommandKind::SubscribeFramework(SubscribeFramework { info }));
        let info: v1::AgentInfo = json(
            r#"{"hostname":"h","resources":[
                {"name":"cpus","type":"SCALAR","scalar":{"value":4}},{"name":"mem","type":"SCALAR","scalar":{"value":4096}},
                {"name":"disk","type":"SCALAR","scalar":{"value":10000}},
                {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}}]}"#,
        );
        let facts = AgentFacts {
            info: Encoded::new(&info),
            pid: "slave(1)@127.0.0.1:5051".into(),
            version: "1.11.0".into(),
            capabilities: vec![v1::agent_info::capability::Type::TaskResourceLimits as i32],
            checkpointed_resources: Encoded::new(&Default::default()),
            resource_version: None,
            deduplicates_launches: false,
        };
        fixture.apply(CommandKind::AdmitAgent(AdmitAgent { facts, replaces: None }));
        fixture.agent = fixture.registry.agents().next().unwrap().id.clone();
        fixture
    }

    fn apply(&mut self, kind: CommandKind) {
        let command = Command {
            proposed_at: Timestamp::default(),
            kind,
        };
        let applied = self.registry.apply(Position { term: 1, index: 1 }, &command);
        assert!(
            !matches!(applied.outcome, crate::Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
    }

    fn run(&mut self, task: &v1::TaskInfo, group: Option<&v1::ExecutorInfo>) {
        let launch = LaunchTasks {
            framework_id: self.framework.clone(),
            agent_id: self.agent.clone(),
            tasks: vec![Encoded::new(task)],
            group: group.map(Encoded::new),
            master_pid: "master@127.0.0.1:5050".into(),
        };
        self.apply(CommandKind::LaunchTasks(launch));
        let id = crate::TaskId::from(&task.task_id);
        assert!(
            self.registry.task(&self.framework, &id).is_some(),
            "the fixture's task was not launched"
        );
    }

    /// A valid command task with changes laid over it; `<agent>` stands for the agent's id.
    fn task(&self, changes: &str) -> v1::TaskInfo {
        let base = r#""name":"n","task_id":{"value":"t"},"agent_id":{"value":"<agent>"},"command":{"value":"true"}"#;
        let resources = r#""resources":[CPUS(0.1),MEM(32)]"#;
        self.parse(&format!(
            "{{{base},{resources}{}{changes}}}",
            if changes.is_empty() { "" } else { "," }
        ))
    }

    /// A valid DEFAULT executor with changes laid over it.
    fn executor(&self, changes: &str) -> v1::ExecutorInfo {
        let base = r#""executor_id":{"value":"e"},"framework_id":{"value":"f"},"type":"DEFAULT""#;
        let resources = r#""resources":[CPUS(0.1),MEM(32),DISK(10)]"#;
        self.parse(&format!(
            "{{{base},{resources}{}{changes}}}",
            if changes.is_empty() { "" } else { "," }
        ))
    }

    #[track_caller]
    fn parse<T: JsonMessage + Default>(&self, text: &str) -> T {
        let mut text = text.replace("<agent>", self.agent.as_str());
        for (short, name) in [
            ("CPUS(", "cpus"),
            ("MEM(", "mem"),
            ("DISK(", "disk"),
            ("GPUS(", "gpus"),
            ("NONAME(", ""),
        ] {
            while let Some(at) = text.find(short) {
                let end = at + text[at..].find(')').unwrap();
                let value = text[at + short.len()..end].to_owned();
                let resource = format!(
                    r#"{{"name":"{name}","type":"SCALAR","scalar":{{"value":{value}}},"allocation_info":{{"role":"*"}}}}"#
                );
                text.replace_range(at..=end, &resource);
            }
        }
        json(&text)
    }
}
