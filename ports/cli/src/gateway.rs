//! `rit gateway`: a node that offers what its neighbours have, and finds what could be offered.
//!
//! Owns what a gateway offers: what the command line and the configuration say, and what was
//! published, which it looks at while it runs. Does not own who may use it (the grants of its
//! owner) nor what is connected to (the POSIX port's rules). Invariants: nothing is offered that
//! nobody named; its state folder is its own, so that it runs beside `rit up`.

pub(crate) mod args;
mod kinds;
mod lines;
mod mdns;
mod neighbours;
mod probe;
pub(crate) mod rules;
mod scan;
mod store;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::args::{Command, Gateway, Run};
use self::lines::{Line, kind};
use self::rules::{Rule, Service};
use self::store::{Entry, Published, Status, Watch};
use crate::App;
use crate::error::{Error, Exit, other};
use crate::port::{Port, PortError, is_never};
use crate::{connect, names, secret, text};

/// The list of what is published is looked at so often.
const STEP: Duration = Duration::from_millis(250);
/// And what could not be offered is tried again so often: its name may resolve by then.
const AGAIN: Duration = Duration::from_secs(60);

/// `rit gateway`, alone or with a word.
pub(crate) fn gateway(app: &App, args: &Gateway) -> Result<(), Error> {
    match &args.command {
        None => run(app, &args.run),
        Some(Command::Scan(args)) => scan::scan(app, args),
        Some(Command::Publish { service }) => publish(app, service),
        Some(Command::Unpublish { name }) => unpublish(app, name),
        Some(Command::List) => list(app),
    }
}

/// What the command line and the configuration say.
#[derive(Default)]
struct Given {
    rules: BTreeSet<Rule>,
    services: Vec<Service>,
}

impl Given {
    fn of(app: &App, allow: &[String], offer: &[String]) -> Result<Given, Error> {
        let mut given = Given::default();
        let config = &app.config.gateway;
        for text in config.allow.iter().chain(allow) {
            let (rules, service) = rules::allowed(text).map_err(Error::usage)?;
            given.rules.extend(rules);
            given.services.extend(service);
        }
        for text in config.offer.iter().chain(offer) {
            given.services.push(rules::offered(text).map_err(Error::usage)?);
        }
        let mut seen = BTreeSet::new();
        for service in &given.services {
            if !seen.insert((&service.name, service.is_udp)) {
                return Err(Error::usage(format!("'{}' is offered twice", service.name)));
            }
        }
        Ok(given)
    }

    /// The rules with those that what is published brings along.
    fn rules_with(&self, published: &Published) -> BTreeSet<Rule> {
        let more = published.services.iter().filter_map(Rule::of);
        self.rules.iter().copied().chain(more).collect()
    }
}

/// The node, and what it offers now.
struct Offering {
    port: Port,
    given: Given,
    rules: BTreeSet<Rule>,
    status: Status,
    tried: Instant,
}

impl Offering {
    /// Offers what is wanted from now on, and no more; what changed.
    fn set(&mut self, published: &Published) -> Vec<Line> {
        let mut lines = Vec::new();
        self.tried = Instant::now();
        let given = self.given.services.iter().map(|it| (it, false));
        let wanted: Vec<(Service, bool)> = given
            .chain(published.services.iter().map(|it| (it, true)))
            .map(|(service, is_published)| (service.clone(), is_published))
            .collect();
        let before = std::mem::take(&mut self.status.services);
        let (refused, before): (Vec<Entry>, Vec<Entry>) =
            before.into_iter().partition(|entry| entry.reason.is_some());
        let (kept, gone): (Vec<Entry>, Vec<Entry>) = before
            .into_iter()
            .partition(|entry| wanted.contains(&(entry.service.clone(), entry.is_published)));
        for Entry { service, .. } in gone {
            let _ = self.port.withdraw(&service.name, service.is_udp);
            lines.push(Line::Withdrawn { service: service.name, kind: kind(service.is_udp) });
        }
        self.set_rules(self.given.rules_with(published));
        for (service, is_published) in wanted {
            let is_it = |it: &&Entry| it.service == service && it.is_published == is_published;
            let mut reason = None;
            if !kept.iter().any(|it| is_it(&it)) {
                reason = self.offer(&service);
                match &reason {
                    None => lines.push(Line::offered(&service)),
                    // What is tried again is told once.
                    Some(_) if refused.iter().find(is_it).is_some_and(|it| it.reason == reason) => {
                    }
                    Some(reason) => lines.push(Line::not_offered(&service, reason)),
                }
            }
            self.status.services.push(Entry { service, is_published, reason });
        }
        self.status.change = published.change;
        lines
    }

