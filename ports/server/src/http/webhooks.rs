//! Webhooks: their list, and the task that sends events to them.
//!
//! Owns delivery. Each is signed, so that the receiver knows who sends; sent until it is answered
//! with 2xx, each time later, at last given up. Invariants: what a webhook gets is what its account
//! may see; unless the operator allows it, none goes to an address that is not public.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use rit_core::crypto::default_provider;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::auth::Caller;
use super::body::{Json, Path};
use super::client::may_be_sent;
use super::events::Event;
use super::password::random;
use super::problem::{Answer, Problem};
use crate::store::webhooks::{Delivery, Webhook};
use crate::store::{AccountRole, EventRow, Viewer};
use crate::wall_unix_s;

const URL_LEN_MAX: usize = 1000;
const KINDS_MAX: usize = 32;
const KIND_LEN_MAX: usize = 64;
/// Events looked at together.
const EVENTS_AT_ONCE: u32 = 100;
/// Sent at once.
const AT_ONCE: usize = 8;
/// How often deliveries that are due are looked for.
const PAUSE: Duration = Duration::from_secs(1);
/// An instance that dies while sending leaves the delivery to another one after that.
const TAKEN_S: u64 = 60;
/// The second try; each later one waits twice as long.
const RETRY_S: u64 = 5;
const RETRY_MAX_S: u64 = 3600;
/// Given up after about half a day.
const TRIES_MAX: u64 = 20;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewWebhook {
    url: String,
    /// Kinds of events; `*` is all.
    events: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MadeWebhook {
    id: i64,
    /// What deliveries are signed with; shown once.
    #[schema(value_type = String)]
    secret: Zeroizing<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Webhooks {
    webhooks: Vec<WebhookInfo>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookInfo {
    id: i64,
    url: String,
    events: Vec<String>,
    created_s: u64,
    /// Deliveries that wait.
    waiting: u64,
    /// What came of the last try of the newest of them.
    last_error: Option<String>,
}

/// Have events sent to an address, from now on.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses((status = 201, body = MadeWebhook), (status = 400, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewWebhook>,
) -> Answer<(StatusCode, Json<MadeWebhook>)> {
    let is_fine = (1..=KINDS_MAX).contains(&new.events.len())
        && new.events.iter().all(|kind| (1..=KIND_LEN_MAX).contains(&kind.len()));
    if !is_fine {
        return Err(Problem::bad("events", "say which kinds of events; * is all"));
    }
    if new.url.len() > URL_LEN_MAX || !may_be_sent(&new.url, app.hooks) {
        return Err(Problem::bad("url", "the address must be https://, of a public host"));
    }
    let secret = Zeroizing::new(random::<32>()?);
    let events = serde_json::Value::from(new.events).to_string();
    let now = wall_unix_s();
    let id = app.db.add_webhook(caller.account, &new.url, &events, &secret, now).await?;
    let id = id.ok_or_else(|| Problem::limit("there are too many webhooks"))?;
    let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&*secret));
    Ok((StatusCode::CREATED, Json(MadeWebhook { id, secret })))
}

/// The caller's webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks",
    responses((status = 200, body = Webhooks)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Json<Webhooks>> {
    let info = |row: Webhook| WebhookInfo {
        id: row.id,
        url: row.url,
        events: serde_json::from_str(&row.events).unwrap_or_default(),
        created_s: row.created_unix_s,
        waiting: row.waiting,
        last_error: row.last_status,
    };
    let rows = app.db.webhooks_of(caller.account).await?;
    Ok(Json(Webhooks { webhooks: rows.into_iter().map(info).collect() }))
}

/// Remove a webhook, and what waits for it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Answer<StatusCode> {
    if app.db.remove_webhook(caller.account, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}

/// Puts events in queues and sends what is due, for as long as the task lives.
pub(crate) async fn run(app: App) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut news = app.news.clone();
    loop {
        if let Err(error) = work(&app, &slots).await {
            tracing::error!(%error, "webhooks wait: the database failed");
        }
        if let Ok(Err(_)) = tokio::time::timeout(PAUSE, news.changed()).await {
            return;
        }
    }
}

async fn work(app: &App, slots: &Arc<Semaphore>) -> Result<(), sqlx::Error> {
    let newest = app.db.last_event().await?;
    for webhook in app.db.webhooks_behind(newest).await? {
        queue(app, &webhook, newest).await?;
    }
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        let now = wall_unix_s();
        let Some(delivery) = app.db.take_delivery(now, now + TAKEN_S).await? else {
            return Ok(());
        };
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = deliver(&app, &delivery).await {
                tracing::error!(%error, "a webhook waits: the database failed");
            }
            drop(slot);
        });
    }
}

