//! The browser face's part of the API: rules, and the way from the login to a service's host.
//!
//! Owns who may make a rule: whoever owns the device, or signed the grants' last link. A rule is
//! stored only if the device would take its grants from the face's node. Invariant: a browser is
//! handed over only to a host of the face, by a code that is good there alone.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::{WallTime, authorize, decode_chain};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::body::{Json, Path, Query};
use super::grants::bad_chain;
use super::problem::{Answer, Problem};
use super::text::{Bytes, Key};
use crate::face::{Face, names};
use crate::store::NewEvent;
use crate::store::face::FaceRule;
use crate::wall_unix_s;

#[derive(Serialize, ToSchema)]
pub(crate) struct About {
    /// Whom grants must be for.
    key: Key,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewRule {
    device: Key,
    service: String,
    /// The name of the account that may use it.
    account: String,
    /// Grants for the face's key.
    chain: Bytes,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Rule {
    service: String,
    account: String,
    /// Where the service is from now on.
    url: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfDevice {
    #[param(value_type = String)]
    device: Key,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneRule {
    #[param(value_type = String)]
    device: Key,
    service: String,
    account: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Service {
    device: Key,
    /// What the device is called.
    name: String,
    service: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Enter {
    /// Of the service's host name.
    label: String,
    /// What that host sent the browser with.
    state: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Entered {
    /// Where the browser goes, with the `path` that it had asked for added to the query.
    url: String,
}

fn face(app: &App) -> Answer<&Arc<Face>> {
    app.face.as_ref().ok_or_else(Problem::not_found)
}

/// Whether the caller may say who uses the device by the face with these grants.
async fn may_rule(app: &App, caller: &Caller, device: &PublicKey, chain: &[u8]) -> Answer<bool> {
    let owner = app.db.trust(device).await?.and_then(|trust| trust.owner);
    let grants = decode_chain(chain).unwrap_or_default();
    let issuer = grants.last().map(|last| last.issuer(default_provider()));
    let clients = app.db.clients(caller.account).await?;
    let is_one = |key: PublicKey| Some(key) == owner || Some(key) == issuer;
    Ok(clients.iter().any(|client| is_one(client.key)))
}

/// Whom owners grant what people may do by the browser face.
#[utoipa::path(get, path = "/face", tag = "face",
    responses((status = 200, body = About), (status = 404, body = Problem)))]
pub(crate) async fn about(State(app): State<App>, _: Caller) -> Answer<Json<About>> {
    Ok(Json(About { key: Key(face(&app)?.key()) }))
}

/// Let an account use a service by the browser face.
#[utoipa::path(post, path = "/face/rules", tag = "face", request_body = NewRule,
    responses((status = 201, body = Rule), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn allow(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewRule>,
) -> Answer<(StatusCode, Json<Rule>)> {
    let face = face(&app)?;
    let (device, chain, now) = (new.device.0, new.chain.0, wall_unix_s());
    let trust = app.db.trust(&device).await?.ok_or_else(bad_chain)?;
    let state = trust.state(&device).ok_or_else(bad_chain)?;
    let time = WallTime { unix_s: Some(now), fresh: Some(trust.list_number) };
    let permit = authorize(default_provider(), &state, &device, &face.key(), &chain, time);
    if !permit.is_ok_and(|permit| permit.allows(&new.service)) {
        return Err(bad_chain());
    }
    if !may_rule(&app, &caller, &device, &chain).await? {
        return Err(Problem::forbidden("not-issuer", "you did not sign this grant"));
    }
    let account = app.db.account_named(&new.account).await?;
    let account = account.ok_or_else(|| Problem::bad("account", "there is no such account"))?;
    let label = names::label(&device, &new.service);
    let rule = FaceRule { label, account: account.id, device, service: new.service, chain };
    app.db.set_face_rule(&rule, now).await?;
    note(&app, "face.allowed", &rule, &caller).await?;
    let url = face.url(&rule.label);
    Ok((StatusCode::CREATED, Json(Rule { service: rule.service, account: account.name, url })))
}

/// The rules for a device.
#[utoipa::path(get, path = "/face/rules", tag = "face", params(OfDevice),
    responses((status = 200, body = Rules), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(of): Query<OfDevice>,
) -> Answer<Json<Rules>> {
    let face = face(&app)?;
    let mut rules = Vec::new();
    for rule in app.db.face_rules(&of.device.0).await? {
        if !caller.is_admin && !may_rule(&app, &caller, &rule.device, &rule.chain).await? {
            continue;
        }
        let account = app.db.account(rule.account).await?;
        let account = account.map(|account| account.name).unwrap_or_default();
        rules.push(Rule { url: face.url(&rule.label), service: rule.service, account });
    }
    Ok(Json(Rules { rules }))
}

/// Take a rule back; what goes by it ends.
#[utoipa::path(delete, path = "/face/rules", tag = "face", params(OneRule),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn forbid(
    State(app): State<App>,
    caller: Caller,
    Query(which): Query<OneRule>,
) -> Answer<StatusCode> {
    let face = face(&app)?;
    let account = app.db.account_named(&which.account).await?.ok_or_else(Problem::not_found)?;
    let rules = app.db.face_rules(&which.device.0).await?;
    let is_it = |rule: &FaceRule| rule.account == account.id && rule.service == which.service;
    let rule = rules.into_iter().find(is_it).ok_or_else(Problem::not_found)?;
    if !caller.is_admin && !may_rule(&app, &caller, &rule.device, &rule.chain).await? {
        return Err(Problem::not_found());
    }
    app.db.remove_face_rule(&rule.label, rule.account).await?;
    face.forget(&rule.device, &rule.chain);
    note(&app, "face.forbidden", &rule, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a host name of the face is, for who may use it.
#[utoipa::path(get, path = "/face/services/{label}", tag = "face",
    params(("label" = String, Path)),
    responses((status = 200, body = Service), (status = 404, body = Problem)))]
pub(crate) async fn service(
    State(app): State<App>,
    caller: Caller,
    Path(label): Path<String>,
) -> Answer<Json<Service>> {
    face(&app)?;
    app.db.face_chain(&label, caller.account).await?.ok_or_else(Problem::not_found)?;
    let found = app.db.face_service(&label).await?;
    let (device, service) = found.ok_or_else(Problem::not_found)?;
    let name = app.db.node(&device).await?.map(|node| node.name).unwrap_or_default();
    Ok(Json(Service { device: Key(device), name, service }))
}

/// Hand the page's login over to a host of the face.
#[utoipa::path(post, path = "/face/enter", tag = "face", request_body = Enter,
    responses((status = 200, body = Entered), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn enter(
    State(app): State<App>,
    caller: Caller,
    Json(enter): Json<Enter>,
) -> Answer<Json<Entered>> {
    let face = face(&app)?;
    app.db.face_chain(&enter.label, caller.account).await?.ok_or_else(Problem::not_found)?;
    let made = face.hand_over(&enter.label, &enter.state, caller.account, Instant::now());
    let url = made.map_err(|_| Problem::internal())?;
    let url = url.ok_or_else(|| Problem::bad("state", "begin at the service's own address"))?;
    Ok(Json(Entered { url }))
}

async fn note(app: &App, kind: &'static str, rule: &FaceRule, caller: &Caller) -> Answer<()> {
    let event = NewEvent {
        kind,
        device: Some(rule.device),
        account: Some(caller.account),
        detail: serde_json::json!({ "service": rule.service, "for": rule.account }).to_string(),
    };
    app.db.add_event(event, wall_unix_s()).await?;
    Ok(())
}
