//! Public money: into a batch, to a payee, back, and into the next batch.

use proto::{
    enrollment::v1::Scheme,
    payout::v1::{
        self as pb, disbursement_service_client::DisbursementServiceClient,
        funds_service_client::FundsServiceClient, ledger_service_client::LedgerServiceClient,
        treasury_service_client::TreasuryServiceClient,
    },
    r#type::v1::Money,
};
use tonic::Status;

use super::{Programme, patiently, reason_of, request_id};
use crate::{accounts::Caller, cluster::Client, people::Person, process::Service};

impl Programme {
    /// Books an appropriation and returns its name.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn appropriate(&self, id: &str, amount: Money) -> Result<String, Status> {
        let request = pb::CreateAppropriationRequest {
            request_id: request_id(),
            appropriation_id: id.to_owned(),
            appropriation: Some(pb::Appropriation {
                fiscal_year: 2026,
                amount: Some(amount),
                ..pb::Appropriation::default()
            }),
        };
        let mut treasury = TreasuryServiceClient::new(self.treasurer());
        let appropriation = treasury.create_appropriation(request).await?;
        Ok(appropriation.into_inner().name)
    }

    /// Moves money from an appropriation into a batch's budget.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn allot(
        &self,
        appropriation: &str,
        batch: &str,
        amount: Money,
    ) -> Result<pb::Allotment, Status> {
        let request = pb::CreateAllotmentRequest {
            request_id: request_id(),
            allotment: Some(pb::Allotment {
                appropriation: appropriation.to_owned(),
                batch: batch.to_owned(),
                amount: Some(amount),
                ..pb::Allotment::default()
            }),
        };
        let mut treasury = TreasuryServiceClient::new(self.treasurer());
        Ok(treasury.create_allotment(request).await?.into_inner())
    }

    /// Moves returned money of one batch into the budget of another.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn reallocate(
        &self,
        source_batch: &str,
        target_batch: &str,
        amount: Money,
    ) -> Result<pb::Reallocation, Status> {
        let request = pb::CreateReallocationRequest {
            request_id: request_id(),
            reallocation: Some(pb::Reallocation {
                source_batch: source_batch.to_owned(),
                target_batch: target_batch.to_owned(),
                amount: Some(amount),
                ..pb::Reallocation::default()
            }),
        };
        let mut treasury = TreasuryServiceClient::new(self.treasurer());
        Ok(treasury.create_reallocation(request).await?.into_inner())
    }

    /// Tells where a batch's money is.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn trace_funds(&self, batch: &str) -> Result<pb::FundTrace, Status> {
        let request = pb::TraceFundsRequest {
            batch: batch.to_owned(),
        };
        let mut treasury = TreasuryServiceClient::new(self.treasurer());
        Ok(treasury.trace_funds(request).await?.into_inner())
    }

    /// Compares the ledger's sums with its transfers.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn audit_ledger(&self) -> Result<pb::LedgerAudit, Status> {
        let mut ledger = LedgerServiceClient::new(self.treasurer());
        let audit = ledger.audit_ledger(pb::AuditLedgerRequest {}).await?;
        Ok(audit.into_inner())
    }

    /// Returns a participation's balances.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn balance(&self, participation: &str) -> Result<pb::Balance, Status> {
        let request = pb::GetBalanceRequest {
            name: format!("{participation}/balance"),
        };
        let mut funds = FundsServiceClient::new(self.client(Service::Payout, Caller::Frontend));
        Ok(funds.get_balance(request).await?.into_inner())
    }

    /// Links a person's own bank account or wallet.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn link_payee(
        &self,
        account: &str,
        person: &Person,
    ) -> Result<pb::PayeeAccount, Status> {
        let request = pb::LinkPayeeAccountRequest {
            request_id: request_id(),
            account: account.to_owned(),
            payee_account: Some(pb::PayeeAccount {
                channel: person.channel.to_owned(),
                account_number: person.account_number.clone(),
                ..pb::PayeeAccount::default()
            }),
        };
        let client = DisbursementServiceClient::new(self.client(Service::Payout, Caller::Frontend));
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.link_payee_account(request).await }
        };
        patiently(call).await
    }

    /// Returns a person's disbursements.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn disbursements(&self, account: &str) -> Result<Vec<pb::Disbursement>, Status> {
        let request = pb::ListDisbursementsRequest {
            account: account.to_owned(),
            ..pb::ListDisbursementsRequest::default()
        };
        let mut client =
            DisbursementServiceClient::new(self.client(Service::Payout, Caller::Frontend));
        let page = client.list_disbursements(request).await?.into_inner();
        Ok(page.disbursements)
    }

    /// Counts the disbursements in a state, over all persons.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn disbursements_in(&self, state: pb::disbursement::State) -> Result<u64, Status> {
        Ok(self.list_disbursements(state).await?.len() as u64)
    }

    /// Returns the disbursements of all persons.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn all_disbursements(&self) -> Result<Vec<pb::Disbursement>, Status> {
        let any = pb::disbursement::State::Unspecified;
        self.list_disbursements(any).await
    }

    /// Returns what of a batch's money is on its way through the rail, in units.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn in_flight(&self, batch: &str) -> Result<i64, Status> {
        let request = pb::ListLedgerAccountsRequest {
            owner: batch.to_owned(),
            ..pb::ListLedgerAccountsRequest::default()
        };
        let mut ledger = LedgerServiceClient::new(self.treasurer());
        let accounts = ledger.list_ledger_accounts(request).await?.into_inner();
        let units = |money: Option<Money>| money.map_or(0, |money| money.units);
        let in_flight = accounts
            .ledger_accounts
            .into_iter()
            .filter(|account| account.kind == "rail-in-flight");
        Ok(in_flight
            .map(|account| units(account.credits_posted) - units(account.debits_posted))
            .sum())
    }

    async fn list_disbursements(
        &self,
        state: pb::disbursement::State,
    ) -> Result<Vec<pb::Disbursement>, Status> {
        let mut client = DisbursementServiceClient::new(self.treasurer());
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListDisbursementsRequest {
                state: state.into(),
                page_size: 1_000,
                page_token,
                ..pb::ListDisbursementsRequest::default()
            };
            let page = client.list_disbursements(request).await?.into_inner();
            all.extend(page.disbursements);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            page_token = page.next_page_token;
        }
    }

    /// Puts everything that is due into a batch; `None` when nothing is.
    ///
    /// # Errors
    /// When payout refuses for another reason.
    pub async fn batch_due(
        &self,
        currency_code: &str,
    ) -> Result<Option<pb::DisbursementBatch>, Status> {
        let request = pb::CreateDisbursementBatchRequest {
            request_id: request_id(),
            currency_code: currency_code.to_owned(),
            line_count_max: 0,
            rail: 0,
        };
        let mut client = DisbursementServiceClient::new(self.treasurer());
        match client.create_disbursement_batch(request).await {
            Ok(batch) => Ok(Some(batch.into_inner())),
            Err(status) if reason_of(&status).as_deref() == Some("NOTHING_DUE") => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Lets the other operator approve a batch of disbursements.
    ///
    /// # Errors
    /// When payout refuses.
    pub async fn approve(
        &self,
        batch: &pb::DisbursementBatch,
    ) -> Result<pb::DisbursementBatch, Status> {
        self.approve_as(Caller::Operator2, batch).await
    }

    /// Lets an operator approve a batch of disbursements.
    ///
    /// # Errors
    /// When payout refuses, as it must whoever made the batch.
    pub async fn approve_as(
        &self,
        operator: Caller,
        batch: &pb::DisbursementBatch,
    ) -> Result<pb::DisbursementBatch, Status> {
        let request = pb::ApproveDisbursementBatchRequest {
            request_id: request_id(),
            name: batch.name.clone(),
            line_count: batch.line_count,
            total: batch.total.clone(),
        };
        let mut client = DisbursementServiceClient::new(self.client(Service::Payout, operator));
        let approved = client.approve_disbursement_batch(request).await?;
        Ok(approved.into_inner())
    }

    fn treasurer(&self) -> Client {
        self.client(Service::Payout, Caller::Operator1)
    }
}

/// Returns what one place of a scheme can cost: the training balance and all instalments of all incentives.
///
/// # Panics
/// When the scheme names no amount or one beyond all money.
pub fn award_cost(scheme: &Scheme) -> Money {
    let balance = scheme.training_balance.clone();
    let mut cost = balance.expect("a scheme has a training balance");
    for incentive in &scheme.incentives {
        let amount = incentive.amount.as_ref();
        let amount = amount.expect("an incentive has an amount").units;
        let all = amount.checked_mul(incentive.instalment_count.into());
        cost.units += all.expect("a scheme's amounts are small");
    }
    cost
}

/// Returns what a trace's parts lack to what was allotted, in units: 0 for a sound ledger.
pub fn outside_of(trace: &pb::FundTrace) -> i64 {
    let units = |money: &Option<Money>| money.as_ref().map_or(0, |money| money.units);
    units(&trace.allotted)
        - units(&trace.spent)
        - units(&trace.incentives)
        - units(&trace.returned)
        - units(&trace.reallocated)
        - units(&trace.outstanding)
}
