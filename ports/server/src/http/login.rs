//! Logging in and out: a node with its key and a password, a node that did so before, the page.
//!
//! Owns the order of checks. Invariants: what can be guessed is counted before it is looked at;
//! what a user's name, password and one-time code are checked against costs the same whether there
//! is such a user; no answer tells which of them was wrong.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rit_core::crypto::default_provider;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::auth::{self, COOKIE_S, Caller, From, TOKEN_S, Token};
use super::body::{Json, Path};
use super::challenge::VALID_S;
use super::jwt::Claims;
use super::listen::network_of;
use super::oidc::{Oidc, Progress};
use super::problem::{Answer, Problem};
use super::text::{Bytes, Key};
use super::totp;
use crate::store::throttle::{OF_ACCOUNT, OF_ADDRESS};
use crate::store::{Account, AccountRole, NewEvent};
use crate::wall_unix_s;

/// Names are for people to type.
pub(crate) const NAME_LEN_MAX: usize = 64;
const LOGIN: &str = "account.login";
const LOGIN_FAILED: &str = "account.login_failed";

#[derive(Serialize, ToSchema)]
pub(crate) struct Challenge {
    /// To be signed once, within two minutes.
    nonce: Bytes,
    broker_key: Key,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    user: String,
    #[schema(value_type = String)]
    password: Zeroizing<String>,
    #[schema(value_type = Option<String>)]
    totp: Option<Zeroizing<String>>,
    #[serde(flatten)]
    proof: Proof,
}

/// That a node has its key.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Proof {
    key: Key,
    nonce: Bytes,
    /// 64 bytes, Ed25519's or on P-256 r ‖ s, of "rit/1 login" ‖ the broker's key ‖ the nonce.
    signature: Bytes,
    /// Of a key on P-256, of which `key` is the name: its uncompressed point, 65 bytes.
    point: Option<Bytes>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedIn {
    #[schema(value_type = String)]
    token: Zeroizing<String>,
    expires_s: u64,
    /// The broker's address, `rit://KEY@HOST:PORT`.
    broker: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct PageLogin {
    user: String,
    #[schema(value_type = String)]
    password: Zeroizing<String>,
    #[schema(value_type = Option<String>)]
    totp: Option<Zeroizing<String>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PageSession {
    user: String,
    is_admin: bool,
    /// To be sent as X-CSRF-Token with all but GET.
    csrf: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct DeviceLoginStart {
    key: Key,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceLogin {
    id: String,
    user_code: String,
    verification_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<String>,
    interval_s: u64,
    expires_s: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Pending {
    interval_s: u64,
}

/// A nonce to sign.
#[utoipa::path(post, path = "/challenge", tag = "login", security(()),
    responses((status = 200, body = Challenge)))]
pub(crate) async fn challenge(State(app): State<App>) -> Answer<Json<Challenge>> {
    let nonce = Bytes(app.challenges.make(wall_unix_s())?.to_vec());
    Ok(Json(Challenge { nonce, broker_key: Key(app.uri.key) }))
}

/// Log a node in. It is enrolled, and a client of the account from then on.
#[utoipa::path(post, path = "/login", tag = "login", security(()), request_body = Login,
    responses((status = 200, body = LoggedIn), (status = 401, body = Problem),
        (status = 409, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn login(
    State(app): State<App>,
    from: From,
    Json(login): Json<Login>,
) -> Answer<Json<LoggedIn>> {
    check_proof(&app, &login.proof)?;
    let Login { user, password, totp, proof } = login;
    let account = authenticate(&app, &from, &user, password, totp).await?;
    join(&app, &account, &proof).await
}

/// A new token for a node that is logged in.
#[utoipa::path(post, path = "/token", tag = "login", security(()), request_body = Proof,
    responses((status = 200, body = LoggedIn), (status = 401, body = Problem)))]
pub(crate) async fn token(
    State(app): State<App>,
    Json(proof): Json<Proof>,
) -> Answer<Json<LoggedIn>> {
    check_proof(&app, &proof)?;
    let account = app.db.account_of_client(&proof.key.0, wall_unix_s()).await?;
    let account = account.ok_or_else(Problem::bad_credentials)?;
    use_nonce(&app, &proof).await?;
    issue(&app, &account, &proof).await
}

/// The token is no longer good; the client stays a client.
#[utoipa::path(post, path = "/logout", tag = "login", responses((status = 204)))]
pub(crate) async fn logout(State(app): State<App>, caller: Caller) -> Answer<StatusCode> {
    app.db.remove_token(&caller.token.hash()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log the page in.
#[utoipa::path(post, path = "/session", tag = "page", security(()), request_body = PageLogin,
    responses((status = 200, body = PageSession), (status = 401, body = Problem),
        (status = 429, body = Problem)))]
pub(crate) async fn page_login(
    State(app): State<App>,
    from: From,
    headers: HeaderMap,
    Json(login): Json<PageLogin>,
) -> Answer<Response> {
    auth::check_site(&headers)?;
    let account = authenticate(&app, &from, &login.user, login.password, login.totp).await?;
    if let Some(old) = auth::cookie(&headers) {
        app.db.remove_token(&old.hash()).await?;
    }
    let (token, now) = (Token::make()?, wall_unix_s());
    app.db.add_token(&token.hash(), account.id, None, now, now + COOKIE_S).await?;
    let is_admin = account.role == AccountRole::Admin;
    let body = Json(PageSession { user: account.name, is_admin, csrf: token.csrf() });
    Ok(([(header::SET_COOKIE, token.cookie()?)], body).into_response())
}

/// Who the page is logged in as.
#[utoipa::path(get, path = "/session", tag = "page",
    responses((status = 200, body = PageSession), (status = 401, body = Problem)))]
pub(crate) async fn page_session(caller: Caller) -> Answer<Json<PageSession>> {
    let csrf = if caller.client.is_none() { caller.token.csrf() } else { String::new() };
    Ok(Json(PageSession { user: caller.name, is_admin: caller.is_admin, csrf }))
}

/// Log the page out.
#[utoipa::path(delete, path = "/session", tag = "page", responses((status = 204)))]
pub(crate) async fn page_logout(State(app): State<App>, caller: Caller) -> Answer<Response> {
    app.db.remove_token(&caller.token.hash()).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, auth::no_cookie())]).into_response())
}

