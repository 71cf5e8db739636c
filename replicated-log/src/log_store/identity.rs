//! Whose data a directory holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// Names one cluster among all that ever were: minted at its founding, carried by every message between replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ClusterId(pub(crate) [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(formatter)
    }
}

impl std::str::FromStr for ClusterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text).map(|uuid| ClusterId(uuid.into_bytes()))
    }
}

/// The cluster a replica belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    pub(crate) id: ClusterId,
    /// Whether this replica minted the id and has to see the founding through.
    pub(crate) founder: bool,
    /// Whether this replica is on its way from learner to voter.
    pub(crate) joining: bool,
}

impl ClusterRecord {
    /// Of the replica that founds the cluster.
    pub(crate) fn founded(id: ClusterId) -> Self {
        ClusterRecord {
            id,
            founder: true,
            joining: false,
        }
    }

    /// Of a member.
    pub(crate) fn adopted(id: ClusterId) -> Self {
        ClusterRecord {
            id,
            founder: false,
            joining: false,
        }
    }

    /// Of a replica that shall become a member.
    pub(crate) fn joining(id: ClusterId) -> Self {
        ClusterRecord {
            id,
            founder: false,
            joining: true,
        }
    }
}

/// The replica a directory was made for; written once, before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) node_id: NodeId,
    pub(crate) cluster_name: String,
}
