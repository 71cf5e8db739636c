//! What a resource is, apart from its amount: name, allocation role, reservations, disk and the other marks that keep two
//! resources from being added together.
//!
//! Cheap for the common case: a well-known unreserved resource carries no allocation but its role's.

use bytes::Bytes;
use prost::Message;
use proto::v1;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A resource name. The well-known ones come first, in the order Mesos's agents list them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Name {
    /// `cpus`, scalar.
    Cpus,
    /// `mem`, scalar, in megabytes.
    Mem,
    /// `disk`, scalar, in megabytes.
    Disk,
    /// `gpus`, scalar, whole numbers.
    Gpus,
    /// `ports`, ranges.
    Ports,
    /// Anything else.
    Other(Arc<str>),
}

impl Name {
    /// The name for a text.
    pub fn from_text(text: &str) -> Self {
        match text {
            "cpus" => Name::Cpus,
            "mem" => Name::Mem,
            "disk" => Name::Disk,
            "gpus" => Name::Gpus,
            "ports" => Name::Ports,
            other => Name::Other(other.into()),
        }
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Name::Cpus => "cpus",
            Name::Mem => "mem",
            Name::Disk => "disk",
            Name::Gpus => "gpus",
            Name::Ports => "ports",
            Name::Other(text) => text,
        }
    }
}

/// One level of a reservation stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reservation {
    /// Made by the operator at run time (true) or by the agent's flags (false).
    pub dynamic: bool,
    /// For whom.
    pub role: Arc<str>,
    /// By whom.
    pub principal: Option<Arc<str>>,
    /// `mesos.v1.Labels`, encoded; labels only matter as a whole.
    labels: Option<Bytes>,
}

impl Reservation {
    pub(crate) fn from_proto(dynamic: bool, role: &str, info: Option<&v1::resource::ReservationInfo>) -> Self {
        Reservation {
            dynamic,
            role: role.into(),
            principal: info.and_then(|info| info.principal.as_deref()).map(Arc::from),
            labels: info
                .and_then(|info| info.labels.as_ref())
                .map(|labels| labels.encode_to_vec().into()),
        }
    }

    pub(crate) fn labels(&self) -> Option<v1::Labels> {
        // The bytes were encoded from this very type; should they not decode, the labels are gone, nothing else.
        self.labels
            .as_ref()
            .and_then(|bytes| v1::Labels::decode(bytes.clone()).ok())
    }
}

/// The rare part of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) reservations: Vec<Reservation>,
    /// `mesos.v1.Resource.DiskInfo`, encoded: compared as a whole.
    pub(crate) disk: Option<Bytes>,
    /// The disk is a persistent volume.
    pub(crate) persistent: bool,
    /// A volume or a whole disk: only taken whole.
    pub(crate) exclusive: bool,
    pub(crate) revocable: bool,
    pub(crate) shared: bool,
    pub(crate) provider: Option<Arc<str>>,
}

impl Detail {
    pub(crate) fn is_plain(&self) -> bool {
        self.reservations.is_empty()
            && self.disk.is_none()
            && !self.revocable
            && !self.shared
            && self.provider.is_none()
    }

    pub(crate) fn set_disk(&mut self, disk: Option<&v1::resource::DiskInfo>) {
        use v1::resource::disk_info::source::Type;
        let source = disk.and_then(|disk| disk.source.as_ref());
        let whole = source.is_some_and(|source| match source.r#type() {
            Type::Mount | Type::Block => true,
            Type::Raw => source.id.is_some(),
            Type::Path | Type::Unknown => false,
        });
        self.persistent = disk.is_some_and(|disk| disk.persistence.is_some());
        self.exclusive = self.persistent || whole;
        self.disk = disk.map(|disk| disk.encode_to_vec().into());
    }
}

/// What keeps two resources apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    pub(crate) name: Name,
    #[serde(deserialize_with = "crate::shared_text::option::deserialize")]
    pub(crate) allocation: Option<Arc<str>>,
    pub(crate) detail: Option<Arc<Detail>>,
}

impl Kind {
    /// The resource's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The role this resource is allocated to, if it is.
    pub fn allocation_role(&self) -> Option<&str> {
        self.allocation.as_deref()
    }

    /// The reservation stack, bottom first; empty when unreserved.
    pub fn reservations(&self) -> &[Reservation] {
        self.detail.as_ref().map_or(&[], |detail| &detail.reservations)
    }

    /// The role at the top of the stack: who may be offered this. None: anybody.
    pub fn reservation_role(&self) -> Option<&str> {
        self.reservations().last().map(|reservation| &*reservation.role)
    }

    /// The top reservation was made at run time.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations()
            .last()
            .is_some_and(|reservation| reservation.dynamic)
    }

    /// More than one reservation: needs RESERVATION_REFINEMENT to be seen.
    pub fn is_refined(&self) -> bool {
        self.reservations().len() > 1
    }

    /// May be taken back at any time.
    pub fn is_revocable(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.revocable)
    }

    /// May be used by several tasks at once.
    pub fn is_shared(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.shared)
    }

    /// A persistent volume.
    pub fn is_persistent_volume(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.persistent)
    }

    /// A volume or a whole disk: only taken whole.
    pub fn is_exclusive(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.exclusive)
    }

    /// Counts for a role's quota when it is allocated to it: unreserved, and cannot be taken back.
    pub fn is_for_quota(&self) -> bool {
        self.detail
            .as_ref()
            .is_none_or(|detail| detail.reservations.is_empty() && !detail.revocable && !detail.shared)
    }

    /// The resource provider that offers it; None: the agent itself.
    pub fn provider(&self) -> Option<&str> {
        self.detail.as_ref().and_then(|detail| detail.provider.as_deref())
    }

    /// The disk's description, if it has one.
    pub fn disk(&self) -> Option<v1::resource::DiskInfo> {
        let bytes = self.detail.as_ref()?.disk.as_ref()?;
        v1::resource::DiskInfo::decode(bytes.clone()).ok()
    }
}
