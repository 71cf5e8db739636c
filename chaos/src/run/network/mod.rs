//! The network between the processes of a run: every address that a master or an agent tells others is a proxy of
//! this process, which passes bytes on as the [`Switchboard`] says.
//!
//! ```text
//!  master 1 ──▶ 127.0.0.1:port (proxy of master 2) ──▶ 127.0.1.2:port (master 2)
//! ```
//!
//! A proxy finds out who connects to it by the owner of the other end's port, so that each pair of hosts, in each
//! direction, can be treated by itself although all members of a cluster know each other by the same addresses. Works
//! without root. What it cannot do is to lose single packets: TCP would send them again, so that a loss is a stall.

mod connect;
mod identity;
mod proxy;
mod pump;
mod switchboard;
#[cfg(test)]
mod tests;

use std::fmt::{Display, Formatter};

pub(crate) use self::connect::HostNetwork;
pub(crate) use self::proxy::Proxy;
pub(crate) use self::switchboard::{Effect, RuleId, Switchboard};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Host {
    /// A master, by its place in the cluster from 0.
    Master(usize),
    /// A process that is an agent, from 0.
    Agent(usize),
    /// The hollow agents, all of them.
    Hollow,
    /// Frameworks, operators and everybody else.
    Clients,
}

impl Host {
    pub(crate) fn is_master(self) -> bool {
        matches!(self, Host::Master(_))
    }
}

impl Display for Host {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Master(place) => write!(formatter, "master-{}", place + 1),
            Host::Agent(place) => write!(formatter, "agent-{}", place + 1),
            Host::Hollow => formatter.write_str("hollow-agents"),
            Host::Clients => formatter.write_str("clients"),
        }
    }
}