    fn set_rules(&mut self, rules: BTreeSet<Rule>) {
        for rule in self.rules.difference(&rules) {
            let _ = self.port.neighbour_disallow(&rule.net.to_string(), rule.first, rule.last);
        }
        for rule in rules.difference(&self.rules) {
            // Without memory for it the services say that they are not allowed.
            let _ = self.port.neighbour_allow(&rule.net.to_string(), rule.first, rule.last);
        }
        self.rules = rules;
    }

    /// Why not.
    fn offer(&mut self, service: &Service) -> Option<String> {
        let Service { name, is_udp, host, port } = service;
        let done = self.port.offer_neighbour(name, *is_udp, host, *port);
        done.err().map(|error| error.to_string())
    }

    fn is_to_be_tried_again(&self) -> bool {
        self.tried.elapsed() >= AGAIN
            && self.status.services.iter().any(|entry| entry.reason.is_some())
    }
}

fn open(app: &App, args: &Run, given: Given) -> Result<Offering, Error> {
    app.state.identity()?;
    let mut port =
        Port::open(&app.state.node_dir(), app.config.tls_port, false).map_err(|error| {
            if error.is_in_use() {
                Error::new(Exit::Busy, "another gateway has the state folder")
                    .advice("End it first, or use another folder: --state DIR.")
            } else {
                other(error)
            }
        })?;
    let config = &app.config.gateway;
    let limit = |given: Option<u32>, written: Option<u32>| given.or(written).unwrap_or(0);
    port.neighbour_limits(
        limit(args.connections, config.connections),
        limit(args.rate, config.rate),
    )
    .map_err(|_too_many| Error::usage("connections and rate are numbers up to 4096"))?;
    Ok(Offering {
        port,
        given,
        rules: BTreeSet::new(),
        status: Status::default(),
        tried: Instant::now(),
    })
}

/// Whom it lets in; the code to claim it by, if one is to be shown.
fn let_in(app: &App, args: &Run, port: &mut Port) -> Result<Option<String>, Error> {
    let secret = match args.owner.as_deref() {
        None | Some("code") => None,
        Some(given) => Some(secret::parse(&secret::given(given)?)?.0),
    };
    let is_claimed = port.obey_owner(secret.as_ref()).map_err(other)?;
    let keys: Vec<&String> = app.config.gateway.keys.iter().chain(&args.allow_key).collect();
    for name in &keys {
        port.allow_peer(&names::person(app, name)?).map_err(other)?;
    }
    let is_asked = args.owner.as_deref() == Some("code");
    if is_claimed || !(is_asked || (args.owner.is_none() && keys.is_empty())) {
        return Ok(None);
    }
    port.claim_code().map(Some).map_err(other)
}

fn run(app: &App, args: &Run) -> Result<(), Error> {
    let given = Given::of(app, &args.allow, &args.offer)?;
    let broker = connect::broker(app, &args.broker)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_over.clone()).map_err(other)?;
    }
    let mut offering = open(app, args, given)?;
    tell(app, &Line::Key { key: key_to_text(&app.state.identity()?.public_key()) })?;
    if let Some(code) = let_in(app, args, &mut offering.port)? {
        tell(app, &Line::ClaimCode { code })?;
    }
    crate::live::call(&mut offering.port, app, &broker, &args.broker)?;
    let result = serve(app, &mut offering, &is_over);
    store::remove_status(app);
    result
}

