//! Events in: what accounts have learned. jobs tells nobody anything.

use messaging::{Event, HandleError, Handler, Producer, Subscription};
use proto::enrollment::v1::CertificateIssued;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{app, domain::recommendation::Certificate};

/// jobs has no events of its own.
pub const PRODUCER: Producer = Producer {
    service: "jobs",
    routes: &[],
};

/// What jobs takes in.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    consumer: "jobs",
    producer: "enrollment",
    types: &["bekal.enrollment.v1.CertificateIssued"],
}];

/// Takes the events in.
#[derive(Clone, Copy, Debug)]
pub struct Events;

impl Handler for Events {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        if event.is::<CertificateIssued>() {
            return on_certificate_issued(tx, event.decode()?).await;
        }
        Err(HandleError::unexpected(event))
    }
}

async fn on_certificate_issued(
    tx: &mut PgConnection,
    issued: CertificateIssued,
) -> Result<(), HandleError> {
    let account_id = id_in(&issued.account, "accounts")?;
    let certificate_id = id_in(&issued.certificate, "certificates")?;
    let issue_time = issued
        .issue_time
        .and_then(|time| OffsetDateTime::from_unix_timestamp(time.seconds).ok())
        .ok_or_else(|| {
            HandleError::Reject("issue_time is missing or beyond all years".to_owned())
        })?;
    let certificate = Certificate {
        course_title: issued.course_title,
        course_category: issued.course_category,
    };
    app::certificates::on_certificate_issued(
        tx,
        account_id,
        certificate_id,
        &certificate,
        issue_time,
    )
    .await?;
    Ok(())
}

fn id_in(name: &str, collection: &str) -> Result<uuid::Uuid, HandleError> {
    chassis::names::parse_uuid(name, collection).ok_or_else(|| {
        HandleError::Reject(format!(
            "a name of {collection} is not {collection}/{{uuid}}"
        ))
    })
}
