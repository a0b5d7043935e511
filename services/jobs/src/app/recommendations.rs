//! Use cases on recommendations.

use std::collections::HashSet;

use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        recommendation::{self, CERTIFICATES_MAX, Reason, Source, Term},
        vacancy::Vacancy,
    },
    error::Error,
    storage,
};

/// Vacancies whose reasons are weighed: the heaviest by the database's first sum, at least as many as a page holds.
const CANDIDATES_MAX: i64 = 300;

/// A vacancy that fits, and why.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The vacancy.
    pub vacancy: Vacancy,
    /// The sum of the weights.
    pub score: i32,
    /// Every reason, heaviest first.
    pub reasons: Vec<Reason>,
}

/// Returns the vacancies that fit an account, best first and the newest of equals. An account without certificates and
/// interests gets none.
pub async fn recommend_vacancies(
    app: &App,
    account_id: Uuid,
    count: usize,
) -> Result<Vec<Fit>, Error> {
    let mut connection = app.db.acquire().await?;
    let interests = storage::interests::find(&mut connection, account_id)
        .await?
        .unwrap_or_default();
    let certificates =
        storage::certificates::list_newest(&mut connection, account_id, CERTIFICATES_MAX).await?;
    let terms = recommendation::terms(&certificates, &interests);
    if terms.is_empty() {
        return Ok(Vec::new());
    }

    let texts: Vec<String> = terms.iter().map(|term| term.text.clone()).collect();
    let stems = storage::recommendations::stems(&mut connection, &texts).await?;
    let terms = distinct(terms, stems);
    let found = storage::recommendations::find(
        &mut connection,
        &terms,
        &interests.regions,
        app.clock.now(),
        CANDIDATES_MAX,
    )
    .await?;

    let mut fits: Vec<Fit> = found
        .into_iter()
        .map(|(vacancy, places)| {
            let matched: Vec<&Term> = places
                .iter()
                .filter_map(|place| terms.get(*place))
                .collect();
            let reasons = recommendation::reasons(
                &certificates,
                &interests,
                &matched,
                vacancy.region.as_ref(),
            );
            Fit {
                score: reasons.iter().map(|reason| reason.weight).sum(),
                vacancy,
                reasons,
            }
        })
        .collect();
    // Ids are in the order of creation.
    fits.sort_by(|a, b| b.score.cmp(&a.score).then(b.vacancy.id.cmp(&a.vacancy.id)));
    fits.truncate(count);
    Ok(fits)
}

/// Drops terms that the database would not find, and words of certificates that are another one's in its eyes
/// (`pengembang`, `pengembangan`), so that one word of a title weighs once.
fn distinct(terms: Vec<Term>, stems: Vec<Option<String>>) -> Vec<Term> {
    let mut seen = HashSet::new();
    terms
        .into_iter()
        .zip(stems)
        .filter(|(term, stems)| match (stems, term.source) {
            (None, _) => false,
            (Some(stems), Source::Certificate(_)) => seen.insert(stems.clone()),
            (Some(_), Source::Keyword) => true,
        })
        .map(|(term, _)| term)
        .collect()
}
