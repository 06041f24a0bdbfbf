//! Provisioning by admins: one-time codes, and profiles with a product key.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE32_NOPAD;
use rit_core::broker::code_hash;
use rit_core::crypto::default_provider;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::auth::Admin;
use super::body::{Json, Path};
use super::password::random;
use super::problem::{Answer, Problem};
use crate::code;
use crate::store::NewProfile;
use crate::wall_unix_s;

const CODES_MAX: u32 = 1000;
const VALID_MAX_S: u64 = 366 * 24 * 3600;
const PROFILES_MAX: usize = 1000;
const LIST_MAX: usize = 32;
const TEXT_LEN_MAX: usize = 64;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewCodes {
    count: Option<u32>,
    valid_s: Option<u64>,
    /// The profile that devices enrolled by these codes belong to.
    profile: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Codes {
    /// Shown once.
    #[schema(value_type = Vec<String>)]
    codes: Vec<Zeroizing<String>>,
    valid_s: u64,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct ProfileTerms {
    name: String,
    /// How many devices may enrol themselves.
    limit: u32,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    /// What its devices are called: `{n}` is which of them, `{key}` the beginning of its key.
    name_pattern: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MadeProfile {
    id: i64,
    /// What devices enrol with; shown once.
    #[schema(value_type = String)]
    product_key: Zeroizing<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Profiles {
    profiles: Vec<Profile>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Profile {
    id: i64,
    name: String,
    limit: u64,
    enrolled: u64,
    tags: Vec<String>,
    services: Vec<String>,
    name_pattern: Option<String>,
    created_s: u64,
}

/// Make one-time codes.
#[utoipa::path(post, path = "/codes", tag = "provisioning", request_body = NewCodes,
    responses((status = 200, body = Codes), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn codes(
    State(app): State<App>,
    _admin: Admin,
    Json(new): Json<NewCodes>,
) -> Answer<Json<Codes>> {
    let (count, valid_s) = (new.count.unwrap_or(1), new.valid_s.unwrap_or(3600));
    if !(1..=CODES_MAX).contains(&count) || !(1..=VALID_MAX_S).contains(&valid_s) {
        return Err(Problem::bad("codes", "1 to 1000 codes, for 1 s to a year"));
    }
    if let Some(id) = new.profile {
        let all = app.db.profiles().await?;
        all.iter().find(|profile| profile.id == id).ok_or_else(Problem::not_found)?;
    }
    let valid = Duration::from_secs(valid_s);
    let codes = code::make(&app.db, valid, count, new.profile).await.map_err(|error| {
        tracing::error!(%error, "no codes were made");
        Problem::internal()
    })?;
    Ok(Json(Codes { codes, valid_s }))
}

/// Make a profile.
#[utoipa::path(post, path = "/profiles", tag = "provisioning", request_body = ProfileTerms,
    responses((status = 201, body = MadeProfile), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn add_profile(
    State(app): State<App>,
    _admin: Admin,
    Json(terms): Json<ProfileTerms>,
) -> Answer<(StatusCode, Json<MadeProfile>)> {
    let pattern = terms.name_pattern.unwrap_or_default();
    let is_text = |text: &str| text.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control);
    let is_list = |all: &[String]| {
        all.len() <= LIST_MAX && all.iter().all(|one| is_text(one) && !one.is_empty())
    };
    let is_fine = is_text(&terms.name)
        && !terms.name.is_empty()
        && is_text(&pattern)
        && is_list(&terms.tags)
        && is_list(&terms.services)
        && terms.limit > 0;
    if !is_fine {
        return Err(Problem::bad(
            "profile",
            "a name, tag or service is too long, or the limit is 0",
        ));
    }
    if app.db.profiles().await?.len() >= PROFILES_MAX {
        return Err(Problem::limit("there are too many profiles"));
    }
    let product_key = product_key()?;
    let new = NewProfile {
        name: &terms.name,
        key_hash: &code_hash(default_provider(), &product_key),
        device_limit: terms.limit,
        tags: &serde_json::Value::from(terms.tags).to_string(),
        services: &serde_json::Value::from(terms.services).to_string(),
        name_pattern: &pattern,
    };
    let id = app.db.add_profile(&new, wall_unix_s()).await?;
    let id = id.ok_or_else(|| Problem::conflict("name", "there is a profile of this name"))?;
    Ok((StatusCode::CREATED, Json(MadeProfile { id, product_key })))
}

/// 160 random bits, as `rp-` and base32 in lower case.
fn product_key() -> Answer<Zeroizing<String>> {
    let bits = Zeroizing::new(random::<20>()?);
    let text = Zeroizing::new(BASE32_NOPAD.encode(&*bits));
    Ok(Zeroizing::new(format!("rp-{}", text.to_ascii_lowercase())))
}

/// The profiles.
#[utoipa::path(get, path = "/profiles", tag = "provisioning",
    responses((status = 200, body = Profiles), (status = 403, body = Problem)))]
pub(crate) async fn profiles(State(app): State<App>, _admin: Admin) -> Answer<Json<Profiles>> {
    let list = |json: &str| serde_json::from_str(json).unwrap_or_default();
    let profile = |row: crate::store::Profile| Profile {
        id: row.id,
        name: row.name,
        limit: row.device_limit,
        enrolled: row.used,
        tags: list(&row.tags),
        services: list(&row.services),
        name_pattern: Some(row.name_pattern).filter(|pattern| !pattern.is_empty()),
        created_s: row.created_unix_s,
    };
    let profiles = app.db.profiles().await?.into_iter().map(profile).collect();
    Ok(Json(Profiles { profiles }))
}

/// Remove a profile: its product key enrols no more. Its devices stay.
#[utoipa::path(delete, path = "/profiles/{id}", tag = "provisioning", params(("id" = i64, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn remove_profile(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<i64>,
) -> Answer<StatusCode> {
    if app.db.remove_profile(id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}
