//! Events in: what accounts have learned. jobs tells nobody anything.

use messaging::{Event, HandleError, Handler, Producer, Subscription};
use proto::enrollment::v1::CertificateIssued;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{app, domain::recommendation::Certificate, storage::certificates::NewCertificate};

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
        app::certificates::on_certificates_issued(tx, &[issued(event)?]).await?;
        Ok(())
    }

    async fn handle_run(
        &self,
        tx: &mut PgConnection,
        _queue: &str,
        events: &[&Event],
    ) -> Result<(), HandleError> {
        let issued: Result<Vec<NewCertificate>, HandleError> =
            events.iter().map(|event| issued(event)).collect();
        app::certificates::on_certificates_issued(tx, &issued?).await?;
        Ok(())
    }
}

fn issued(event: &Event) -> Result<NewCertificate, HandleError> {
    if !event.is::<CertificateIssued>() {
        return Err(HandleError::unexpected(event));
    }
    let issued: CertificateIssued = event.decode()?;
    let issue_time = issued
        .issue_time
        .and_then(|time| OffsetDateTime::from_unix_timestamp(time.seconds).ok())
        .ok_or_else(|| {
            HandleError::Reject("issue_time is missing or beyond all years".to_owned())
        })?;
    Ok(NewCertificate {
        account_id: id_in(&issued.account, "accounts")?,
        certificate_id: id_in(&issued.certificate, "certificates")?,
        certificate: Certificate {
            course_title: issued.course_title,
            course_category: issued.course_category,
        },
        issue_time,
    })
}

fn id_in(name: &str, collection: &str) -> Result<uuid::Uuid, HandleError> {
    chassis::names::parse_uuid(name, collection).ok_or_else(|| {
        HandleError::Reject(format!(
            "a name of {collection} is not {collection}/{{uuid}}"
        ))
    })
}
