//! Events: what enrollment tells and who takes it, and what it takes in.

use chassis::names;
use messaging::{Event, HandleError, Handler, Producer, Route, Subscription};
use proto::{identity::v1::ExclusionsChanged, payout::v1::ParticipationsFunded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;

/// What enrollment tells, and who takes it.
pub const PRODUCER: Producer = Producer {
    service: "enrollment",
    routes: &[
        // Nobody needs to know yet: published for whoever binds a queue.
        Route {
            r#type: "bekal.enrollment.v1.BatchOpened",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.BatchClosed",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.BatchFrozen",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.BatchDrawn",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.BatchAnnulled",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.ParticipationsAwarded",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.ParticipationActivated",
            consumers: &[],
        },
        Route {
            r#type: "bekal.enrollment.v1.ParticipationsRevoked",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.ParticipationsFrozen",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.ParticipationsUnfrozen",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.CertificateIssued",
            consumers: &["payout", "jobs"],
        },
        Route {
            r#type: "bekal.enrollment.v1.ReviewCreated",
            consumers: &["payout", "catalog"],
        },
    ],
};

/// What enrollment takes in.
pub const SUBSCRIPTIONS: &[Subscription] = &[
    Subscription {
        consumer: "enrollment",
        producer: "payout",
        types: &["bekal.payout.v1.ParticipationsFunded"],
    },
    Subscription {
        consumer: "enrollment",
        producer: "identity",
        types: &["bekal.identity.v1.ExclusionsChanged"],
    },
];

/// Takes events in.
pub struct Events {
    app: App,
}

impl Events {
    /// Makes the handler.
    pub fn new(app: App) -> Events {
        Events { app }
    }
}

impl Handler for Events {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        if event.is::<ParticipationsFunded>() {
            let funded: ParticipationsFunded = event.decode()?;
            let ids = ids(&funded.participations, "participations")?;
            return if self.app.on_participations_funded(tx, &ids).await? {
                Ok(())
            } else {
                Err(HandleError::Missing(
                    "a participation that was funded is not known".to_owned(),
                ))
            };
        }
        if event.is::<ExclusionsChanged>() {
            let changed: ExclusionsChanged = event.decode()?;
            // Which way it went does not matter: the facts decide, when they are asked for.
            let mut accounts = ids(&changed.listed_accounts, "accounts")?;
            accounts.extend(ids(&changed.lifted_accounts, "accounts")?);
            self.app.on_exclusions_changed(tx, &accounts).await?;
            return Ok(());
        }
        Err(HandleError::unexpected(event))
    }
}

fn ids(names: &[String], collection: &str) -> Result<Vec<Uuid>, HandleError> {
    let parsed: Option<Vec<Uuid>> = names
        .iter()
        .map(|name| names::parse_uuid(name, collection))
        .collect();
    parsed.ok_or_else(|| HandleError::Reject(format!("a name in {collection} is malformed")))
}
