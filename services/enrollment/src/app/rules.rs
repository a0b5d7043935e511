//! Schemes and the rules of batches, parsed and compiled once per process: both never change.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use sqlx::PgConnection;

use crate::{
    domain::{
        batch::{Batch, batch_name},
        quota::GroupRules,
        scheme::StoredScheme,
        scheme_file,
    },
    error::Error,
    storage::{self, schemes::SchemeRow},
};

/// What decides on the applications of a batch.
#[derive(Debug)]
pub struct BatchRules {
    /// The scheme.
    pub scheme: Arc<StoredScheme>,
    /// The reserved groups.
    pub groups: GroupRules,
}

/// The schemes and batches that this process has met.
#[derive(Debug, Default)]
pub struct Rules {
    schemes: RwLock<HashMap<String, Arc<StoredScheme>>>,
    batches: RwLock<HashMap<String, Arc<BatchRules>>>,
}

impl Rules {
    /// Returns a scheme.
    pub async fn scheme(
        &self,
        connection: &mut PgConnection,
        scheme_id: &str,
    ) -> Result<Arc<StoredScheme>, Error> {
        if let Some(scheme) = known(&self.schemes, scheme_id) {
            return Ok(scheme);
        }
        let row = storage::schemes::find(connection, scheme_id)
            .await?
            .ok_or_else(|| Error::NotFound(format!("schemes/{scheme_id}")))?;
        self.keep(&row)
    }

    /// Parses a stored scheme, unless this process has done it before.
    pub fn keep(&self, row: &SchemeRow) -> Result<Arc<StoredScheme>, Error> {
        if let Some(scheme) = known(&self.schemes, &row.scheme_id) {
            return Ok(scheme);
        }
        let scheme = scheme_file::parse(&row.file_name, &row.content)
            .map_err(|_| Error::Broken("a scheme that was accepted is not any more"))?;
        let stored = Arc::new(StoredScheme {
            scheme,
            create_time: row.create_time,
        });
        Ok(insert(&self.schemes, row.scheme_id.clone(), stored))
    }

    /// Returns the rules of a batch.
    pub async fn batch(
        &self,
        connection: &mut PgConnection,
        batch_id: &str,
    ) -> Result<Arc<BatchRules>, Error> {
        if let Some(rules) = known(&self.batches, batch_id) {
            return Ok(rules);
        }
        let batch = storage::batches::find(connection, batch_id)
            .await?
            .ok_or_else(|| Error::NotFound(batch_name(batch_id)))?;
        self.compile(connection, &batch).await
    }

    async fn compile(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
    ) -> Result<Arc<BatchRules>, Error> {
        let scheme = self.scheme(connection, &batch.scheme_id).await?;
        let groups = batch
            .quota_plan
            .group_rules(&scheme.scheme.fact_kinds)
            .map_err(Error::QuotaMistakes)?;
        let rules = Arc::new(BatchRules { scheme, groups });
        Ok(insert(&self.batches, batch.id.clone(), rules))
    }
}

fn known<T>(map: &RwLock<HashMap<String, Arc<T>>>, id: &str) -> Option<Arc<T>> {
    map.read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(id)
        .cloned()
}

fn insert<T>(map: &RwLock<HashMap<String, Arc<T>>>, id: String, value: Arc<T>) -> Arc<T> {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(id).or_insert(value))
}
