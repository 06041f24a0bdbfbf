//! `rit login` and `rit logout`.
//!
//! Owns how a person becomes known to a server: by a password, or by the organisation's login page
//! (device authorization grant, RFC 8628, which the server does with the provider). Either way the
//! node's key signs too, and is one of the account's from then on.

use std::time::Duration;

use rit_core::wire::text::{Uri, key_to_text};
use serde_json::{Value, json};

use crate::App;
use crate::api::{Api, base_url};
use crate::args;
use crate::error::{Error, Exit};
use crate::state::Login;
use crate::{prompt, secret, text};

/// How long a login page is waited for.
const PAGE_S: u64 = 900;

/// `rit login`.
pub(crate) fn login(app: &App, args: &args::Login) -> Result<(), Error> {
    let last = app.state.read()?.login;
    let address = args.address.clone().or_else(|| last.as_ref().map(|last| last.broker.clone()));
    let address = address.ok_or_else(|| {
        Error::usage("which server?").advice("rit login rit://KEY@HOST, as rit-server prints it.")
    })?;
    let uri: Uri = address.parse().map_err(|error| {
        Error::usage(format!("'{address}': {error}")).advice("rit login rit://KEY@HOST[:PORT]")
    })?;
    let is_again = args.address.is_none() && args.http.is_none();
    let mut login = Login {
        broker: uri.to_string(),
        http: Some(base_url(&uri, args.http.as_deref())?),
        is_public: args.web_pki,
        user: args.user.clone(),
        token: None,
    };
    if let (true, Some(last)) = (is_again, last) {
        login.http = last.http.or(login.http);
        login.is_public |= last.is_public;
        login.user = login.user.or(last.user);
    }
    let api = Api::new(&app.state, &login)?;
    let answer = if args.oidc { by_page(app, &api)? } else { by_password(&api, args, &mut login)? };
    finish(app, &uri, login, &answer)
}

/// Keeps the login. The server may name the broker's port, but no other broker.
fn finish(app: &App, uri: &Uri, mut login: Login, answer: &Value) -> Result<(), Error> {
    if let Some(told) = answer["broker"].as_str() {
        let told: Uri = told.parse().map_err(crate::error::other)?;
        if told.key != uri.key {
            return Err(Error::new(Exit::Refused, "the server names another broker")
                .advice("Ask whoever runs it for the right rit:// address."));
        }
        login.broker = told.to_string();
    }
    login.token = answer["token"].as_str().map(str::to_owned);
    if let Some(user) = answer["user"].as_str() {
        login.user = Some(user.to_owned());
    }
    let (broker, user) = (login.broker.clone(), login.user.clone());
    app.state.change(|stored| stored.login = Some(login))?;
    let key = key_to_text(&app.state.identity()?.public_key());
    if app.json {
        return app.print_json(&json!({ "broker": broker, "user": user, "key": key }));
    }
    let user = user.map_or_else(String::new, |user| format!(" as {}", text::escape_line(&user)));
    println!("logged in{user}; your key is {key}");
    Ok(())
}

fn by_password(api: &Api, args: &args::Login, login: &mut Login) -> Result<Value, Error> {
    let user = match &login.user {
        Some(user) => user.clone(),
        None if prompt::is_possible() => prompt::text("User:")?.to_string(),
        None => return Err(Error::usage("--user is missing")),
    };
    let password = prompt::secret("Password:")?;
    let ask = |totp: Option<&str>| {
        let mut body = api.proof()?;
        body["user"] = json!(user);
        body["password"] = json!(*password);
        if let Some(totp) = totp {
            body["totp"] = json!(totp.trim());
        }
        api.open_post("/login", &body)
    };
    login.user = Some(user.clone());
    match ask(args.totp.as_deref()) {
        // The server does not tell which of the two was wrong.
        Err(error)
            if error.exit == Exit::LoggedOut && args.totp.is_none() && prompt::is_possible() =>
        {
            let code = prompt::text("Code of your authenticator (empty: there is none):")?;
            if code.is_empty() { Err(wrong()) } else { ask(Some(&code)).map_err(|_| wrong()) }
        }
        Err(error) if error.exit == Exit::LoggedOut => Err(wrong()),
        answer => answer,
    }
}

fn wrong() -> Error {
    Error::new(Exit::LoggedOut, "user, password or code is wrong")
        .advice("If the account has an authenticator, give its code: --totp CODE")
}

fn by_page(app: &App, api: &Api) -> Result<Value, Error> {
    let key = key_to_text(&app.state.identity()?.public_key());
    let begun = api.open_post("/login/device", &json!({ "key": key }))?;
    let field = |name: &str| begun[name].as_str().unwrap_or_default().to_owned();
    let (id, code, page) = (field("id"), field("user_code"), field("verification_uri"));
    if id.is_empty() || id.contains(['/', '?', '#', '%']) {
        return Err(Error::failed("the server began no login"));
    }
    if app.json {
        println!("{}", json!({ "verification_uri": page, "user_code": code }));
    } else {
        let shown = text::bold(&text::escape_line(&code));
        println!("open {} and enter the code {shown}", text::escape_line(&page));
        if prompt::is_possible() {
            print!("{}", secret::picture(&page)?);
        }
    }
    let interval = Duration::from_secs(begun["interval_s"].as_u64().unwrap_or(5).clamp(1, 60));
    for _ in 0..PAGE_S / interval.as_secs() {
        std::thread::sleep(interval);
        let answer = api.open_post(&format!("/login/device/{id}"), &api.proof()?)?;
        if answer["token"].is_string() {
            return Ok(answer);
        }
    }
    Err(Error::new(Exit::LoggedOut, "nobody logged in at the page in time"))
}

/// `rit logout`.
pub(crate) fn logout(app: &App) -> Result<(), Error> {
    let told = app.api().and_then(|mut api| api.post("/logout", &json!({})));
    app.state.change(|stored| stored.login = None)?;
    match told {
        Err(error) if error.exit == Exit::LoggedOut => Ok(()),
        told => told.map(|_| ()),
    }
}