fn serve(app: &App, offering: &mut Offering, is_over: &AtomicBool) -> Result<(), Error> {
    let mut watch = Watch::default();
    let mut is_new = true;
    connect::notify("READY=1");
    while !is_over.load(Ordering::Relaxed) {
        // The file is looked at before it is read: a change in between is seen next time.
        if watch.has_changed(app) || is_new || offering.is_to_be_tried_again() {
            match store::read(app) {
                Ok(published) => {
                    for line in offering.set(&published) {
                        tell(app, &line)?;
                    }
                    store::write_status(app, &offering.status)?;
                }
                // What there was goes on.
                Err(error) => eprintln!("rit: {error}"),
            }
            is_new = false;
        }
        offering.port.step(STEP).map_err(other)?;
        while let Some(event) = offering.port.next() {
            let Some(line) = Line::of(event) else { continue };
            tell(app, &line)?;
            if let Line::EnrolRefused { reason } = line {
                return Err(Error::new(Exit::Refused, format!("the broker refused: {reason}"))
                    .advice("Ask for a new code."));
            }
        }
    }
    connect::notify("STOPPING=1");
    Ok(())
}

/// Prints a line.
fn tell(app: &App, line: &Line) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let done = if app.json {
        writeln!(out, "{}", serde_json::to_string(line).map_err(other)?)
    } else {
        let name = line.person().and_then(|key| key_from_text(key).ok());
        let name = name.map_or_else(String::new, |key| names::label(app, &key));
        writeln!(out, "{}", line.words(&name))
    };
    // Whoever reads a pipe wants it now.
    done.and_then(|()| out.flush()).map_err(other)
}

fn publish(app: &App, text: &str) -> Result<(), Error> {
    let service = rules::published(text).map_err(Error::usage)?;
    let address = service.host.parse();
    if address.is_ok_and(|address| is_never(&address)) {
        return Err(not_allowed(&service.host));
    }
    let is_given = Given::of(app, &[], &[])?
        .services
        .iter()
        .any(|it| (&it.name, it.is_udp) == (&service.name, service.is_udp));
    if is_given {
        return Err(Error::failed(format!("the configuration offers a '{}'", service.name)));
    }
    let change = store::add(app, &service)?;
    let entry = store::wait_for(app, change)?.and_then(|status| {
        status.services.into_iter().find(|entry| entry.is_published && entry.service == service)
    });
    if let Some(reason) = entry.as_ref().and_then(|entry| entry.reason.clone()) {
        store::take_back(app, &service)?;
        return Err(Error::new(Exit::Refused, format!("not published: {reason}")));
    }
    if app.json {
        return app.print_json(&json!({ "service": service, "is_offered": entry.is_some() }));
    }
    let later = if entry.is_some() { "" } else { ", once the gateway runs" };
    println!("{} is offered{later}", text::bold(&service.name));
    Ok(())
}

fn not_allowed(host: &str) -> Error {
    let why = PortError(crate::port::NOT_ALLOWED);
    Error::new(Exit::Refused, format!("'{host}': {why}"))
        .advice("A gateway offers its neighbours' services, not its own: see rit gateway --help.")
}

fn unpublish(app: &App, name: &str) -> Result<(), Error> {
    let change = store::remove(app, name)?;
    store::wait_for(app, change)?;
    if app.json {
        return app.print_json(&json!({ "service": name }));
    }
    println!("{} is offered no more", text::escape_line(name));
    Ok(())
}

fn list(app: &App) -> Result<(), Error> {
    let status = store::status(app)?;
    let is_running = status.is_some();
    let entries = match status {
        Some(status) => status.services,
        None => {
            let given = Given::of(app, &[], &[])?.services.into_iter().map(|it| (it, false));
            let published = store::read(app)?.services.into_iter().map(|it| (it, true));
            let entry = |(service, is_published)| Entry { service, is_published, reason: None };
            given.chain(published).map(entry).collect()
        }
    };
    if app.json {
        return app.print_json(&json!({ "is_running": is_running, "services": entries }));
    }
    let row = |entry: &Entry| {
        let state = match &entry.reason {
            Some(reason) => reason.as_str(),
            None if is_running => "offered",
            None => "the gateway is not running",
        };
        let by = if entry.is_published { "publish" } else { "given" };
        let service = &entry.service;
        vec![
            service.name.clone(),
            kind(service.is_udp).to_owned(),
            format!("{} {}", service.host, service.port),
            by.to_owned(),
            state.to_owned(),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    print!("{}", text::table(&["NAME", "KIND", "HOST AND PORT", "BY", "STATE"], &rows));
    Ok(())
}
