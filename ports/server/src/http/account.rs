//! The caller's own account: password, one-time codes, clients.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::auth::{Caller, From};
use super::body::{Json, Path};
use super::login::authenticate;
use super::password::random;
use super::problem::{Answer, Problem};
use super::text::Key;
use super::totp::{self, SECRET_LEN};
use crate::store::AccountRole;
use crate::wall_unix_s;

#[derive(Serialize, ToSchema)]
pub(crate) struct AccountInfo {
    user: String,
    is_admin: bool,
    has_password: bool,
    has_totp: bool,
    created_s: u64,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPassword {
    #[schema(value_type = String)]
    old: Zeroizing<String>,
    #[schema(value_type = String)]
    new: Zeroizing<String>,
    #[schema(value_type = Option<String>)]
    totp: Option<Zeroizing<String>>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct TotpBegin {
    #[schema(value_type = String)]
    password: Zeroizing<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TotpSecret {
    /// Base32, for an authenticator.
    #[schema(value_type = String)]
    secret: Zeroizing<String>,
    /// The same as `otpauth:`, for a QR code.
    #[schema(value_type = String)]
    uri: Zeroizing<String>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct TotpCode {
    #[schema(value_type = String)]
    code: Zeroizing<String>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct TotpRemove {
    #[schema(value_type = String)]
    password: Zeroizing<String>,
    #[schema(value_type = String)]
    code: Zeroizing<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Clients {
    clients: Vec<ClientInfo>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ClientInfo {
    key: Key,
    added_s: u64,
    seen_s: u64,
}

/// The account.
#[utoipa::path(get, path = "/account", tag = "account",
    responses((status = 200, body = AccountInfo)))]
pub(crate) async fn account(State(app): State<App>, caller: Caller) -> Answer<Json<AccountInfo>> {
    let account = app.db.account(caller.account).await?.ok_or_else(Problem::unauthorized)?;
    Ok(Json(AccountInfo {
        has_totp: account.totp_in_use().is_some(),
        is_admin: account.role == AccountRole::Admin,
        has_password: account.password_hash.is_some(),
        created_s: account.created_unix_s,
        user: account.name,
    }))
}

/// Set another password. All that is logged in, this caller too, must log in again.
#[utoipa::path(post, path = "/account/password", tag = "account", request_body = NewPassword,
    responses((status = 204), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn set_password(
    State(app): State<App>,
    caller: Caller,
    from: From,
    Json(body): Json<NewPassword>,
) -> Answer<StatusCode> {
    if !super::password::is_acceptable(&body.new) {
        return Err(Problem::bad("password-length", "a password has 10 to 256 bytes"));
    }
    authenticate(&app, &from, &caller.name, body.old, body.totp).await?;
    let hash = app.passwords.hash(body.new).await?;
    app.db.set_password(caller.account, &hash).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get a secret for one-time codes. They are asked for once one was confirmed.
#[utoipa::path(post, path = "/account/totp", tag = "account", request_body = TotpBegin,
    responses((status = 200, body = TotpSecret), (status = 401, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn begin_totp(
    State(app): State<App>,
    caller: Caller,
    from: From,
    Json(body): Json<TotpBegin>,
) -> Answer<Json<TotpSecret>> {
    let account = app.db.account(caller.account).await?.ok_or_else(Problem::unauthorized)?;
    if account.totp_in_use().is_some() {
        return Err(Problem::conflict("totp", "one-time codes are in use already"));
    }
    authenticate(&app, &from, &caller.name, body.password, None).await?;
    let secret = Zeroizing::new(random::<SECRET_LEN>()?);
    if !app.db.begin_totp(caller.account, &*secret).await? {
        return Err(Problem::conflict("totp", "one-time codes are in use already"));
    }
    let uri = totp::uri(&secret, &caller.name, &app.uri.host);
    Ok(Json(TotpSecret { secret: totp::secret_text(&secret), uri }))
}

/// Show that the authenticator has the secret: from now on its codes are asked for.
#[utoipa::path(post, path = "/account/totp/confirm", tag = "account", request_body = TotpCode,
    responses((status = 204), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn confirm_totp(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<TotpCode>,
) -> Answer<StatusCode> {
    let account = app.db.account(caller.account).await?.ok_or_else(Problem::unauthorized)?;
    let secret = account.totp.filter(|_| !account.totp_is_on);
    let none = || Problem::conflict("totp", "no one-time codes were begun");
    let step = totp::check(&secret.ok_or_else(none)?, &body.code, wall_unix_s());
    let step = step.ok_or_else(|| Problem::bad("totp", "the one-time code is wrong"))?;
    if app.db.confirm_totp(caller.account, step).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(none())
    }
}

/// Use no one-time codes any more.
#[utoipa::path(post, path = "/account/totp/remove", tag = "account", request_body = TotpRemove,
    responses((status = 204), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn remove_totp(
    State(app): State<App>,
    caller: Caller,
    from: From,
    Json(body): Json<TotpRemove>,
) -> Answer<StatusCode> {
    authenticate(&app, &from, &caller.name, body.password, Some(body.code)).await?;
    app.db.remove_totp(caller.account).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The nodes that are logged in.
#[utoipa::path(get, path = "/account/clients", tag = "account",
    responses((status = 200, body = Clients)))]
pub(crate) async fn clients(State(app): State<App>, caller: Caller) -> Answer<Json<Clients>> {
    let clients = app.db.clients(caller.account).await?.into_iter().map(|client| ClientInfo {
        key: Key(client.key),
        added_s: client.created_unix_s,
        seen_s: client.seen_unix_s,
    });
    Ok(Json(Clients { clients: clients.collect() }))
}

/// Log a node out for good: it is no client any more, and its tokens are worth nothing.
#[utoipa::path(delete, path = "/account/clients/{key}", tag = "account",
    params(("key" = Key, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn remove_client(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Answer<StatusCode> {
    if app.db.remove_client(&key.0, caller.account).await? {
        // Its link stands only as long as nobody looks.
        app.control.close(&key.0).await;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}
