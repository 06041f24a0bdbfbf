//! `rit log`: what happened at the server.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;

use crate::App;
use crate::api::{Api, entries};
use crate::args;
use crate::error::{Error, Exit, other};
use crate::text;

/// The longest line of a stream.
const LINE_MAX: u64 = 256 << 10;
/// Before a stream that broke off is asked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// `rit log`.
pub(crate) fn show(app: &App, args: &args::Log) -> Result<(), Error> {
    let mut api = app.api()?;
    let events = entries(api.get(&format!("/events?newest=true&limit={}", args.limit))?, "events");
    let mut last = None;
    for event in &events {
        tell(app, event)?;
        last = event["id"].as_u64().or(last);
    }
    if args.follow { follow(app, &mut api, last) } else { Ok(()) }
}

/// Until it is interrupted.
fn follow(app: &App, api: &mut Api, mut last: Option<u64>) -> Result<(), Error> {
    loop {
        match api.stream("/events/stream", last) {
            Ok(stream) => read(app, stream, &mut last)?,
            Err(error) if error.exit == Exit::Unreachable => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Server-sent events: of each, the line `data:`. Returns where it broke off.
fn read(app: &App, stream: impl Read, last: &mut Option<u64>) -> Result<(), Error> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_MAX).read_line(&mut line) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        if let Some(data) = line.strip_prefix("data:") {
            let Ok(event) = serde_json::from_str::<Value>(data.trim()) else { continue };
            *last = event["id"].as_u64().or(*last);
            tell(app, &event)?;
        }
    }
}

fn tell(app: &App, event: &Value) -> Result<(), Error> {
    if app.json {
        println!("{}", serde_json::to_string(event).map_err(other)?);
        return Ok(());
    }
    println!("{}", words(event));
    Ok(())
}

/// Time, kind, device, account, and what else is told.
fn words(event: &Value) -> String {
    let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let mut line = vec![text::time(event["at_s"].as_u64().unwrap_or(0)), field("kind")];
    let device = field("device");
    line.extend((!device.is_empty()).then(|| device.chars().take(8).collect::<String>() + "…"));
    line.extend(Some(field("account")).filter(|account| !account.is_empty()));
    for (name, value) in event["detail"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push(format!("{name}={value}"));
    }
    text::escape_line(&line.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_strangers_are_harmless() {
        let event = json!({ "id": 1, "at_s": 0, "kind": "node.online", "device": "abcdefghijk",
            "account": null, "detail": { "name": "\u{1b}[2J\n" } });
        assert_eq!(
            words(&event),
            "1970-01-01T00:00:00Z  node.online  abcdefgh…  name=\\u{1b}[2J\\n"
        );
    }
}
