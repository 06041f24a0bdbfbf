//! The API's routes, and the OpenAPI document that is made of them.
//!
//! Owns the list. A route is in the document because it is a route, and the other way round: both
//! are made of the same handlers. Beside them there are the page's files alone.

use axum::Router;
use axum::extract::State;
use serde::Serialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::{
    App, account, devices, events, face, grants, login, metrics, problem::Answer, provision,
    webhooks,
};

/// Where the API begins.
const PREFIX: &str = "/api/v1";

#[derive(OpenApi)]
#[openapi(
    info(title = "rit-server", description = "Accounts, devices, sharing and events of a broker."),
    security(("token" = []), ("cookie" = [])),
    modifiers(&Schemes)
)]
struct Api;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer =
            || SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        components.add_security_scheme("token", bearer());
        components.add_security_scheme("metrics", bearer());
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-rit")));
        components.add_security_scheme("cookie", cookie);
    }
}

/// Routes and document.
pub(super) fn split() -> (Router<App>, Document) {
    let api = OpenApiRouter::<App>::new()
        .routes(routes!(login::challenge))
        .routes(routes!(login::login))
        .routes(routes!(login::token))
        .routes(routes!(login::logout))
        .routes(routes!(login::device_login))
        .routes(routes!(login::device_login_poll))
        .routes(routes!(login::page_login, login::page_session, login::page_logout))
        .routes(routes!(account::account))
        .routes(routes!(account::set_password))
        .routes(routes!(account::begin_totp))
        .routes(routes!(account::confirm_totp))
        .routes(routes!(account::remove_totp))
        .routes(routes!(account::clients))
        .routes(routes!(account::remove_client))
        .routes(routes!(devices::devices))
        .routes(routes!(devices::device, devices::label, devices::forget))
        .routes(routes!(devices::note))
        .routes(routes!(devices::revocations, devices::revoke))
        .routes(routes!(devices::transfer))
        .routes(routes!(devices::claimable))
        .routes(routes!(grants::add, grants::list))
        .routes(routes!(grants::remove))
        .routes(routes!(provision::codes))
        .routes(routes!(provision::add_profile, provision::profiles))
        .routes(routes!(provision::remove_profile))
        .routes(routes!(events::sessions))
        .routes(routes!(events::events))
        .routes(routes!(events::stream))
        .routes(routes!(webhooks::add, webhooks::list))
        .routes(routes!(webhooks::remove))
        .routes(routes!(face::about))
        .routes(routes!(face::allow, face::list, face::forbid))
        .routes(routes!(face::service))
        .routes(routes!(face::enter))
        .routes(routes!(document));
    OpenApiRouter::with_openapi(Api::openapi())
        .nest(PREFIX, api)
        .routes(routes!(health))
        .routes(routes!(metrics::metrics))
        .split_for_parts()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "about", security(()),
    responses((status = 200, body = Object)))]
async fn document() -> Json<Document> {
    let (_, document) = split();
    Json(document)
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`; a server that is not does not answer so.
    status: &'static str,
}

/// Whether the server and its database answer.
#[utoipa::path(get, path = "/health", tag = "about", security(()),
    responses((status = 200, body = Health), (status = 500, body = super::problem::Problem)))]
async fn health(State(app): State<App>) -> Answer<Json<Health>> {
    app.db.last_event().await?;
    Ok(Json(Health { status: "ok" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: [&str; 10] = [
        include_str!("account.rs"),
        include_str!("devices.rs"),
        include_str!("events.rs"),
        include_str!("grants.rs"),
        include_str!("login.rs"),
        include_str!("metrics.rs"),
        include_str!("openapi.rs"),
        include_str!("page.rs"),
        include_str!("provision.rs"),
        include_str!("webhooks.rs"),
    ];

    #[test]
    fn every_handler_that_is_described_is_a_route() {
        let (_, document) = split();
        let document = serde_json::to_value(&document).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let routes: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
        let attribute = concat!("#[utoipa", "::path(");
        let described: usize = SOURCES.iter().map(|source| source.matches(attribute).count()).sum();
        assert_eq!(routes, described);
        assert!(paths.contains_key("/api/v1/devices/{key}/notes"), "{paths:?}");
    }

    #[test]
    fn every_operation_says_what_it_is_and_answers() {
        let (_, document) = split();
        let document = serde_json::to_value(&document).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let at = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{at}");
                assert!(!operation["responses"].as_object().unwrap().is_empty(), "{at}");
                assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{at}");
            }
        }
    }
}
