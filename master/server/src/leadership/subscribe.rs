//! SUBSCRIBE and UPDATE_FRAMEWORK.
//!
//! A framework the registry knows with the same information subscribes without a write: a quorum confirms that this
//! replica leads, and the stream begins. Everything else goes through the log first.

use std::collections::BTreeSet;

use libprocess::{HttpResponse, PeerClosed};
use master_core::allocator::FrameworkFacts;
use master_core::command::{SubscribeFramework, UpdateFramework};
use master_core::ids::FrameworkId;
use master_core::{CommandKind, Encoded, validate};
use proto::v1::scheduler::{OfferConstraints, call, event};
use proto::v1::{FrameworkInfo, MasterInfo};
use tokio::time::Instant;
use uuid::Uuid;

use super::Leadership;
use super::proposals::Pending;
use super::reply::Reply;
use super::stream::{EventStream, MediaType, error_event, event};
use crate::actor::Input;

/// A SUBSCRIBE on its way.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Set when the id is known before the command is applied.
    pub(super) framework_id: Option<FrameworkId>,
    pub(super) suppressed_roles: BTreeSet<String>,
    pub(super) offer_constraints: Option<OfferConstraints>,
    pub(super) media_type: MediaType,
    pub(super) closed: PeerClosed,
    pub(super) reply: Reply,
}

/// A `200` stream that holds one ERROR event and ends: how a subscription is refused.
fn refusal(media_type: MediaType, stream_id: Uuid, message: &str) -> HttpResponse {
    let (stream, body) = EventStream::new(stream_id, media_type);
    // The queue is empty, so that the event always fits.
    stream.send(&error_event(message)).ok();
    response(media_type, &stream.id_text, body)
}

fn response(media_type: MediaType, stream_id: &str, body: tokio::sync::mpsc::Receiver<bytes::Bytes>) -> HttpResponse {
    HttpResponse::stream(media_type.as_str(), body).header("Mesos-Stream-Id", stream_id)
}

impl Leadership {
    pub(super) fn subscribe(
        &mut self,
        mut subscribe: call::Subscribe,
        principal: Option<&str>,
        media_type: MediaType,
        closed: PeerClosed,
        reply: Reply,
    ) {
        let stream_id = Uuid::from_bytes(self.context.seams.random_uuid());
        if subscribe.framework_info.principal.is_none() {
            subscribe.framework_info.principal = principal.map(str::to_owned);
        }
        if let Err(message) = validate::subscribe(&self.registry, &subscribe, &self.context.validation) {
            tracing::info!(
                framework = subscribe.framework_info.name,
                message,
                "subscription refused"
            );
            reply.send(refusal(media_type, stream_id, &message));
            return;
        }
        let mut info = subscribe.framework_info;
        let framework_id = info
            .id
            .take()
            .filter(|id| !id.value.is_empty())
            .map(|id| FrameworkId::from(&id));
        info.id = framework_id.as_ref().map(FrameworkId::to_proto);
        let known = framework_id.as_ref().and_then(|id| self.registry.framework(id));
        let unchanged = known.is_some_and(|framework| same_info(&framework.info, &info));
        let subscription = Box::new(Subscription {
            framework_id,
            suppressed_roles: subscribe.suppressed_roles.into_iter().collect(),
            offer_constraints: subscribe.offer_constraints,
            media_type,
            closed,
            reply,
        });
        if unchanged {
            self.confirm(Pending::Subscribe(subscription));
        } else {
            let kind = CommandKind::SubscribeFramework(SubscribeFramework {
                info: Encoded::new(&info),
            });
            self.propose(kind, Pending::Subscribe(subscription));
        }
    }

    pub(super) fn refuse_subscription(&self, subscription: Subscription, message: &str) {
        let stream_id = Uuid::from_bytes(self.context.seams.random_uuid());
        subscription
            .reply
            .send(refusal(subscription.media_type, stream_id, message));
    }

