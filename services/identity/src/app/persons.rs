//! Submitting identities, and answering for persons to other services.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    names,
};
use proto::identity::v1 as pb;
use time::{Date, OffsetDateTime};
use tokio::sync::Notify;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        account::Phone,
        exclusion_list::Listing,
        facts::{Fact, KnownFacts},
        holder_name::names_agree,
        person::{self, NewPerson, Person, PersonState, SubmitRefusal},
        personal::Personal,
    },
    error::Error,
    storage::{
        self,
        persons::{FactChange, SealedFactsRow},
    },
    vault::SealError,
};

/// How many changes are read and sent at once: some 240 kB.
const FACT_CHANGES_PAGE_MAX: i64 = 10_000;

/// What other services may know of an account's person.
#[derive(Debug)]
pub struct PersonFacts {
    /// Whose.
    pub account_id: Uuid,
    /// The state; `None` when the account submitted no identity.
    pub state: Option<PersonState>,
    /// The region of residence.
    pub region: Option<String>,
    /// The household's pseudonym.
    pub household: Option<Vec<u8>>,
    /// The facts by name.
    pub facts: Vec<Fact>,
    /// The version of all of this; `None` when the account submitted no identity.
    pub facts_change_time: Option<OffsetDateTime>,
}

/// Whether a holder is the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The names agree.
    pub name_matches: bool,
    /// The phone numbers are the same.
    pub phone_matches: bool,
}

impl App {
    /// Stores what a person says of themselves; the registry is asked about it at once, in the background.
    pub async fn submit_identity(
        &self,
        key: RequestKey,
        new: NewPerson,
    ) -> Result<pb::Person, Error> {
        let account_id = new.account_id;
        let account = names::format("accounts", account_id);
        let known = KnownFacts {
            registry: None,
            declared: new.declared,
        };
        let hash = self.vault.national_id_hash(&new.submission.national_id);
        let sealed = self
            .vault
            .seal_person(account_id, &new.submission, &known)
            .map_err(|source| seal_error(account_id, source))?;

        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let refused = |refusal| Error::Submit {
            account: account.clone(),
            refusal,
        };
        let state = storage::persons::find_state_for_update(&mut tx, account_id).await?;
        person::may_submit(state).map_err(refused)?;
        match storage::persons::upsert_pending(&mut tx, account_id, &hash, &sealed, now).await {
            Ok(true) => {}
            // Both found no row, and the other one was faster.
            Ok(false) => return Err(refused(SubmitRefusal::Pending)),
            Err(error) => {
                return Err(match db::constraint(&error) {
                    Some(storage::persons::NATIONAL_ID_KEY) => {
                        refused(SubmitRefusal::NationalIdTaken)
                    }
                    Some(storage::persons::ACCOUNT_FKEY) => Error::NotFound(account),
                    Some(_) | None => error.into(),
                });
            }
        }
        let answer = pb::Person::from(Person {
            account_id,
            state: PersonState::Pending,
            mismatch_fields: Vec::new(),
            submit_time: now,
            verify_time: None,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;

        self.submitted.notify_one();
        Ok(answer)
    }

    /// Returns the signal that follows each submission.
    pub fn submitted(&self) -> &Notify {
        &self.submitted
    }

    /// Returns where a person's verification stands.
    pub async fn get_person(&self, account_id: Uuid) -> Result<Person, Error> {
        let mut connection = self.db.acquire().await?;
        storage::persons::find(&mut connection, account_id)
            .await?
            .ok_or_else(|| Error::NotFound(format!("accounts/{account_id}/person")))
    }

    /// Returns the facts of many persons on a date, in the order asked for. Unknown accounts are left out.
    pub async fn list_facts(
        &self,
        account_ids: &[Uuid],
        as_of_date: Date,
    ) -> Result<Vec<PersonFacts>, Error> {
        let rows = {
            let mut connection = self.db.acquire().await?;
            storage::persons::list_facts(&mut connection, account_ids).await?
        };
        rows.into_iter()
            .map(|row| self.open_facts(row.account_id, row.person, as_of_date))
            .collect()
    }

    fn open_facts(
        &self,
        account_id: Uuid,
        person: Option<SealedFactsRow>,
        as_of_date: Date,
    ) -> Result<PersonFacts, Error> {
        let Some(person) = person else {
            return Ok(PersonFacts {
                account_id,
                state: None,
                region: None,
                household: None,
                facts: Vec::new(),
                facts_change_time: None,
            });
        };
        let known = self
            .vault
            .person_key(account_id, &person.wrapped_key)
            .and_then(|key| key.open_facts(&person.sealed_facts))
            .map_err(|source| seal_error(account_id, source))?;
        let mut facts = known.on_date(as_of_date, person.verify_time, person.submit_time);
        facts.extend(person.listings.iter().map(Listing::fact));
        facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(PersonFacts {
            account_id,
            state: Some(person.state),
            region: known.registry.map(|facts| facts.region),
            household: person.household,
            facts,
            facts_change_time: Some(person.facts_change_time),
        })
    }

    /// Lists persons whose facts changed after a time and account: a page of a stream, which keeps no connection.
    pub async fn list_fact_changes(&self, after: FactChange) -> Result<Vec<FactChange>, Error> {
        let mut connection = self.db.acquire().await?;
        Ok(
            storage::persons::list_fact_changes(&mut connection, after, FACT_CHANGES_PAGE_MAX)
                .await?,
        )
    }

    /// Says whether the holder of a bank account or e-wallet is the person behind an account.
    pub async fn attest_holder(
        &self,
        account_id: Uuid,
        holder_name: &Personal<String>,
        phone: Option<&Phone>,
    ) -> Result<Attestation, Error> {
        let holder = {
            let mut connection = self.db.acquire().await?;
            storage::persons::find_holder(&mut connection, account_id).await?
        };
        let holder =
            holder.ok_or_else(|| Error::NotFound(names::format("accounts", account_id)))?;
        let name_matches = match holder.verified {
            Some((sealed_identity, wrapped_key)) => {
                let submission = self
                    .vault
                    .person_key(account_id, &wrapped_key)
                    .and_then(|key| key.open_identity(&sealed_identity))
                    .map_err(|source| seal_error(account_id, source))?;
                names_agree(submission.full_name.expose(), holder_name.expose())
            }
            None => false,
        };
        Ok(Attestation {
            name_matches,
            phone_matches: phone
                .is_none_or(|asked| holder.phone.as_deref() == Some(asked.expose())),
        })
    }
}

pub(super) fn seal_error(account_id: Uuid, source: SealError) -> Error {
    Error::Seal {
        account: names::format("accounts", account_id),
        source,
    }
}
