//! Loading, ending and reading schemes.

use std::sync::Arc;

use chassis::{
    idempotency::{self, RequestKey},
    paging::PageRequest,
};
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;

use super::App;
use crate::{
    domain::{
        scheme::{Period, Scheme, SchemeView, StoredScheme},
        scheme_file,
        time_zone::Day,
    },
    error::Error,
    storage::{self, schemes::SchemeRow},
};

impl App {
    /// Loads a scheme from its file. The same content again is the same scheme.
    pub async fn import_scheme(
        &self,
        key: RequestKey,
        file_name: &str,
        content: &str,
    ) -> Result<pb::Scheme, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let scheme = scheme_file::parse(file_name, content)?;
        let view = if storage::schemes::insert(&mut tx, &scheme, file_name, content, now).await? {
            let period = scheme.period;
            let stored = Arc::new(StoredScheme {
                scheme,
                create_time: now,
            });
            SchemeView { stored, period }
        } else {
            self.earlier_import(&mut tx, &scheme).await?
        };
        let answer = pb::Scheme::from(&view);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns the scheme that is in the way of one that is to be loaded, if it is the same.
    async fn earlier_import(
        &self,
        tx: &mut PgConnection,
        scheme: &Scheme,
    ) -> Result<SchemeView, Error> {
        if let Some(row) = storage::schemes::find(tx, &scheme.id).await? {
            let earlier = self.view(&row)?;
            return if earlier.stored.scheme.content_hash == scheme.content_hash {
                Ok(earlier)
            } else {
                Err(Error::SchemeExists(scheme.id.clone()))
            };
        }
        let other = storage::schemes::find_in_force(tx, &scheme.programme, scheme.period).await?;
        Err(other.map_or(
            Error::Broken("what was in a scheme's way is gone"),
            Error::SchemePeriodOverlaps,
        ))
    }

    /// Sets the last day of a scheme that has none.
    pub async fn end_scheme(
        &self,
        key: RequestKey,
        scheme_id: &str,
        last: Day,
    ) -> Result<pb::Scheme, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let before = self.scheme_view(&mut tx, scheme_id).await?;
        let zone = &before.stored.scheme.time_zone;
        let first = before.period.first_day(zone);
        let period = Period::of_days(zone, first, Some(last));
        let period = period.filter(|_| zone.day_of(now) <= last);
        let end = period
            .and_then(|period| period.end)
            .ok_or(Error::SchemeEndPast)?;
        if !storage::schemes::end(&mut tx, scheme_id, end).await? {
            let ended = self.scheme_view(&mut tx, scheme_id).await?;
            if ended.period.end != Some(end) {
                return Err(Error::SchemeEnded(ended));
            }
        }
        let answer = pb::Scheme::from(&self.scheme_view(&mut tx, scheme_id).await?);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a scheme.
    pub async fn get_scheme(&self, scheme_id: &str) -> Result<SchemeView, Error> {
        let mut connection = self.db.acquire().await?;
        self.scheme_view(&mut connection, scheme_id).await
    }

    /// Lists schemes by name.
    pub async fn list_schemes(
        &self,
        page: PageRequest<String>,
    ) -> Result<(Vec<SchemeView>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::schemes::list(&mut connection, page.after.as_deref(), page.limit()).await?;
        let (rows, next_page_token) = page.finish(rows, |last| last.scheme_id.clone());
        let schemes = rows
            .iter()
            .map(|row| self.view(row))
            .collect::<Result<_, _>>()?;
        Ok((schemes, next_page_token))
    }

    /// Returns a scheme as it is now, or that there is none.
    pub(super) async fn scheme_view(
        &self,
        connection: &mut PgConnection,
        scheme_id: &str,
    ) -> Result<SchemeView, Error> {
        let row = storage::schemes::find(connection, scheme_id).await?;
        let row = row.ok_or_else(|| Error::NotFound(format!("schemes/{scheme_id}")))?;
        self.view(&row)
    }

    fn view(&self, row: &SchemeRow) -> Result<SchemeView, Error> {
        Ok(SchemeView {
            stored: self.rules.keep(row)?,
            period: row.period(),
        })
    }
}
