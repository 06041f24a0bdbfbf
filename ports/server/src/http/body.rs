//! What comes with a request: JSON, query and path, read within limits.
//!
//! Owns the extractors and the limits on a body. Invariant: what does not fit is answered by a
//! [`Problem`] that repeats nothing of it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The largest is a chain in base64url beside a note.
pub(crate) const BODY_LEN_MAX: usize = 16 * 1024;
const BODY_TIME: Duration = Duration::from_secs(10);
const BODY: &str = "the body is not the JSON that is asked for";

/// Reads the whole body before anything is done, so that nothing is held while it trickles in.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let limited = Limited::new(body, BODY_LEN_MAX).collect();
    match tokio::time::timeout(BODY_TIME, limited).await {
        Err(_) => close(Problem::too_slow()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => close(Problem::too_large()),
        Ok(Err(_)) => close(Problem::bad("body", "the body broke off")),
        Ok(Ok(body)) => {
            let body: Bytes = body.to_bytes();
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
    }
}

/// What is left of the body is not read.
fn close(problem: Problem) -> Response {
    let mut response = problem.into_response();
    let close = axum::http::HeaderValue::from_static("close");
    response.headers_mut().insert(axum::http::header::CONNECTION, close);
    response
}

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Json(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::media_type()),
            Err(_) => Err(Problem::bad("body", BODY)),
        }
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The part of an address after `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let bad = |_| Problem::bad("query", "the query is not what is asked for");
        query.map(|axum::extract::Query(value)| Query(value)).map_err(bad)
    }
}

/// What the path names; what cannot be one is not found.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Path(value)).map_err(|_| Problem::not_found())
    }
}