/// Begin a login by the company's provider (RFC 8628).
#[utoipa::path(post, path = "/login/device", tag = "login", security(()),
    request_body = DeviceLoginStart,
    responses((status = 200, body = DeviceLogin), (status = 404, body = Problem),
        (status = 429, body = Problem), (status = 502, body = Problem)))]
pub(crate) async fn device_login(
    State(app): State<App>,
    from: From,
    Json(start): Json<DeviceLoginStart>,
) -> Answer<Json<DeviceLogin>> {
    let now = wall_unix_s();
    let begun = async {
        enter(&app, &address_subject(&from), OF_ADDRESS).await?;
        provider(&app)?.begin(&start.key.0, now).await
    };
    let begun = begun.await?;
    Ok(Json(DeviceLogin {
        id: begun.id,
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        verification_uri_complete: begun.verification_uri_complete,
        interval_s: begun.interval_s,
        expires_s: begun.expires_s,
    }))
}

/// Whether the login by the provider is done.
#[utoipa::path(post, path = "/login/device/{id}", tag = "login", security(()),
    params(("id" = String, Path)), request_body = Proof,
    responses((status = 200, body = LoggedIn), (status = 202, body = Pending),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 502, body = Problem)))]
pub(crate) async fn device_login_poll(
    State(app): State<App>,
    from: From,
    Path(id): Path<String>,
    Json(proof): Json<Proof>,
) -> Answer<Response> {
    check_proof(&app, &proof)?;
    let oidc = provider(&app)?;
    match oidc.poll(&id, &proof.key.0, wall_unix_s()).await? {
        Progress::Pending(interval_s) => {
            Ok((StatusCode::ACCEPTED, Json(Pending { interval_s })).into_response())
        }
        Progress::Done(claims) => {
            let account = account_of(&app, oidc, &claims).await?;
            let nobody = [0; 32];
            app.db.leave_try(&nobody, &address_subject(&from), wall_unix_s()).await?;
            Ok(join(&app, &account, &proof).await?.into_response())
        }
    }
}

fn provider(app: &App) -> Answer<&Oidc> {
    app.oidc.as_ref().ok_or_else(Problem::not_found)
}

/// The account of who logged in at the provider, made where there is none. It is never one that has
/// only the same name.
async fn account_of(app: &App, oidc: &Oidc, claims: &Claims) -> Answer<Account> {
    let subject = format!("{} {}", oidc.issuer(), claims.sub);
    if let Some(account) = app.db.account_of_subject(&subject).await? {
        let is_disabled = account.is_disabled;
        return Some(account).filter(|_| !is_disabled).ok_or_else(Problem::bad_credentials);
    }
    let wanted = [&claims.preferred_username, &claims.email].into_iter().flatten().next();
    let wanted = wanted.filter(|name| is_name(name)).cloned();
    let hash = default_provider().sha256(&[subject.as_bytes()]);
    let made = format!("oidc-{}", &data_encoding::HEXLOWER.encode(&hash)[..16]);
    for name in wanted.into_iter().chain([made]) {
        let (role, now) = (AccountRole::User, wall_unix_s());
        if app.db.add_account(&name, None, Some(&subject), role, now).await?.is_some() {
            break;
        }
    }
    app.db.account_of_subject(&subject).await?.ok_or_else(Problem::internal)
}

