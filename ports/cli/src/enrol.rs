//! `rit enrol`: codes for others, and this machine where there is no account.

use std::time::{Duration, Instant};

use rit_core::wire::text::Uri;
use serde_json::{Value, json};

use crate::App;
use crate::api::entries;
use crate::args::{self, Enrol};
use crate::error::{Error, Exit};
use crate::live::{Line, Live};
use crate::state::Login;
use crate::text;

/// How long a broker is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// `rit enrol …`.
pub(crate) fn run(app: &App, command: &Enrol) -> Result<(), Error> {
    match command {
        Enrol::Code { count, valid } => codes(app, *count, *valid),
        Enrol::Product { name, limit, tags } => product(app, name, *limit, tags),
        Enrol::Products => products(app),
        Enrol::Node { code, address } => node(app, code, address),
    }
}

fn codes(app: &App, count: u32, valid_s: u64) -> Result<(), Error> {
    let answer = app.api()?.post("/codes", &json!({ "count": count, "valid_s": valid_s }))?;
    if app.json {
        return app.print_json(&answer);
    }
    for code in entries(answer, "codes") {
        println!("{}", text::escape_line(code.as_str().unwrap_or_default()));
    }
    Ok(())
}

fn product(app: &App, name: &str, limit: u32, tags: &[String]) -> Result<(), Error> {
    let body = json!({ "name": name, "limit": limit, "tags": tags, "services": [] });
    let answer = app.api()?.post("/profiles", &body)?;
    if app.json {
        return app.print_json(&answer);
    }
    let key = answer["product_key"].as_str().unwrap_or_default();
    println!("{}", text::escape_line(key));
    eprintln!("rit: it is shown once; devices give it as their enrol code");
    Ok(())
}

fn products(app: &App) -> Result<(), Error> {
    let found = entries(app.api()?.get("/profiles")?, "profiles");
    if app.json {
        return app.print_json(&json!(found));
    }
    let number = |it: &Value, name: &str| it[name].as_u64().unwrap_or(0).to_string();
    let words = |it: &Value| {
        let tags = it["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        tags.collect::<Vec<_>>().join(",")
    };
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|it| {
            let name = it["name"].as_str().unwrap_or_default().to_owned();
            vec![name, number(it, "enrolled"), number(it, "limit"), words(it)]
        })
        .collect();
    print!("{}", text::table(&["NAME", "ENROLLED", "LIMIT", "TAGS"], &rows));
    Ok(())
}

/// Enrols this machine's key, and keeps the broker.
fn node(app: &App, code: &str, address: &str) -> Result<(), Error> {
    let uri: Uri =
        address.parse().map_err(|error| Error::usage(format!("'{address}': {error}")))?;
    app.state.identity()?;
    let address = uri.to_string();
    let given = args::Broker { enrol: Some(code.to_owned()), ..args::Broker::default() };
    let mut live = Live::open(app, &address, &given, false)?.ok_or_else(|| {
        Error::new(Exit::Busy, "another rit has the state folder").advice("End it first.")
    })?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for line in live.step(Duration::from_millis(250))? {
            match line {
                Line::Online => return keep(app, &uri),
                Line::EnrolRefused { reason } => {
                    return Err(Error::new(Exit::Refused, format!("the broker refused: {reason}"))
                        .advice("Ask for a new code."));
                }
                _ => {}
            }
        }
    }
    Err(Error::new(Exit::Unreachable, "the broker does not answer")
        .advice("Is the address right? rit://KEY@HOST[:PORT]"))
}

fn keep(app: &App, uri: &Uri) -> Result<(), Error> {
    let login =
        Login { broker: uri.to_string(), http: None, is_public: false, user: None, token: None };
    app.state.change(|stored| {
        // Who is logged in there already stays so.
        let is_there = stored.login.as_ref().is_some_and(|old| old.broker == login.broker);
        if !is_there {
            stored.login = Some(login);
        }
    })?;
    println!("enrolled");
    Ok(())
}
