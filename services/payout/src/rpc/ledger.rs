//! `LedgerService`.

use chassis::{money::Currency, names, paging::PageRequest};
use proto::payout::v1::{self as pb, ledger_service_server::LedgerService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};
use crate::domain::ledger::Transfer;

#[tonic::async_trait]
impl LedgerService for Rpc {
    async fn create_ledger_accounts(
        &self,
        request: Request<pb::CreateLedgerAccountsRequest>,
    ) -> Result<Response<pb::CreateLedgerAccountsResponse>, Status> {
        let accounts = convert::create_ledger_accounts(request.get_ref())?;
        let openings = self.app.create_ledger_accounts(&accounts).await?;
        Ok(Response::new(pb::CreateLedgerAccountsResponse {
            results: openings
                .into_iter()
                .map(pb::LedgerAccountResult::from)
                .collect(),
        }))
    }

    async fn create_transfers(
        &self,
        request: Request<pb::CreateTransfersRequest>,
    ) -> Result<Response<pb::CreateTransfersResponse>, Status> {
        let lines = convert::create_transfers(request.get_ref())?;
        let currencies: Vec<Option<Currency>> = lines.iter().map(Transfer::currency).collect();
        let verdicts = self.app.create_transfers(lines).await?;
        Ok(Response::new(pb::CreateTransfersResponse {
            results: verdicts
                .iter()
                .zip(currencies)
                .map(|(verdict, currency)| convert::transfer_result(verdict, currency))
                .collect(),
        }))
    }

    async fn get_ledger_account(
        &self,
        request: Request<pb::GetLedgerAccountRequest>,
    ) -> Result<Response<pb::LedgerAccount>, Status> {
        let now = self.app.clock().now();
        let (id, read_time) = convert::get_ledger_account(request.get_ref(), now)?;
        let account = self.app.get_ledger_account(id, read_time).await?;
        Ok(Response::new(account.into()))
    }

    async fn list_ledger_accounts(
        &self,
        request: Request<pb::ListLedgerAccountsRequest>,
    ) -> Result<Response<pb::ListLedgerAccountsResponse>, Status> {
        let request = request.into_inner();
        let (batch, owner) = convert::list_ledger_accounts(&request)?;
        let filter = pb::ListLedgerAccountsRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (rows, next_page_token) = self.app.list_ledger_accounts(batch, owner, page).await?;
        Ok(Response::new(pb::ListLedgerAccountsResponse {
            ledger_accounts: rows.into_iter().map(pb::LedgerAccount::from).collect(),
            next_page_token,
        }))
    }

    async fn list_transfers(
        &self,
        request: Request<pb::ListTransfersRequest>,
    ) -> Result<Response<pb::ListTransfersResponse>, Status> {
        let request = request.into_inner();
        let account_id = convert::list_transfers(&request)?;
        let filter = pb::ListTransfersRequest {
            ledger_account: request.ledger_account,
            ..Default::default()
        };
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (rows, next_page_token) = self.app.list_transfers(account_id, page).await?;
        Ok(Response::new(pb::ListTransfersResponse {
            transfers: rows.into_iter().map(pb::Transfer::from).collect(),
            next_page_token,
        }))
    }

    async fn audit_ledger(
        &self,
        _request: Request<pb::AuditLedgerRequest>,
    ) -> Result<Response<pb::LedgerAudit>, Status> {
        let (audit, audit_time) = self.app.audit_ledger().await?;
        let differing = audit
            .differing
            .into_iter()
            .map(|id| names::format("ledgerAccounts", id.0));
        Ok(Response::new(pb::LedgerAudit {
            account_count: audit.account_count,
            transfer_count: audit.transfer_count,
            differing_accounts: differing.collect(),
            differing_account_count: audit.differing_count,
            differing_batches: audit.batches,
            audit_time: Some(convert::timestamp(audit_time)),
        }))
    }
}
