//! What went wrong with a request, as RFC 9457 says it: `application/problem+json`.
//!
//! Owns the codes that programs tell errors by. Invariant: nothing of the request is repeated in
//! it, so no secret comes back or goes into a log by it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An error's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the title says what the status says.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What programs tell errors by.
    code: &'static str,
    /// For people.
    detail: &'static str,
    /// When to try again, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

/// What handlers return.
pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail,
            retry_after_s: None,
        }
    }

    pub(crate) fn bad(code: &'static str, detail: &'static str) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn unauthorized() -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", "log in first")
    }

    /// One answer for every way in which a login can be wrong.
    pub(crate) fn bad_credentials() -> Self {
        let detail = "user, password, one-time code or signature is wrong";
        Problem::new(StatusCode::UNAUTHORIZED, "bad-credentials", detail)
    }

    pub(crate) fn forbidden(code: &'static str, detail: &'static str) -> Self {
        Problem::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// Also for what is there, but not the caller's.
    pub(crate) fn not_found() -> Self {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such thing, or it is not yours",
        )
    }

    pub(crate) fn conflict(code: &'static str, detail: &'static str) -> Self {
        Problem::new(StatusCode::CONFLICT, code, detail)
    }

    pub(crate) fn limit(detail: &'static str) -> Self {
        Problem::new(StatusCode::CONFLICT, "limit", detail)
    }

    pub(crate) fn too_large() -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too long")
    }

    pub(crate) fn too_slow() -> Self {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request took too long to arrive")
    }

    pub(crate) fn media_type() -> Self {
        let detail = "the body is to be application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    }

    pub(crate) fn method() -> Self {
        let detail = "there is no such method at this path";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
    }

    pub(crate) fn too_many(retry_after_s: u64) -> Self {
        let detail = "too many tries; wait, then try again";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let problem = Problem::new(status, "too-many", detail);
        Problem { retry_after_s: Some(retry_after_s.max(1)), ..problem }
    }

    /// The server has too much to do.
    pub(crate) fn busy() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Problem::new(status, "busy", "the server is busy; try again");
        Problem { retry_after_s: Some(1), ..problem }
    }

    pub(crate) fn offline() -> Self {
        Problem::new(StatusCode::CONFLICT, "offline", "the device is offline")
    }

    pub(crate) fn silent() -> Self {
        let status = StatusCode::GATEWAY_TIMEOUT;
        Problem::new(status, "no-answer", "the device did not answer in time")
    }

    /// The other server that this one has to ask, a login provider, failed.
    pub(crate) fn upstream() -> Self {
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "upstream",
            "the login provider does not answer as it should",
        )
    }

    pub(crate) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "the server failed; its log says why")
    }
}

/// What a failed database means to the caller; the log has the reason.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database failed");
        Problem::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
