//! Reading applications.

use std::sync::Arc;

use chassis::{names, paging::PageRequest};
use sqlx::PgConnection;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{application::Application, scheme::StoredScheme},
    error::Error,
    storage,
};

/// An application with the scheme that has the texts of its reasons.
#[derive(Debug)]
pub struct ApplicationView {
    /// The application.
    pub application: Application,
    /// The scheme of its batch.
    pub scheme: Arc<StoredScheme>,
}

/// Whose applications or participations a list shows; one of both is given.
#[derive(Clone, Debug)]
pub enum Of {
    /// A batch's; with an account, of this one only.
    Batch(String, Option<Uuid>),
    /// An account's.
    Account(Uuid),
}

impl App {
    /// Returns an application.
    pub async fn get_application(&self, application_id: Uuid) -> Result<ApplicationView, Error> {
        let mut connection = self.db.acquire().await?;
        let application = storage::applications::find(&mut connection, application_id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("applications", application_id)))?;
        self.application_view(&mut connection, application).await
    }

    /// Lists applications, oldest first.
    pub async fn list_applications(
        &self,
        of: Of,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<ApplicationView>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = match of {
            Of::Batch(batch_id, account_id) => {
                storage::applications::list_of_batch(
                    &mut connection,
                    &batch_id,
                    account_id,
                    page.after,
                    page.limit(),
                )
                .await?
            }
            Of::Account(account_id) => {
                storage::applications::list_of_account(
                    &mut connection,
                    account_id,
                    page.after,
                    page.limit(),
                )
                .await?
            }
        };
        let (rows, next_page_token) = page.finish(rows, |last| last.id);
        let mut views = Vec::with_capacity(rows.len());
        for application in rows {
            views.push(self.application_view(&mut connection, application).await?);
        }
        Ok((views, next_page_token))
    }

    async fn application_view(
        &self,
        connection: &mut PgConnection,
        application: Application,
    ) -> Result<ApplicationView, Error> {
        let scheme = self
            .rules
            .scheme(connection, &application.scheme_id)
            .await?;
        Ok(ApplicationView {
            application,
            scheme,
        })
    }
}
