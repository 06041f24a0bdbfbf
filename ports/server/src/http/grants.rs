//! Grants: chains that owners and sharers signed, kept for those whom they are for.
//!
//! Owns their check. A chain is stored only if its device would take it: signed from the owner on,
//! of the present ownership, nowhere revoked. What is stored gives no right; it only finds its way.

use axum::extract::State;
use axum::http::StatusCode;
use rit_core::crypto::default_provider;
use rit_core::trust::{TrustState, WallTime, authorize, decode_chain};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::body::{Json, Path, Query};
use super::problem::{Answer, Problem};
use super::text::{Bytes, Key};
use crate::store::NewEvent;
use crate::store::grants::{GrantRow, GrantSide, NewGrant};
use crate::wall_unix_s;

const NOTE_LEN_MAX: usize = 200;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewChain {
    chain: Bytes,
    /// For people.
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Stored {
    id: Bytes,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    #[param(value_type = Option<String>)]
    device: Option<Key>,
    /// `given` or `received`; both, if it is not said.
    role: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Grants {
    grants: Vec<Grant>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Grant {
    /// Of the chain's last grant.
    id: Bytes,
    device: Key,
    issuer: Key,
    subject: Key,
    chain: Bytes,
    note: Option<String>,
    /// A sum of 1: use, 2: share, 4: manage.
    rights: u8,
    depth: u8,
    must_be_fresh: bool,
    /// Names; none said: all.
    services: Option<Vec<String>>,
    not_before_s: Option<u64>,
    expires_s: Option<u64>,
    created_s: u64,
}

impl Grant {
    /// None: what is stored is damaged.
    fn of(row: GrantRow) -> Option<Grant> {
        let grants = decode_chain(&row.chain).ok()?;
        let terms = &grants.last()?.terms;
        let services =
            (!terms.services.is_all()).then(|| terms.services.names().map(str::to_owned).collect());
        let (rights, depth) = (terms.rights.bits(), terms.depth);
        let (must_be_fresh, not_before_s) = (terms.must_be_fresh, terms.not_before_s);
        let expires_s = terms.expires_s;
        Some(Grant {
            id: Bytes(row.id.to_vec()),
            device: Key(row.device),
            issuer: Key(row.issuer),
            subject: Key(row.subject),
            chain: Bytes(row.chain),
            note: Some(row.note).filter(|note| !note.is_empty()),
            rights,
            depth,
            must_be_fresh,
            services,
            not_before_s,
            expires_s,
            created_s: row.created_unix_s,
        })
    }
}

pub(super) fn bad_chain() -> Problem {
    Problem::bad("chain", "the device would not take this chain")
}

/// Store a chain for whom it is for. The caller must have signed its last grant, or own the device.
#[utoipa::path(post, path = "/grants", tag = "grants", request_body = NewChain,
    responses((status = 201, body = Stored), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewChain>,
) -> Answer<(StatusCode, Json<Stored>)> {
    let note = new.note.unwrap_or_default();
    if note.len() > NOTE_LEN_MAX || note.chars().any(char::is_control) {
        return Err(Problem::bad("note", "the note is too long"));
    }
    let provider = default_provider();
    let grants = decode_chain(&new.chain.0).map_err(|_| bad_chain())?;
    let last = grants.last().ok_or_else(bad_chain)?;
    let (terms, issuer) = (&last.terms, last.issuer(provider));
    let device = Key(terms.device);
    let trust = app.db.trust(&device.0).await?.ok_or_else(bad_chain)?;
    let state = trust.state(&device.0).ok_or_else(bad_chain)?;
    let now = wall_unix_s();
    let at = terms.not_before_s.unwrap_or(0).max(now);
    let time = WallTime { unix_s: Some(at), fresh: Some(trust.list_number) };
    authorize(provider, &state, &device.0, &terms.subject, &new.chain.0, time)
        .map_err(|_| bad_chain())?;
    let clients = app.db.clients(caller.account).await?;
    if !clients.iter().any(|client| client.key == issuer || Some(client.key) == trust.owner) {
        return Err(Problem::forbidden("not-issuer", "you did not sign this grant"));
    }
    let grant = NewGrant {
        id: &terms.id.0,
        device: &device.0,
        epoch: trust.epoch,
        issuer: &issuer,
        subject: &terms.subject,
        chain: &new.chain.0,
        note: &note,
        begins_unix_s: terms.not_before_s,
        expires_unix_s: terms.expires_s,
    };
    if !app.db.add_grant(&grant, now).await? {
        return Err(Problem::limit("another grant has this ID, or the device has too many grants"));
    }
    let event = NewEvent {
        kind: "grant.stored",
        device: Some(device.0),
        account: Some(caller.account),
        detail: serde_json::json!({ "subject": Key(terms.subject) }).to_string(),
    };
    app.db.add_event(event, now).await?;
    Ok((StatusCode::CREATED, Json(Stored { id: Bytes(terms.id.0.to_vec()) })))
}

/// Grants that the caller gave or received.
#[utoipa::path(get, path = "/grants", tag = "grants", params(Which),
    responses((status = 200, body = Grants)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Answer<Json<Grants>> {
    let side = match which.role.as_deref() {
        None => GrantSide::Either,
        Some("given") => GrantSide::Given,
        Some("received") => GrantSide::Received,
        Some(_) => return Err(Problem::bad("query", "role is given or received")),
    };
    let device = which.device.map(|key| key.0);
    let rows = app.db.grants(caller.viewer(), device.as_ref(), side, wall_unix_s()).await?;
    Ok(Json(Grants { grants: rows.into_iter().filter_map(Grant::of).collect() }))
}

/// Hand a grant on no more. That takes nothing back: a revocation list does.
#[utoipa::path(delete, path = "/grants/{id}", tag = "grants", params(("id" = Bytes, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Bytes>,
) -> Answer<StatusCode> {
    let device = app.db.remove_grant(caller.viewer(), &id.0).await?;
    device.ok_or_else(Problem::not_found)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets those grants of a device that its new revocation list ends.
pub(crate) async fn drop_revoked(app: &App, key: &Key, state: &TrustState) -> Answer<()> {
    let provider = default_provider();
    let mut gone = Vec::new();
    for row in app.db.grants_of(&key.0).await? {
        let Ok(grants) = decode_chain(&row.chain) else { continue };
        let Some(last) = grants.last() else { continue };
        let time = WallTime {
            unix_s: Some(last.terms.not_before_s.unwrap_or(0).max(wall_unix_s())),
            fresh: Some(state.revoked().number),
        };
        let subject = last.terms.subject;
        if authorize(provider, state, &key.0, &subject, &row.chain, time).is_err() {
            gone.push(row.id);
        }
    }
    Ok(app.db.drop_grants(&gone).await?)
}
