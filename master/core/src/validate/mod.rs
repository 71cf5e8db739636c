//! What the leader refuses before anything is proposed, one file per call, with the texts of Mesos (tools match on them).
//!
//! Pure functions of the registry and the decoded message. They change nothing and know neither connections nor the
//! caller's identity: authentication, streams and soft state are checked by the server. `apply` checks again what may have changed.

mod agents;
mod call;
mod checks;
mod command;
mod container;
mod executor;
mod framework_info;
mod id;
mod launch;
mod launch_group;
mod offer_constraints;
mod offer_filters;
mod offers;
mod operation;
mod quota;
mod roles;
mod subscribe;
mod task;
mod task_resources;
#[cfg(test)]
mod tests;
mod update_framework;

pub use agents::{MINIMUM_AGENT_VERSION, register_agent, reregister_agent};
pub use call::call;
pub use executor::StartingExecutors;
pub use id::id_text;
pub use launch::{launch, launch_format};
pub use launch_group::{launch_group, launch_group_format};
pub use offers::{OfferView, offers};
pub use operation::{operation, operation_format, operation_resources};
pub use quota::{set_quota, update_quota, update_weights};
pub use roles::subscribed_roles;
pub use subscribe::subscribe;
pub use update_framework::update_framework;

use proto::v1::task_status::Reason;
use std::collections::BTreeSet;

/// What validation has to know of the operator's flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--roles`: the only roles frameworks may have; None: any. `*` is always allowed.
    pub roles: Option<BTreeSet<String>>,
    /// `--root_submissions` (true): frameworks of user `root` are welcome.
    pub root_submissions: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            roles: None,
            root_submissions: true,
        }
    }
}

/// Why a task or a task group is not launched: goes into the TASK_ERROR update as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The update's reason.
    pub reason: Reason,
    /// The update's message.
    pub message: String,
}

impl Refusal {
    fn task(message: String) -> Self {
        Refusal {
            reason: Reason::TaskInvalid,
            message,
        }
    }

    fn group(message: String) -> Self {
        Refusal {
            reason: Reason::TaskGroupInvalid,
            message,
        }
    }
}

/// A set as Mesos prints it: `{ a, b }`.
fn set_text<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    if items.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", items.join(", "))
    }
}
