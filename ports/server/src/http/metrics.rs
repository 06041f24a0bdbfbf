//! Numbers for Prometheus, in its text format 0.0.4.
//!
//! Owns the count of requests and the text. Labels are routes as they are written in the code,
//! methods and statuses: never a path, a name or an address.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::App;
use super::problem::{Answer, Problem};

const TYPE: &str = "text/plain; version=0.0.4";

/// Requests by route, method and status.
#[derive(Default)]
pub(crate) struct Requests(Mutex<BTreeMap<(String, &'static str, u16), u64>>);

impl Requests {
    fn count(&self, route: String, method: &'static str, status: u16) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((route, method, status)).or_default() += 1;
    }

    fn write(&self, out: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, method, status), count) in &*all {
            let _ = writeln!(
                out,
                "rit_http_requests_total{{route=\"{route}\",method=\"{method}\",\
                 status=\"{status}\"}} {count}"
            );
        }
    }
}

/// Methods of others would be labels without number.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Counts and logs a request, without anything that its sender chose.
pub(crate) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (route, method) = (route.unwrap_or_else(|| "none".to_owned()), method(request.method()));
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::debug!(route, method, status, "HTTP");
    app.requests.count(route, method, status);
    response
}

/// Numbers for Prometheus; with the token of `--metrics-token`, or at the listener of `--metrics`.
#[utoipa::path(get, path = "/metrics", tag = "monitoring", security(("metrics" = [])),
    responses((status = 200, body = String, content_type = "text/plain"),
        (status = 401, body = Problem)))]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let wanted = app.metrics_token.as_ref().ok_or_else(Problem::unauthorized)?;
    if !bool::from(given.as_bytes().ct_eq(wanted.as_bytes())) {
        return Err(Problem::unauthorized());
    }
    open(State(app)).await
}

/// The same without a token, for a listener that only the operator reaches.
pub(crate) async fn open(State(app): State<App>) -> Answer<Response> {
    let (enrolled, online) = app.db.count_nodes().await?;
    let counts = app.db.http_counts().await?;
    let mut out = String::new();
    let mut number = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    number("rit_nodes_enrolled", "gauge", "Nodes that are enrolled.", enrolled);
    number("rit_nodes_online", "gauge", "Nodes that are online, at any instance.", online);
    number("rit_accounts", "gauge", "Accounts.", counts.accounts);
    number("rit_events_total", "counter", "Events so far.", counts.events);
    number("rit_sessions_total", "counter", "Introductions so far.", counts.sessions);
    number("rit_webhook_deliveries_waiting", "gauge", "Deliveries that wait.", counts.deliveries);
    let connections = app.connections.count() as u64;
    number("rit_http_connections", "gauge", "HTTP connections to this instance.", connections);
    let _ = writeln!(
        out,
        "# HELP rit_http_requests_total Requests to this instance.\n\
         # TYPE rit_http_requests_total counter"
    );
    app.requests.write(&mut out);
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "# HELP rit_build_info The program.\n# TYPE rit_build_info gauge\n\
         rit_build_info{{version=\"{version}\"}} 1"
    );
    Ok(([(header::CONTENT_TYPE, TYPE)], out).into_response())
}
