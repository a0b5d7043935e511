//! Unary requests and answers as a whole, so that the first can be sent again and the second is complete or none.

use bytes::Bytes;
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status, body::Body};

/// Above this, a request is sent once: retries of bulk are the caller's own affair.
const RETRY_BYTES_MAX: usize = 1024 * 1024;

/// A request that can be sent several times.
pub(super) struct Buffered {
    parts: request::Parts,
    body: Bytes,
}

impl Buffered {
    /// Reads what the generated client has encoded.
    pub(super) async fn read(request: Request<Body>) -> Result<Buffered, Status> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Buffered { parts, body })
    }

    pub(super) fn copy(&self) -> Request<Body> {
        let mut request = Request::new(Body::new(Full::new(self.body.clone())));
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.clone();
        *request.version_mut() = self.parts.version;
        *request.headers_mut() = self.parts.headers.clone();
        request
    }

    pub(super) fn is_large(&self) -> bool {
        self.body.len() > RETRY_BYTES_MAX
    }
}

/// Reads an answer to its end. A failure after the message, in the trailers, becomes one in the head.
pub(super) async fn read_answer(response: Response<Body>) -> Result<Response<Body>, Status> {
    let (mut parts, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    let body = Full::new(collected.to_bytes());
    let Some(trailers) = trailers else {
        return Ok(Response::from_parts(parts, Body::new(body)));
    };
    let failure = Status::from_header_map(&trailers).filter(|status| status.code() != Code::Ok);
    if failure.is_some() {
        parts.headers.extend(trailers);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// Reads the code of an answer that has failed; any other has succeeded.
pub(super) fn code_of(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}