/// What may be an account's name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.chars().all(is_fine)
}

fn check_proof(app: &App, proof: &Proof) -> Answer<()> {
    let Proof { key, nonce, signature, point } = proof;
    let point = point.as_ref().map(|point| &point.0[..]);
    let is_right = app.challenges.check(&key.0, point, &nonce.0, &signature.0, wall_unix_s());
    if is_right { Ok(()) } else { Err(Problem::bad_credentials()) }
}

async fn use_nonce(app: &App, proof: &Proof) -> Answer<()> {
    let now = wall_unix_s();
    let is_first = app.db.use_nonce(&proof.nonce.0, now + 2 * VALID_S, now).await?;
    if is_first { Ok(()) } else { Err(Problem::bad_credentials()) }
}

/// Makes a node a client of the account, and logs it in.
async fn join(app: &App, account: &Account, proof: &Proof) -> Answer<Json<LoggedIn>> {
    use_nonce(app, proof).await?;
    if !app.db.add_client(&proof.key.0, account.id, wall_unix_s()).await? {
        return Err(Problem::conflict("other-account", "this key is another account's client"));
    }
    issue(app, account, proof).await
}

async fn issue(app: &App, account: &Account, proof: &Proof) -> Answer<Json<LoggedIn>> {
    let (token, now) = (Token::make()?, wall_unix_s());
    let expires = now + TOKEN_S;
    app.db.add_token(&token.hash(), account.id, Some(&proof.key.0), now, expires).await?;
    Ok(Json(LoggedIn { token: token.text(), expires_s: TOKEN_S, broker: app.uri.to_string() }))
}

/// Whom a right user, password and one-time code show.
pub(crate) async fn authenticate(
    app: &App,
    from: &From,
    user: &str,
    password: Zeroizing<String>,
    totp: Option<Zeroizing<String>>,
) -> Answer<Account> {
    let (address, subject) = (address_subject(from), account_subject(user));
    enter(app, &address, OF_ADDRESS).await?;
    enter(app, &subject, OF_ACCOUNT).await?;
    let account = app.db.account_named(user).await?.filter(|account| !account.is_disabled);
    let stored = account.as_ref().and_then(|account| account.password_hash.clone());
    let is_right = app.passwords.verify(password, stored).await?;
    let id = account.as_ref().map(|account| account.id);
    let mut known = account.filter(|_| is_right);
    if let Some(account) = &known {
        if !takes_totp(app, account, totp.as_deref().map(String::as_str)).await? {
            known = None;
        }
    }
    let kind = if known.is_some() { LOGIN } else { LOGIN_FAILED };
    let detail = serde_json::json!({ "address": from.0.to_string() }).to_string();
    let event = NewEvent { kind, device: None, account: id, detail };
    let now = wall_unix_s();
    app.db.add_event(event, now).await?;
    let account = known.ok_or_else(Problem::bad_credentials)?;
    app.db.leave_try(&subject, &address, now).await?;
    Ok(account)
}

/// Whether the one-time code is right, or none is asked for.
pub(crate) async fn takes_totp(app: &App, account: &Account, code: Option<&str>) -> Answer<bool> {
    let Some(secret) = account.totp_in_use() else { return Ok(true) };
    let Some(step) = totp::check(secret, code.unwrap_or_default(), wall_unix_s()) else {
        return Ok(false);
    };
    Ok(app.db.take_totp(account.id, step).await?)
}

async fn enter(
    app: &App,
    subject: &[u8; 32],
    allowance: crate::store::throttle::Allowance,
) -> Answer<()> {
    let entered = app.db.enter_try(subject, allowance, wall_unix_s()).await?;
    entered.map_err(Problem::too_many)
}

/// Counts a claim that may be wrong, so that nobody tires out devices of others.
pub(crate) async fn enter_claim(app: &App, caller: &Caller) -> Answer<()> {
    enter(app, &claim_subject(caller), OF_ADDRESS).await
}

/// A claim was right.
pub(crate) async fn leave_claim(app: &App, caller: &Caller) -> Answer<()> {
    Ok(app.db.leave_try(&claim_subject(caller), &[0; 32], wall_unix_s()).await?)
}

fn claim_subject(caller: &Caller) -> [u8; 32] {
    default_provider().sha256(&[b"claims of ", &caller.account.to_be_bytes()])
}

pub(crate) fn account_subject(user: &str) -> [u8; 32] {
    default_provider().sha256(&[b"account ", user.as_bytes()])
}

pub(crate) fn address_subject(from: &From) -> [u8; 32] {
    default_provider().sha256(&[b"address ", &network_of(from.0)])
}
