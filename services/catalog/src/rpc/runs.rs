//! `RunService`.

use chassis::auth::Principal;
use proto::catalog::v1::{self as pb, run_service_server::RunService};
use tonic::{Request, Response, Status};

use super::{Rpc, answers, convert};

#[tonic::async_trait]
impl RunService for Rpc {
    async fn create_run(
        &self,
        request: Request<pb::CreateRunRequest>,
    ) -> Result<Response<pb::Run>, Status> {
        let (key, new) = convert::create_run(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app.create_run(&key, &new, answers::run).await?,
        ))
    }

    async fn get_run(
        &self,
        request: Request<pb::GetRunRequest>,
    ) -> Result<Response<pb::Run>, Status> {
        let id = convert::id(&request.into_inner().name, "runs")?;
        Ok(Response::new(answers::run(self.app.get_run(id).await?)))
    }

    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Result<Response<pb::ListRunsResponse>, Status> {
        let (course_id, page) = convert::list_runs(request.into_inner())?;
        let (runs, next_page_token) = self.app.list_runs(course_id, &page).await?;
        Ok(Response::new(pb::ListRunsResponse {
            runs: runs.into_iter().map(answers::run).collect(),
            next_page_token,
        }))
    }

    async fn hold_seat(
        &self,
        request: Request<pb::HoldSeatRequest>,
    ) -> Result<Response<pb::SeatHold>, Status> {
        let new = convert::hold_seat(request.get_ref())?;
        Ok(Response::new(answers::seat_hold(
            self.app.hold_seat(new).await?,
        )))
    }

    async fn confirm_seat(
        &self,
        request: Request<pb::ConfirmSeatRequest>,
    ) -> Result<Response<pb::SeatHold>, Status> {
        let id = convert::id(&request.into_inner().name, "seatHolds")?;
        Ok(Response::new(answers::seat_hold(
            self.app.confirm_seat(id).await?,
        )))
    }

    async fn release_seat(
        &self,
        request: Request<pb::ReleaseSeatRequest>,
    ) -> Result<Response<pb::SeatHold>, Status> {
        let key = convert::release_seat(request.get_ref())?;
        Ok(Response::new(answers::seat_hold(
            self.app.release_seat(key).await?,
        )))
    }
}
