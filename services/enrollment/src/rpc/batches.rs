//! `BatchService`.

use chassis::{
    auth::Principal, idempotency::RequestKey, paging::PageRequest, status::Refusal, task,
};
use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use proto::enrollment::v1::{self as pb, batch_service_server::BatchService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};

/// How many pieces of a bundle may wait for a slow caller: 1 MiB.
const PIECES_AHEAD: usize = 4;

/// The longest reason of an annulment.
const REASON_BYTES_MAX: usize = 500;

/// Reads a request that moves a batch: its id and the batch.
fn moving<M: Message>(
    method: &'static str,
    request: &Request<M>,
    request_id: &str,
    name: &str,
) -> Result<(RequestKey, String), Refusal> {
    let mut reader = Reader::new(method, Principal::of(request)?, request.get_ref());
    let key = reader.key(request_id);
    let batch_id = reader.chosen("name", name, "batches");
    reader.finish(key.zip(batch_id))
}

#[tonic::async_trait]
impl BatchService for Rpc {
    type DownloadDrawBundleStream = BoxStream<'static, Result<pb::DrawBundlePiece, Status>>;

    async fn create_batch(
        &self,
        request: Request<pb::CreateBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let (key, new) = convert::create_batch(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app.create_batch(key, new).await.map_err(status)?,
        ))
    }

    async fn get_batch(
        &self,
        request: Request<pb::GetBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let batch_id = convert::get_chosen(&request.get_ref().name, "batches")?;
        let view = self.app.get_batch(&batch_id).await.map_err(status)?;
        Ok(Response::new(view.into()))
    }

    async fn list_batches(
        &self,
        request: Request<pb::ListBatchesRequest>,
    ) -> Result<Response<pb::ListBatchesResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListBatchesRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (views, next_page_token) = self.app.list_batches(page).await.map_err(status)?;
        Ok(Response::new(pb::ListBatchesResponse {
            batches: views.into_iter().map(pb::Batch::from).collect(),
            next_page_token,
        }))
    }

    async fn open_batch(
        &self,
        request: Request<pb::OpenBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let method = "bekal.enrollment.v1.BatchService/OpenBatch";
        let (key, batch_id) = moving(method, &request, &asked.request_id, &asked.name)?;
        Ok(Response::new(
            self.app.open_batch(key, &batch_id).await.map_err(status)?,
        ))
    }

    async fn close_batch(
        &self,
        request: Request<pb::CloseBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let method = "bekal.enrollment.v1.BatchService/CloseBatch";
        let (key, batch_id) = moving(method, &request, &asked.request_id, &asked.name)?;
        Ok(Response::new(
            self.app.close_batch(key, &batch_id).await.map_err(status)?,
        ))
    }

    async fn commit_randomness(
        &self,
        request: Request<pb::CommitRandomnessRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.BatchService/CommitRandomness",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let batch_id = reader.chosen("name", &asked.name, "batches");
        reader.chosen("trustee", &asked.trustee, "trustees");
        let commitment = reader.bytes32("commitment", &asked.commitment);
        let ((key, batch_id), commitment) = reader.finish(key.zip(batch_id).zip(commitment))?;
        let batch = self
            .app
            .commit_randomness(key, principal, &batch_id, &asked.trustee, commitment)
            .await;
        Ok(Response::new(batch.map_err(status)?))
    }

    async fn freeze_batch(
        &self,
        request: Request<pb::FreezeBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let method = "bekal.enrollment.v1.BatchService/FreezeBatch";
        let (key, batch_id) = moving(method, &request, &asked.request_id, &asked.name)?;
        Ok(Response::new(
            self.app
                .freeze_batch(key, &batch_id)
                .await
                .map_err(status)?,
        ))
    }

    async fn reveal_randomness(
        &self,
        request: Request<pb::RevealRandomnessRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.BatchService/RevealRandomness",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let batch_id = reader.chosen("name", &asked.name, "batches");
        reader.chosen("trustee", &asked.trustee, "trustees");
        let secret = reader.bytes32("secret", &asked.secret);
        let ((key, batch_id), secret) = reader.finish(key.zip(batch_id).zip(secret))?;
        let batch = self
            .app
            .reveal_randomness(key, principal, &batch_id, &asked.trustee, secret)
            .await;
        Ok(Response::new(batch.map_err(status)?))
    }

    async fn record_beacon(
        &self,
        request: Request<pb::RecordBeaconRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.BatchService/RecordBeacon",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let batch_id = reader.chosen("name", &asked.name, "batches");
        let signature: Option<[u8; 48]> = asked.signature.as_slice().try_into().ok();
        reader.check(signature.is_some(), "signature", "is not 48 bytes long");
        let ((key, batch_id), signature) = reader.finish(key.zip(batch_id).zip(signature))?;
        let answer = self.app.record_beacon(key, &batch_id, signature).await;
        Ok(Response::new(answer.map_err(status)?))
    }

    async fn draw_batch(
        &self,
        request: Request<pb::DrawBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let method = "bekal.enrollment.v1.BatchService/DrawBatch";
        let (key, batch_id) = moving(method, &request, &asked.request_id, &asked.name)?;
        Ok(Response::new(
            self.app.draw_batch(key, &batch_id).await.map_err(status)?,
        ))
    }

    async fn award_batch(
        &self,
        request: Request<pb::AwardBatchRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let method = "bekal.enrollment.v1.BatchService/AwardBatch";
        let (key, batch_id) = moving(method, &request, &asked.request_id, &asked.name)?;
        Ok(Response::new(
            self.app.award_batch(key, &batch_id).await.map_err(status)?,
        ))
    }

    async fn propose_annulment(
        &self,
        request: Request<pb::ProposeAnnulmentRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.BatchService/ProposeAnnulment",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let batch_id = reader.chosen("name", &asked.name, "batches");
        let is_reason = (1..=REASON_BYTES_MAX).contains(&asked.reason.len())
            && !asked.reason.contains(char::is_control);
        reader.check(
            is_reason,
            "reason",
            "is not 1 to 500 bytes of printable text",
        );
        let (key, batch_id) = reader.finish(key.zip(batch_id))?;
        let answer = self
            .app
            .propose_annulment(key, principal, &batch_id, &asked.reason)
            .await;
        Ok(Response::new(answer.map_err(status)?))
    }

    async fn confirm_annulment(
        &self,
        request: Request<pb::ConfirmAnnulmentRequest>,
    ) -> Result<Response<pb::Batch>, Status> {
        let asked = request.get_ref();
        let (key, batch_id) = moving(
            "bekal.enrollment.v1.BatchService/ConfirmAnnulment",
            &request,
            &asked.request_id,
            &asked.name,
        )?;
        let principal = Principal::of(&request)?;
        let answer = self.app.confirm_annulment(key, principal, &batch_id).await;
        Ok(Response::new(answer.map_err(status)?))
    }

    async fn download_draw_bundle(
        &self,
        request: Request<pb::DownloadDrawBundleRequest>,
    ) -> Result<Response<Self::DownloadDrawBundleStream>, Status> {
        let batch_id = convert::get_chosen(&request.get_ref().name, "batches")?;
        let bundle = self.app.open_draw_bundle(&batch_id).await.map_err(status)?;
        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        task::spawn("draw-bundle", bundle.send(pieces));
        Ok(Response::new(
            pieces_of(ReceiverStream::new(received)).boxed(),
        ))
    }
}

fn pieces_of(
    received: impl Stream<Item = Result<Vec<u8>, crate::error::Error>>,
) -> impl Stream<Item = Result<pb::DrawBundlePiece, Status>> {
    received.map(|piece| {
        piece
            .map(|content| pb::DrawBundlePiece { content })
            .map_err(status)
    })
}
