//! Where the randomness comes from: the trustees' commitments before the freeze and their secrets after it, and the
//! signature of the beacon's round.

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
    status::{Refusal, Violations},
};
use draw::{Commitment, RandomnessSource};
use proto::enrollment::v1 as pb;

use super::{
    App,
    batches::{answer, get_for_update, state_wrong},
};
use crate::{
    domain::batch::{Batch, BatchState},
    error::Error,
    storage,
};

impl App {
    /// Takes a trustee's commitment. It binds at once.
    pub async fn commit_randomness(
        &self,
        key: RequestKey,
        principal: &Principal,
        batch_id: &str,
        trustee: &str,
        commitment: [u8; 32],
    ) -> Result<pb::Batch, Error> {
        check_caller(principal, trustee)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        check_trustee(&batch, trustee)?;
        if batch.state >= BatchState::Frozen {
            return Err(state_wrong(&batch));
        }
        if !storage::shares::insert(&mut tx, batch_id, trustee, &commitment, now).await? {
            return Err(Error::RandomnessCommitted(trustee.to_owned()));
        }
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Takes a trustee's secret. The same one again changes nothing.
    pub async fn reveal_randomness(
        &self,
        key: RequestKey,
        principal: &Principal,
        batch_id: &str,
        trustee: &str,
        secret: [u8; 32],
    ) -> Result<pb::Batch, Error> {
        check_caller(principal, trustee)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        check_trustee(&batch, trustee)?;
        // Before the freeze a secret would tell everybody how to steer the list.
        if batch.state != BatchState::Frozen {
            return Err(state_wrong(&batch));
        }
        let shares = storage::shares::list(&mut tx, batch_id).await?;
        let share = shares
            .iter()
            .find(|share| share.trustee == trustee)
            .ok_or(Error::Broken("a frozen batch lacks a trustee's commitment"))?;
        if draw::secret_commitment(&batch.name(), trustee, &secret) != share.commitment {
            return Err(Error::SecretMismatched(trustee.to_owned()));
        }
        let late = batch.freeze.as_ref().map(|freeze| freeze.reveal_deadline);
        if let Some(deadline) = late.filter(|deadline| share.secret.is_none() && *deadline < now) {
            return Err(Error::RevealDeadlinePassed(batch.name(), deadline));
        }
        storage::shares::reveal(&mut tx, batch_id, trustee, &secret, now).await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

impl App {
    /// Takes the signature of the beacon's round that the commitment names. The same one again changes nothing.
    pub async fn record_beacon(
        &self,
        key: RequestKey,
        batch_id: &str,
        signature: [u8; 48],
    ) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        let freeze = match &batch.freeze {
            Some(freeze) if batch.state == BatchState::Frozen => freeze,
            Some(_) | None => return Err(state_wrong(&batch)),
        };
        let commitment = Commitment::from_bytes(&freeze.encoded)?;
        let round = match &commitment.source {
            RandomnessSource::Drand(round) => Some(*round),
            RandomnessSource::CommitReveal(source) => source.beacon,
            _ => None,
        };
        let Some(round) = round else {
            let mut violations = Violations::new();
            violations.check(false, "name", "names a batch without a beacon");
            violations.into_result()?;
            return Err(Error::Broken("a violation was no refusal"));
        };
        if round.verify(&signature).is_err() {
            return Err(Error::BeaconSignatureInvalid(batch.name(), round.round));
        }
        storage::batches::record_beacon(&mut tx, batch_id, &signature).await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

/// A service account acts for the trustee of its own id alone.
fn check_caller(principal: &Principal, trustee: &str) -> Result<(), Error> {
    let caller = principal.subject.strip_prefix("serviceAccounts/");
    match caller {
        Some(id) if trustee.strip_prefix("trustees/") != Some(id) => {
            Err(Error::NotTrustee(trustee.to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_trustee(batch: &Batch, trustee: &str) -> Result<(), Refusal> {
    let mut violations = Violations::new();
    let is_one = batch.randomness.trustees.iter().any(|name| name == trustee);
    violations.check(is_one, "trustee", "is not a trustee of the batch");
    violations.into_result()
}
