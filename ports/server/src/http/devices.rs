//! Devices: the list, labels, messages to them, revocations, transfer, and those to be claimed.
//!
//! Owns who may do what with a device. Invariants: nobody sees or reaches a device that is neither
//! of a client of his nor granted to one; what an owner signs is checked before it is stored.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use rit_core::crypto::default_provider;
use rit_core::trust::{CloakStatement, RevocationError, RevocationList, TrustState};
use rit_core::wire::message::{
    NOTE_CLAIM, NOTE_CLAIM_ASK, NOTE_CLAIMED, NOTE_CLOAK, NOTE_DONE, NOTE_LEN_MAX, NOTE_REVOKED,
    NOTE_TRANSFER,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::{Caller, From};
use super::body::{Json, Path, Query};
use super::grants;
use super::login::{enter_claim, leave_claim};
use super::problem::{Answer, Problem};
use super::text::{Bytes, Key};
use crate::control::NoteError;
use crate::store::{DeviceRow, NewEvent, Trust};
use crate::wall_unix_s;

const PAGE_MAX: u32 = 1000;
const NAME_LEN_MAX: usize = 100;
const TAGS_MAX: usize = 32;
const TAG_LEN_MAX: usize = 64;
/// How long an unclaimed device is listed after it was seen.
const CLAIMABLE_S: u64 = 600;
const CLAIMABLE_MAX: u32 = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageOf {
    /// The key behind which to begin.
    #[param(value_type = Option<String>)]
    after: Option<Key>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Devices {
    devices: Vec<Device>,
    /// Where the next page begins, if there is one.
    next: Option<Key>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Device {
    key: Key,
    name: Option<String>,
    tags: Vec<String>,
    is_online: bool,
    /// Whether its owner is a client of the account.
    is_owned: bool,
    owner: Option<Key>,
    epoch: u64,
    list_number: u64,
    firmware: Option<String>,
    services: Vec<Service>,
    address: Option<String>,
    /// ISO 3166-1, two letters.
    country: Option<String>,
    city: Option<String>,
    seen_s: Option<u64>,
    enrolled_s: u64,
    last_error: Option<String>,
    /// How its last session that was reported went.
    path: Option<String>,
    rtt_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Service {
    name: String,
    /// `tcp`, `udp`, or a later version's number.
    kind: String,
    port: u16,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Labels {
    name: Option<String>,
    tags: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct Note {
    kind: u8,
    body: Bytes,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Revocations {
    /// A statement of kind rit-revoked, if there is one.
    list: Option<Bytes>,
    number: u64,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewRevocations {
    list: Bytes,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Revoked {
    number: u64,
    /// Whether the device has it; it gets it otherwise when it comes.
    is_delivered: bool,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Transfer {
    statement: Bytes,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AllClaimable {
    claimable: Vec<Claimable>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Claimable {
    key: Key,
    firmware: Option<String>,
    services: Vec<Service>,
    seen_s: Option<u64>,
}

fn full(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn services(json: &str) -> Vec<Service> {
    let stored: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let service = |value: &serde_json::Value| {
        let kind = match value.get("kind")? {
            serde_json::Value::String(kind) => kind.clone(),
            other => match other.as_u64()? {
                0 => "tcp".to_owned(),
                1 => "udp".to_owned(),
                number => number.to_string(),
            },
        };
        let port = u16::try_from(value.get("port")?.as_u64()?).ok()?;
        Some(Service { name: value.get("name")?.as_str()?.to_owned(), kind, port })
    };
    stored.iter().filter_map(service).collect()
}

impl Device {
    pub(crate) fn of(app: &App, row: DeviceRow) -> Device {
        let at: Option<SocketAddr> = row.address.parse().ok();
        let place = app.geo.as_ref().zip(at).map(|(geo, at)| geo.place(at.ip()));
        let place = place.unwrap_or_default();
        Device {
            key: Key(row.key),
            name: full(row.name),
            tags: serde_json::from_str(&row.tags).unwrap_or_default(),
            is_online: row.is_online,
            is_owned: row.is_owned,
            owner: row.owner.map(Key),
            epoch: row.epoch,
            list_number: row.list_number,
            firmware: full(row.firmware),
            services: services(&row.services),
            address: full(row.address),
            country: place.country,
            city: place.city,
            seen_s: row.seen_unix_s,
            enrolled_s: row.enrolled_unix_s,
            last_error: full(row.last_error),
            path: row.path.and_then(full),
            rtt_us: row.rtt_us,
        }
    }
}

/// The device, if the caller may see it.
async fn seen(app: &App, caller: &Caller, key: &Key) -> Answer<DeviceRow> {
    let row = app.db.device(caller.viewer(), &key.0, wall_unix_s()).await?;
    row.ok_or_else(Problem::not_found)
}

/// The device, if the caller's it is, or the caller an admin.
async fn own(app: &App, caller: &Caller, key: &Key) -> Answer<DeviceRow> {
    let row = seen(app, caller, key).await?;
    if row.is_owned || caller.is_admin {
        Ok(row)
    } else {
        Err(Problem::forbidden("not-owner", "only its owner may do that"))
    }
}

/// Devices that the caller may see, in the order of their keys.
#[utoipa::path(get, path = "/devices", tag = "devices", params(PageOf),
    responses((status = 200, body = Devices)))]
pub(crate) async fn devices(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageOf>,
) -> Answer<Json<Devices>> {
    let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let after = page.after.map(|key| key.0);
    let now = wall_unix_s();
    let mut rows = app.db.devices(caller.viewer(), after.as_ref(), limit + 1, now).await?;
    let is_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| is_more).map(|row| Key(row.key));
    let devices = rows.into_iter().map(|row| Device::of(&app, row)).collect();
    Ok(Json(Devices { devices, next }))
}

/// One device.
#[utoipa::path(get, path = "/devices/{key}", tag = "devices", params(("key" = Key, Path)),
    responses((status = 200, body = Device), (status = 404, body = Problem)))]
pub(crate) async fn device(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Answer<Json<Device>> {
    Ok(Json(Device::of(&app, seen(&app, &caller, &key).await?)))
}

/// Set a device's name and tags.
#[utoipa::path(patch, path = "/devices/{key}", tag = "devices", params(("key" = Key, Path)),
    request_body = Labels, responses((status = 200, body = Device), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn label(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(labels): Json<Labels>,
) -> Answer<Json<Device>> {
    own(&app, &caller, &key).await?;
    let is_text = |text: &str, max: usize| text.len() <= max && !text.chars().any(char::is_control);
    let is_fine = labels.name.as_deref().is_none_or(|name| is_text(name, NAME_LEN_MAX))
        && labels.tags.as_deref().is_none_or(|tags| {
            tags.len() <= TAGS_MAX
                && tags.iter().all(|tag| !tag.is_empty() && is_text(tag, TAG_LEN_MAX))
        });
    if !is_fine {
        return Err(Problem::bad("labels", "a name or a tag is too long, or there are too many"));
    }
    let tags = labels.tags.map(|tags| serde_json::Value::from(tags).to_string());
    app.db.label_device(&key.0, labels.name.as_deref(), tags.as_deref()).await?;
    Ok(Json(Device::of(&app, seen(&app, &caller, &key).await?)))
}

/// Forget a device: it must be enrolled again, and its grants are gone.
#[utoipa::path(delete, path = "/devices/{key}", tag = "devices", params(("key" = Key, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn forget(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Answer<StatusCode> {
    own(&app, &caller, &key).await?;
    app.db.forget_node(&key.0).await?;
    // Its link stands only as long as nobody looks.
    app.control.close(&key.0).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Pass a note to a device, and its answer back: to ask for a claim (1), to claim (3), to bring a
/// revocation list (5), a transfer (6), or that it may be found for a while (8).
#[utoipa::path(post, path = "/devices/{key}/notes", tag = "devices", params(("key" = Key, Path)),
    request_body = Note, responses((status = 200, body = Note), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 504, body = Problem)))]
pub(crate) async fn note(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(note): Json<Note>,
) -> Answer<Json<Note>> {
    if note.body.0.len() > NOTE_LEN_MAX {
        return Err(Problem::too_large());
    }
    match note.kind {
        // Whoever knows the secret may claim; the device sees to that. Of devices with an owner,
        // strangers learn nothing.
        NOTE_CLAIM_ASK | NOTE_CLAIM => {
            let trust = app.db.trust(&key.0).await?;
            let is_unclaimed = trust.is_none_or(|trust| trust.owner.is_none());
            if !is_unclaimed {
                seen(&app, &caller, &key).await?;
            }
            let node = app.db.node(&key.0).await?;
            node.ok_or_else(Problem::not_found)?;
            if note.kind == NOTE_CLAIM {
                enter_claim(&app, &caller).await?;
            }
        }
        NOTE_REVOKED | NOTE_TRANSFER | NOTE_CLOAK => {
            seen(&app, &caller, &key).await?;
        }
        _ => return Err(Problem::bad("note", "notes of this kind are not sent by users")),
    }
    let for_s = CloakStatement::decode(&note.body.0).ok().map(|said| said.for_s);
    let answer = pass(&app, &key, note.kind, note.body.0).await?;
    let is_done = answer.kind == NOTE_DONE && answer.body.0 == [0];
    if let Some(for_s) = for_s.filter(|_| note.kind == NOTE_CLOAK && is_done) {
        let event = NewEvent {
            kind: "device.cloak",
            device: Some(key.0),
            account: Some(caller.account),
            detail: serde_json::json!({ "for_s": for_s }).to_string(),
        };
        app.db.add_event(event, wall_unix_s()).await?;
    }
    if answer.kind == NOTE_CLAIMED {
        leave_claim(&app, &caller).await?;
    }
    Ok(Json(answer))
}

async fn pass(app: &App, key: &Key, kind: u8, body: Vec<u8>) -> Answer<Note> {
    match app.control.note(&key.0, kind, body).await {
        Ok((kind, body)) => Ok(Note { kind, body: Bytes(body) }),
        Err(NoteError::Offline) => Err(Problem::offline()),
        Err(NoteError::Silent) => Err(Problem::silent()),
        Err(NoteError::Busy) => Err(Problem::busy()),
    }
}

/// The newest revocation list of a device.
#[utoipa::path(get, path = "/devices/{key}/revocations", tag = "devices",
    params(("key" = Key, Path)),
    responses((status = 200, body = Revocations), (status = 404, body = Problem)))]
pub(crate) async fn revocations(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
) -> Answer<Json<Revocations>> {
    seen(&app, &caller, &key).await?;
    let trust = app.db.trust(&key.0).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(Revocations { list: trust.list.map(Bytes), number: trust.list_number }))
}

/// Store a device's new revocation list, which its owner signed, and bring it to the device.
#[utoipa::path(put, path = "/devices/{key}/revocations", tag = "devices",
    params(("key" = Key, Path)), request_body = NewRevocations,
    responses((status = 200, body = Revoked), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(new): Json<NewRevocations>,
) -> Answer<Json<Revoked>> {
    seen(&app, &caller, &key).await?;
    let trust = app.db.trust(&key.0).await?.ok_or_else(Problem::not_found)?;
    let (state, number) = check_list(&key, &trust, &new.list.0)?;
    let owner = trust.owner.ok_or_else(Problem::not_found)?;
    if !app.db.set_list(&key.0, &owner, trust.epoch, number, &new.list.0).await? {
        return Err(not_newer());
    }
    grants::drop_revoked(&app, &key, &state).await?;
    let event = NewEvent {
        kind: "grant.revoked",
        device: Some(key.0),
        account: Some(caller.account),
        detail: serde_json::json!({ "number": number }).to_string(),
    };
    app.db.add_event(event, wall_unix_s()).await?;
    let is_delivered = pass(&app, &key, NOTE_REVOKED, new.list.0).await.is_ok();
    Ok(Json(Revoked { number, is_delivered }))
}

/// What holds with this list, and its number.
fn check_list(key: &Key, trust: &Trust, list: &[u8]) -> Answer<(TrustState, u64)> {
    let provider = default_provider();
    let owner = trust.owner.ok_or_else(Problem::not_found)?;
    let number = RevocationList::decode(list).map_err(|_| bad_list())?.revocations.number;
    let mut state = TrustState::owned(owner, trust.epoch);
    match state.revoke(provider, &key.0, list) {
        Ok(true) if number > trust.list_number => Ok((state, number)),
        Ok(_) | Err(RevocationError::Older) => Err(not_newer()),
        Err(RevocationError::NotOwner) => {
            Err(Problem::forbidden("not-owner", "the list is not signed by the device's owner"))
        }
        Err(_) => Err(bad_list()),
    }
}

fn bad_list() -> Problem {
    Problem::bad("list", "that is no revocation list of this device and its present owner")
}

fn not_newer() -> Problem {
    Problem::conflict("not-newer", "there is a list of the same or a higher number")
}

/// Bring a transfer to another owner, which the owner signed, to the device.
#[utoipa::path(post, path = "/devices/{key}/transfer", tag = "devices",
    params(("key" = Key, Path)), request_body = Transfer,
    responses((status = 200, body = Note), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 504, body = Problem)))]
pub(crate) async fn transfer(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<Key>,
    Json(transfer): Json<Transfer>,
) -> Answer<Json<Note>> {
    seen(&app, &caller, &key).await?;
    let trust = app.db.trust(&key.0).await?.ok_or_else(Problem::not_found)?;
    let owner = trust.owner.ok_or_else(Problem::not_found)?;
    let mut state = TrustState::owned(owner, trust.epoch);
    let statement = transfer.statement.0;
    let checked = state.transfer(default_provider(), &key.0, &statement);
    checked.map_err(|_| {
        Problem::bad("statement", "that is no transfer of this device by its present owner")
    })?;
    pass(&app, &key, NOTE_TRANSFER, statement).await.map(Json)
}

/// Devices without owner that were seen behind the caller's own address in the last minutes. To
/// claim one takes the code that it shows.
#[utoipa::path(get, path = "/claimable", tag = "devices",
    responses((status = 200, body = AllClaimable)))]
pub(crate) async fn claimable(
    State(app): State<App>,
    _caller: Caller,
    from: From,
) -> Answer<Json<AllClaimable>> {
    let since = wall_unix_s().saturating_sub(CLAIMABLE_S);
    let rows = app.db.unclaimed_at(from.0, since, CLAIMABLE_MAX).await?;
    let claimable = rows.into_iter().map(|row| Claimable {
        key: Key(row.key),
        firmware: full(row.firmware),
        services: services(&row.services),
        seen_s: row.seen_unix_s,
    });
    Ok(Json(AllClaimable { claimable: claimable.collect() }))
}