    /// The registry holds the framework: the stream begins.
    pub(super) fn subscribed(&mut self, framework_id: &FrameworkId, subscription: Subscription) {
        let is_resubscription = self.frameworks.contains_key(framework_id);
        self.end_stream_of_predecessor(framework_id);
        let stream_id = Uuid::from_bytes(self.context.seams.random_uuid());
        let (stream, body) = EventStream::new(stream_id, subscription.media_type);
        let answer = response(subscription.media_type, &stream.id_text, body);
        self.watch_stream(framework_id.clone(), stream_id, subscription.closed);
        let connection = self.frameworks.entry(framework_id.clone()).or_default();
        connection.stream = Some(stream);
        connection.subscribed_at = Some(self.context.seams.clock.now_micros());
        connection.suppressed_roles = subscription.suppressed_roles;
        connection.offer_constraints = subscription.offer_constraints;
        connection.removing = false;
        let master_info = self.master_info();
        self.send_event(
            framework_id,
            &proto::v1::scheduler::Event {
                subscribed: Some(event::Subscribed {
                    framework_id: framework_id.to_proto(),
                    heartbeat_interval_seconds: Some(self.context.config.heartbeat_interval.as_secs_f64()),
                    master_info: Some(master_info),
                }),
                ..event(event::Type::Subscribed)
            },
        );
        // Also starts the periodic ones.
        self.heartbeat(framework_id, stream_id, Instant::now());
        subscription.reply.send(answer);
        tracing::info!(%framework_id, is_resubscription, "framework subscribed");
        self.framework_to_allocator(framework_id);
        self.allocator.activate_framework(framework_id);
    }

    /// Notices the end of the connection, also a half-closed one.
    fn watch_stream(&self, framework_id: FrameworkId, stream_id: Uuid, closed: PeerClosed) {
        let mailbox = self.context.mailbox.clone();
        tokio::spawn(async move {
            closed.closed().await;
            // The master is stopping when nobody reads the mailbox.
            mailbox.send(Input::StreamClosed(framework_id, stream_id)).await.ok();
        });
    }

    /// Makes the framework known to the allocator, or brings what it knows up to date.
    pub(super) fn framework_to_allocator(&mut self, framework_id: &FrameworkId) {
        let Some(framework) = self.registry.framework(framework_id) else {
            return;
        };
        let connection = self.frameworks.get(framework_id);
        let suppressed: Vec<String> = connection
            .map(|it| it.suppressed_roles.iter().cloned().collect())
            .unwrap_or_default();
        let constraints = connection.and_then(|it| it.offer_constraints.as_ref());
        let facts = FrameworkFacts::from_info(&framework.info, &suppressed, constraints);
        let connected = connection.is_some_and(|it| it.stream.is_some());
        self.allocator.add_framework(framework_id.clone(), facts, connected);
    }

    pub(super) fn master_info(&self) -> MasterInfo {
        crate::actor::master_info(&self.context, &self.master_id)
    }

    pub(super) fn update_framework(&mut self, update: call::UpdateFramework, reply: Reply) {
        if let Err(message) = validate::update_framework(&self.registry, &update, &self.context.validation) {
            reply.send(HttpResponse::text(400, &message));
            return;
        }
        let Some(id) = update.framework_info.id.as_ref().map(FrameworkId::from) else {
            reply.send(HttpResponse::text(
                400,
                "Failed to validate scheduler::Call: Expecting 'framework_id' to be present",
            ));
            return;
        };
        let suppressed: BTreeSet<String> = update.suppressed_roles.into_iter().collect();
        if let Some(connection) = self.frameworks.get_mut(&id) {
            connection.suppressed_roles = suppressed;
            connection.offer_constraints = update.offer_constraints;
        }
        let kind = CommandKind::UpdateFramework(UpdateFramework {
            info: Encoded::new(&update.framework_info),
        });
        self.propose(kind, Pending::Answered(reply, super::effects::update_answer));
    }
}

/// Whether subscribing with `new` would change nothing the registry holds.
fn same_info(known: &FrameworkInfo, new: &FrameworkInfo) -> bool {
    known == new
}
