//! `PaymentFileService`.

use chassis::{auth::Principal, names, status::Refusal, task};
use futures::{Stream, StreamExt, stream::BoxStream};
use proto::payout::v1::{
    self as pb, import_payment_status_report_request::Part,
    payment_file_service_server::PaymentFileService,
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Rpc, convert,
    uploads::{self, PIECES_WAITING_MAX, violation},
};
use crate::error::Error;

/// The largest report: a batch has 100,000 lines at most, each of some 500 bytes when a bank repeats little of it.
const REPORT_GIB_MAX: u64 = 1;

/// How many pieces are written before the first is taken.
const PIECES_AHEAD: usize = 2;

#[tonic::async_trait]
impl PaymentFileService for Rpc {
    type DownloadPaymentInitiationStream =
        BoxStream<'static, Result<pb::PaymentInitiationPiece, Status>>;

    async fn export_disbursement_batch(
        &self,
        request: Request<pb::ExportDisbursementBatchRequest>,
    ) -> Result<Response<pb::PaymentInitiation>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id) = convert::export_disbursement_batch(principal, request.get_ref())?;
        Ok(Response::new(
            self.app.export_disbursement_batch(key, id).await?,
        ))
    }

    async fn download_payment_initiation(
        &self,
        request: Request<pb::DownloadPaymentInitiationRequest>,
    ) -> Result<Response<Self::DownloadPaymentInitiationStream>, Status> {
        let file = self
            .app
            .open_payment_file(parse_name(&request.get_ref().name)?)
            .await?;
        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        task::spawn("payment-file", file.send(pieces));
        Ok(Response::new(pieces_of(received).boxed()))
    }

    async fn import_payment_status_report(
        &self,
        request: Request<tonic::Streaming<pb::ImportPaymentStatusReportRequest>>,
    ) -> Result<Response<pb::PaymentStatusReport>, Status> {
        let principal = Principal::of(&request)?.clone();
        let mut stream = request.into_inner();
        let header = match stream.message().await?.and_then(|first| first.part) {
            Some(Part::Header(header)) => header,
            Some(Part::Content(_)) | None => {
                return Err(violation("header", "comes first").into());
            }
        };
        convert::status_report_header(&principal, &header)?;

        let (pieces, content) = mpsc::channel(PIECES_WAITING_MAX);
        let (staged, received) = tokio::join!(
            self.app.stage_payment_status_report(content),
            uploads::receive(&mut stream, pieces, REPORT_GIB_MAX, content_of),
        );
        // What broke the rules of the stream has cut the file: it is the cause.
        let content_hash = received?;
        let staged = staged?;
        let key = convert::status_report_key(&principal, &header, &content_hash)?;
        Ok(Response::new(
            self.app
                .import_payment_status_report(key, &staged, content_hash)
                .await?,
        ))
    }
}

fn content_of(request: pb::ImportPaymentStatusReportRequest) -> Result<Vec<u8>, Refusal> {
    match request.part {
        Some(Part::Content(piece)) => Ok(piece),
        Some(Part::Header(_)) => Err(violation("header", "comes once, first")),
        None => Err(violation("part", "is required")),
    }
}

fn pieces_of(
    received: mpsc::Receiver<Result<Vec<u8>, Error>>,
) -> impl Stream<Item = Result<pb::PaymentInitiationPiece, Status>> {
    futures::stream::unfold(received, |mut received| async move {
        let piece = received.recv().await?;
        Some((piece, received))
    })
    .map(|piece| {
        piece
            .map(|content| pb::PaymentInitiationPiece { content })
            .map_err(Status::from)
    })
}

/// Reads `disbursementBatches/{uuid}/paymentInitiation`.
fn parse_name(name: &str) -> Result<Uuid, Refusal> {
    name.strip_suffix("/paymentInitiation")
        .and_then(|batch| names::parse_uuid(batch, "disbursementBatches"))
        .ok_or_else(|| Refusal::not_found(name))
}
