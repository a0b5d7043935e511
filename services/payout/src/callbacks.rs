//! Where the rail tells of transfers by itself: SNAP's notices over HTTP, on a port of their own. Whoever posts here is
//! known by the signature alone; nothing is done but that an inquiry becomes due.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, notices::NoticeError},
    domain::rail::TRANSFER_NOTICE,
    rail::{NoticeRefusal, SignedNotice},
};

/// Where notices are posted to; the signature covers it.
pub const PATH: &str = "/openapi/v1.0/transfer/notify";

/// A notice is some hundred bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Serves until the token is cancelled; then those in work are finished.
pub async fn serve(listener: TcpListener, app: App, stopping: CancellationToken) {
    let routes = Router::new()
        .route(PATH, post(take))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stopping.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(
            error = chassis::telemetry::chain(&error),
            "the rail's notices are not taken any more"
        );
    }
}

async fn take(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let signed = SignedNotice {
        path: PATH,
        timestamp: header("x-timestamp"),
        partner_id: header("x-partner-id"),
        signature: header("x-signature"),
        body: &body,
    };
    match app.take_notice(&signed).await {
        Ok(()) => answer(StatusCode::OK, "00", "Successful"),
        Err(NoticeError::Refused(NoticeRefusal::Unreadable)) => {
            answer(StatusCode::BAD_REQUEST, "00", "Bad Request")
        }
        Err(NoticeError::Refused(why)) => {
            // One that was long on its way, which its sender signs afresh.
            if why == NoticeRefusal::Stale {
                tracing::info!(%why, "a notice was refused");
            } else {
                tracing::warn!(%why, "a notice was refused");
            }
            answer(StatusCode::UNAUTHORIZED, "00", "Unauthorized")
        }
        Err(NoticeError::Unknown) => answer(StatusCode::NOT_FOUND, "01", "Transaction Not Found"),
        // The rail repeats it.
        Err(NoticeError::Later) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, "00", "Service Unavailable")
        }
    }
}

fn answer(status: StatusCode, case: &str, message: &str) -> Response {
    let code = format!("{}{TRANSFER_NOTICE}{case}", status.as_str());
    let body = json!({ "responseCode": code, "responseMessage": message });
    (status, Json(body)).into_response()
}
