//! What happened: sessions, events, and events as they happen (server-sent events).
//!
//! Owns the stream. Invariants: a stream shows what a list would show at that moment, so a right
//! that ends, ends it there too; it is over when its token is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::body::{Json, Query};
use super::problem::Answer;
use super::text::Key;
use crate::store::{EventRow, SessionRow, Viewer};
use crate::wall_unix_s;

const LIMIT_MAX: u32 = 1000;
const LIMIT: u32 = 100;
/// How often a stream that has nothing to say says so, and looks whether it may go on.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionsOf {
    #[param(value_type = Option<String>)]
    device: Option<Key>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    sessions: Vec<Session>,
}

/// An introduction, and what its ends reported of the session.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    id: i64,
    initiator: Key,
    device: Key,
    began_s: u64,
    reported_s: Option<u64>,
    path: Option<String>,
    rtt_us: Option<u64>,
    bytes_sent: Option<u64>,
    bytes_received: Option<u64>,
    packets_lost: Option<u64>,
    error: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsOf {
    /// The event behind which to begin.
    after: Option<i64>,
    limit: Option<u32>,
    /// The newest ones instead; also in ascending order.
    newest: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamOf {
    /// The event behind which to begin; now, if neither this nor Last-Event-ID is said.
    after: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    /// In ascending order.
    events: Vec<Event>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    pub(crate) id: i64,
    at_s: u64,
    pub(crate) kind: String,
    device: Option<Key>,
    /// The account's name.
    account: Option<String>,
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl Event {
    pub(crate) fn of(row: EventRow) -> Event {
        Event {
            id: row.id,
            at_s: row.at_unix_s,
            kind: row.kind,
            device: row.device.map(Key),
            account: row.user,
            detail: serde_json::from_str(&row.detail).unwrap_or_default(),
        }
    }
}

fn session(row: SessionRow) -> Session {
    let full = |text: String| Some(text).filter(|text| !text.is_empty());
    Session {
        id: row.id,
        initiator: Key(row.initiator),
        device: Key(row.device),
        began_s: row.at_unix_s,
        reported_s: row.reported_unix_s,
        path: full(row.path),
        rtt_us: row.rtt_us,
        bytes_sent: row.sent_bytes,
        bytes_received: row.received_bytes,
        packets_lost: row.lost_packets,
        error: full(row.error),
    }
}

fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)
}

/// Sessions with devices that the caller may see, the newest first.
#[utoipa::path(get, path = "/sessions", tag = "monitoring", params(SessionsOf),
    responses((status = 200, body = Sessions)))]
pub(crate) async fn sessions(
    State(app): State<App>,
    caller: Caller,
    Query(of): Query<SessionsOf>,
) -> Answer<Json<Sessions>> {
    let device = of.device.map(|key| key.0);
    let (viewer, now) = (caller.viewer(), wall_unix_s());
    let rows = app.db.visible_sessions(viewer, device.as_ref(), limit(of.limit), now).await?;
    Ok(Json(Sessions { sessions: rows.into_iter().map(session).collect() }))
}

/// Events of the caller's account and of devices that he may see.
#[utoipa::path(get, path = "/events", tag = "monitoring", params(EventsOf),
    responses((status = 200, body = Events)))]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    Query(of): Query<EventsOf>,
) -> Answer<Json<Events>> {
    let (after, is_newest) = (of.after.unwrap_or(0), of.newest.unwrap_or(false));
    let (viewer, now) = (caller.viewer(), wall_unix_s());
    let rows = app.db.visible_events(viewer, after, is_newest, limit(of.limit), now).await?;
    Ok(Json(Events { events: rows.into_iter().map(Event::of).collect() }))
}

/// Events as they happen, as server-sent events: `id` is the event's, `data` its JSON.
#[utoipa::path(get, path = "/events/stream", tag = "monitoring", params(StreamOf),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Query(of): Query<StreamOf>,
) -> Answer<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = match last.or(of.after) {
        Some(after) => after,
        None => app.db.last_event().await?,
    };
    let reader = Reader {
        viewer: caller.viewer(),
        token: caller.token.hash(),
        after,
        ready: VecDeque::new(),
        news: app.news.clone(),
        app,
    };
    let stream = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One who follows.
struct Reader {
    app: App,
    viewer: Viewer,
    token: [u8; 32],
    after: i64,
    ready: VecDeque<EventRow>,
    news: watch::Receiver<i64>,
}

impl Reader {
    /// The next event; none: it is over.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.after = row.id;
                let id = row.id.to_string();
                return sse::Event::default().id(id).json_data(Event::of(row)).ok();
            }
            self.news.borrow_and_update();
            let now = wall_unix_s();
            self.app.db.token_owner(&self.token, now).await.ok()??;
            let db = &self.app.db;
            let rows = db.visible_events(self.viewer, self.after, false, LIMIT, now).await.ok()?;
            self.ready = rows.into();
            if self.ready.is_empty() {
                match tokio::time::timeout(KEEP_ALIVE, self.news.changed()).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(_)) => return None,
                }
            }
        }
    }
}
