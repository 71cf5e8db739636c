use std::sync::Arc;

use prost::Message;
use proto::internal::{AcknowledgeOperationStatusMessage, ApplyOperationMessage, UpdateOperationStatusMessage};
use proto::v1::offer::{Operation, operation};
use proto::v1::resource::{DiskInfo, ReservationInfo, disk_info, reservation_info};
use proto::v1::{AgentInfo, OperationState, Resource, Uuid, Volume, volume};
use seams::Seams;

use super::super::{Book, Effect};
use crate::config::Config;
use crate::messages;
use crate::store::Layout;

fn book() -> Book {
    let info = AgentInfo {
        hostname: "h".into(),
        resources: crate::resources::parse("disk:1000").unwrap(),
        ..Default::default()
    };
    let config = Arc::new(Config::new(vec!["h:5050".into()], "/w".into()));
    let layout = Layout::new("/w".into());
    let pid = "slave(1)@127.0.0.1:1".into();
    let mut book = Book::new(config, layout, Seams::real(), pid, info, None);
    book.registered("m-S0");
    book.take_effects();
    book
}

fn reserved(megabytes: f64) -> Resource {
    Resource {
        role: None,
        reservations: vec![ReservationInfo {
            role: Some("web".into()),
            r#type: Some(reservation_info::Type::Dynamic.into()),
            ..Default::default()
        }],
        ..proto::ext::resource::scalar("disk", megabytes)
    }
}

fn volume() -> Resource {
    Resource {
        disk: Some(DiskInfo {
            persistence: Some(disk_info::Persistence {
                id: "v".into(),
                principal: None,
            }),
            volume: Some(Volume {
                mode: volume::Mode::Rw.into(),
                container_path: "data".into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..reserved(64.0)
    }
}

fn of(kind: operation::Type) -> Operation {
    let resources = vec![reserved(100.0)];
    let volumes = vec![volume()];
    let mut made = Operation {
        r#type: Some(kind.into()),
        ..Default::default()
    };
    match kind {
        operation::Type::Reserve => {
            made.reserve = Some(operation::Reserve {
                resources,
                source: Vec::new(),
            })
        }
        operation::Type::Create => made.create = Some(operation::Create { volumes }),
        _ => made.destroy = Some(operation::Destroy { volumes }),
    }
    made
}

fn apply(book: &mut Book, kind: operation::Type, uuid: u8) -> Vec<Effect> {
    book.apply_operation(ApplyOperationMessage {
        operation_info: of(kind),
        operation_uuid: Uuid {
            value: vec![uuid; 16].into(),
        },
        ..Default::default()
    });
    book.take_effects()
}

fn statuses(effects: &[Effect]) -> Vec<UpdateOperationStatusMessage> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ToMaster { name, body } if *name == messages::OPERATION_STATUS => {
                Some(UpdateOperationStatusMessage::decode(body.clone()).unwrap())
            }
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn an_operation_is_applied_once_and_its_status_repeated_until_it_is_acknowledged() {
    let mut book = book();
    let first = statuses(&apply(&mut book, operation::Type::Reserve, 1));
    assert_eq!(first[0].status.state(), OperationState::OperationFinished);
    let reported = book.checkpointed_resources.clone();
    assert_eq!(reported.len(), 1);
    let again = apply(&mut book, operation::Type::Reserve, 1);
    assert_eq!(statuses(&again), first);
    assert_eq!(book.checkpointed_resources, reported);
    book.acknowledge_operation(&AcknowledgeOperationStatusMessage {
        status_uuid: first[0].status.uuid.clone().unwrap(),
        operation_uuid: first[0].operation_uuid.clone().unwrap(),
        resource_provider_id: None,
    });
    book.resend_operations();
    assert!(book.take_effects().is_empty());
    // Acknowledged, but not forgotten.
    apply(&mut book, operation::Type::Reserve, 1);
    assert_eq!(book.checkpointed_resources, reported);
}

#[tokio::test]
async fn folders_of_volumes_come_and_go_with_them() {
    let mut book = book();
    apply(&mut book, operation::Type::Reserve, 1);
    let created = apply(&mut book, operation::Type::Create, 2);
    let expected = std::path::Path::new("/w/volumes/roles/web/v");
    assert!(matches!(&created[0], Effect::CreateVolume { path } if path == expected));
    let destroyed = apply(&mut book, operation::Type::Destroy, 3);
    assert!(matches!(&destroyed[0], Effect::RemoveVolume { path, .. } if path == expected));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let mut book = book();
    let dropped = statuses(&apply(&mut book, operation::Type::Create, 1));
    assert_eq!(dropped[0].status.state(), OperationState::OperationDropped);
    assert!(book.checkpointed_resources.is_empty());
}