async fn queue(app: &App, webhook: &Webhook, newest: i64) -> Result<(), sqlx::Error> {
    let now = wall_unix_s();
    let Some(viewer) = viewer(app, webhook.account).await? else { return Ok(()) };
    let after = webhook.last_event;
    let events = app.db.visible_events(viewer, after, false, EVENTS_AT_ONCE, now).await?;
    let kinds: Vec<String> = serde_json::from_str(&webhook.events).unwrap_or_default();
    let is_wanted = |event: &&EventRow| kinds.iter().any(|kind| kind == "*" || *kind == event.kind);
    let wanted: Vec<i64> = events.iter().filter(is_wanted).map(|event| event.id).collect();
    let up_to = match events.last() {
        Some(last) if events.len() == EVENTS_AT_ONCE as usize => last.id,
        last => newest.max(last.map_or(0, |last| last.id)),
    };
    app.db.queue_deliveries(webhook, &wanted, up_to, now).await
}

async fn viewer(app: &App, account: Option<i64>) -> Result<Option<Viewer>, sqlx::Error> {
    let Some(account) = account else { return Ok(None) };
    let account = app.db.account(account).await?.filter(|account| !account.is_disabled);
    Ok(account.map(|account| Viewer {
        account: account.id,
        is_admin: account.role == AccountRole::Admin,
    }))
}

async fn deliver(app: &App, delivery: &Delivery) -> Result<(), sqlx::Error> {
    let now = wall_unix_s();
    let event = match viewer(app, delivery.account).await? {
        Some(viewer) => app.db.visible_events(viewer, delivery.event - 1, false, 1, now).await?,
        None => Vec::new(),
    };
    // What is no longer there, or no longer the account's to see, is not sent.
    let event = event.into_iter().next().filter(|event| event.id == delivery.event);
    let Some(event) = event else { return app.db.end_delivery(delivery.id).await };
    let Ok(body) = serde_json::to_vec(&Event::of(event)) else {
        return app.db.end_delivery(delivery.id).await;
    };
    let status = match send(app, delivery, body, now).await {
        Ok(()) => return app.db.end_delivery(delivery.id).await,
        Err(status) => status,
    };
    let tries = delivery.tries + 1;
    tracing::warn!(webhook = delivery.webhook, tries, %status, "a webhook was not delivered");
    if tries >= TRIES_MAX {
        return app.db.end_delivery(delivery.id).await;
    }
    let due = wall_unix_s() + wait_s(tries);
    app.db.delay_delivery(delivery.id, due, &status).await
}

/// How long after so many tries the next one comes.
fn wait_s(tries: u64) -> u64 {
    let doubled =
        u32::try_from(tries.saturating_sub(1)).ok().and_then(|by| RETRY_S.checked_shl(by));
    doubled.map_or(RETRY_MAX_S, |wait| wait.clamp(RETRY_S, RETRY_MAX_S))
}

async fn send(app: &App, delivery: &Delivery, body: Vec<u8>, now: u64) -> Result<(), String> {
    let signature = signature(&delivery.secret, now, &body);
    let mut headers = Vec::new();
    let id = delivery.event.to_string();
    for (name, value) in [("rit-signature", &signature), ("rit-event", &id)] {
        let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
        headers.push((HeaderName::from_static(name), value));
    }
    let kind = "application/json";
    let sent = app.client.send(Method::POST, &delivery.url, kind, headers, body, app.hooks).await;
    let reply = sent.map_err(|error| error.to_string())?;
    if (200..300).contains(&reply.status) {
        Ok(())
    } else {
        Err(format!("status {}", reply.status))
    }
}

/// What a receiver compares with: HMAC-SHA-256 with the secret as it was shown.
fn signature(secret: &[u8], now_unix_s: u64, body: &[u8]) -> String {
    let key = Zeroizing::new(BASE64URL_NOPAD.encode(secret));
    let time = now_unix_s.to_string();
    let mac = default_provider().hmac_sha256(key.as_bytes(), &[time.as_bytes(), b".", body]);
    format!("t={time},v1={}", HEXLOWER.encode(&mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let waits: Vec<u64> = [1, 2, 3, 10, 11, 20, 100].iter().map(|t| wait_s(*t)).collect();
        assert_eq!(waits, [5, 10, 20, 2560, 3600, 3600, 3600]);
    }

    /// Computed with Python's hmac.
    #[test]
    fn a_signature_is_the_documented_one() {
        let text = signature(&[7; 32], 1_700_000_000, b"{}");
        assert_eq!(text.len(), "t=1700000000,v1=".len() + 64);
        assert_eq!(text, EXPECTED);
    }

    const EXPECTED: &str =
        "t=1700000000,v1=6fb2a322bb6719daf8397fcc781d9e0e1f15cb6456b72e51496fa5ed52e71fa3";
}
