//! `rit connect`, `rit up`, `rit status`: services of devices at loopback addresses here.
//!
//! Owns which process carries a connection: this one, if it gets the state folder's lock, or the
//! one that has it, which is asked. If that one ends, this one takes over. Does not own the node
//! (`live`) or the socket (`control`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rit_core::base::PublicKey;
use rit_core::wire::text::{key_from_text, key_to_text};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::App;
use crate::args;
use crate::control::{self, Ended, Server};
use crate::error::{Error, Exit, other};
use crate::live::{Line, Live, Want};
use crate::renew::Renewal;
use crate::resolver::Resolver;
use crate::{chain, files, hostnames, names, text};

/// Requests at the control socket wait for so long at most.
const STEP: Duration = Duration::from_millis(250);
/// How long the process that has the state folder is waited for, if it does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What devices are called here, by the texts of their keys.
type Labels = BTreeMap<String, String>;

/// `rit connect`.
pub(crate) fn connect(app: &App, args: &args::Connect) -> Result<(), Error> {
    let mut wants = Wants::default();
    for target in &args.targets {
        let (device, service) = names::target(target)?;
        wants.add(app, device, service)?;
    }
    match &args.grant {
        Some(path) => wants.take_grant(path)?,
        None => wants.find_grants(app)?,
    }
    wants.check_grants(app)?;
    let broker = broker(app, &args.broker)?;
    carry(app, wants, &broker, (&args.broker, &args.local), Role::Guest)
}

/// `rit disconnect`.
pub(crate) fn disconnect(app: &App, target: &str) -> Result<(), Error> {
    let (name, service) = names::target(target)?;
    if service.is_some_and(|(_, port)| port != 0) {
        return Err(Error::usage(format!("'{target}': no port is needed")));
    }
    let service = service.map(|(service, _)| service.to_owned());
    let device = key_to_text(&names::device(app, name)?);
    match control::disconnect(app, device, service) {
        Ok(Ended::Done) => Ok(()),
        Ok(Ended::Gone) => Err(Error::new(Exit::Unknown, "no rit is running: nothing is reached")),
        Err(error) if error.exit == Exit::Failed => {
            Err(Error::new(Exit::Unknown, format!("'{target}': {error}"))
                .advice("`rit status` lists what is reached."))
        }
        Err(error) => Err(error),
    }
}

/// `rit up`.
pub(crate) fn up(app: &App, args: &args::Up) -> Result<(), Error> {
    let mut wants = Wants::default();
    for connection in &app.config.connections {
        if connection.services.is_empty() {
            wants.add(app, &connection.device, None)?;
        }
        for service in &connection.services {
            wants.add(app, &connection.device, Some(names::service(service)?))?;
        }
    }
    wants.find_grants(app)?;
    for want in &wants.wants {
        // The other connections are to be kept all the same.
        if let Err(error) = check_grant(app, want) {
            eprintln!("rit: {}: {error}", wants.labels[&want.device]);
        }
    }
    let broker = broker(app, &args.broker)?;
    carry(app, wants, &broker, (&args.broker, &args.local), Role::Daemon)
}

/// The address that was given, or the configuration's, or the login's.
pub(crate) fn broker(app: &App, args: &args::Broker) -> Result<String, Error> {
    if let Some(broker) = args.broker.clone().or_else(|| app.config.broker.clone()) {
        return Ok(broker);
    }
    match app.state.read()?.login {
        Some(login) => Ok(login.broker),
        None => Err(Error::new(Exit::LoggedOut, "there is no broker")
            .advice("Log in (rit login rit://KEY@HOST), or name one: --broker rit://KEY@HOST")),
    }
}

/// What is to be reached, and how people call it.
#[derive(Default)]
struct Wants {
    wants: Vec<Want>,
    labels: Labels,
}

impl Wants {
    fn add(&mut self, app: &App, name: &str, service: Option<(&str, u16)>) -> Result<(), Error> {
        let device = key_to_text(&names::device(app, name)?);
        let is_key = key_from_text(name).is_ok();
        let label = if is_key { format!("{}…", &name[..8]) } else { text::escape_line(name) };
        self.labels.insert(device.clone(), label);
        let service = service.map(|(name, port)| (name.to_owned(), port));
        match self.wants.iter_mut().find(|want| want.device == device) {
            Some(want) => want.services.extend(service),
            None => {
                let services = service.into_iter().collect();
                self.wants.push(Want { device, services, chain: None, is_chosen: false });
            }
        }
        Ok(())
    }

    /// What was left is not asked for again. Whether anything is wanted still.
    fn leave(&mut self, line: &Line) -> bool {
        if let Line::Left { device, service } = line {
            self.wants.retain_mut(|want| {
                let Some(service) = service else { return want.device != *device };
                let is_all = want.services.is_empty() || want.device != *device;
                want.services.retain(|(name, _)| is_all || name != service);
                is_all || !want.services.is_empty()
            });
        }
        !self.wants.is_empty()
    }

    /// The grant of a file, kept for later.
    fn take_grant(&mut self, path: &std::path::Path) -> Result<(), Error> {
        let grant = files::read(path)?
            .ok_or_else(|| Error::failed(format!("there is no file {}", path.display())))?;
        let grant = chain::from_text(&grant)?;
        let device = key_to_text(&chain::last(&grant)?.terms.device);
        let want = self.wants.iter_mut().find(|want| want.device == device).ok_or_else(|| {
            Error::new(Exit::Refused, "the grant is for another device")
                .advice(format!("It is for {device}."))
        })?;
        want.chain = Some(text::base64(&grant));
        want.is_chosen = true;
        Ok(())
    }

    /// For each device what the server has for us, or what it had before.
    fn find_grants(&mut self, app: &App) -> Result<(), Error> {
        for want in &mut self.wants {
            let device = key_from_text(&want.device).map_err(other)?;
            let found = match crate::share::received(app, &device) {
                Ok(found) => found,
                // Without the server the device still decides by what is kept.
                Err(_unreachable) => app.state.chain(&device)?,
            };
            want.chain = found.map(|chain| text::base64(&chain));
        }
        Ok(())
    }

    /// Says now what the device would say, where it can be seen from here; keeps what is good.
    fn check_grants(&self, app: &App) -> Result<(), Error> {
        self.wants.iter().try_for_each(|want| check_grant(app, want))
    }
}

fn check_grant(app: &App, want: &Want) -> Result<(), Error> {
    let Some(grant) = &want.chain else { return Ok(()) };
    let grant = text::from_base64(grant, "the grant")?;
    let device = key_from_text(&want.device).map_err(other)?;
    chain::check(&grant, &device, &app.state.identity()?.public_key())?;
    app.state.keep_chain(&device, &grant)?;
    let services = chain::last(&grant)?.terms.services;
    match want.services.iter().find(|(name, _)| !services.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Error::new(Exit::Refused, format!("your grant has no service '{name}'"))
                .advice(format!("It has: {}", text_of(&services))))
        }
    }
}

/// Services of a grant, for people.
pub(crate) fn text_of(services: &rit_core::trust::Services<'_>) -> String {
    if services.is_all() {
        "all".to_owned()
    } else {
        services.names().collect::<Vec<_>>().join(",")
    }
}

/// Who carries the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Leaves it to whoever does already.
    Guest,
    /// Does it itself, or says who does.
    Daemon,
}

/// Keeps the connections until a signal.
fn carry(
    app: &App,
    mut wants: Wants,
    broker: &str,
    (given, local): (&args::Broker, &args::Local),
    role: Role,
) -> Result<(), Error> {
    // A locked folder must not be made by its lock alone: the identity comes first.
    app.state.identity()?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_over.clone()).map_err(other)?;
    }
    let is_shared = local.share_with_all_users || app.config.share_with_all_users;
    let mut alone_since = Instant::now();
    loop {
        if let Some(live) = Live::open(app, broker, given, is_shared)? {
            let names = Names::open(app, local)?;
            return run(app, live, &mut wants, (role, names), &is_over);
        }
        if role == Role::Daemon {
            return Err(Error::new(Exit::Busy, "another rit has the state folder")
                .advice("End it first, or use another folder: --state DIR."));
        }
        if local.resolver.is_some() || local.share_with_all_users {
            return Err(Error::new(Exit::Busy, "another rit has the state folder")
                .advice("Give --resolver and --share-with-all-users to that one."));
        }
        let mut was_heard = false;
        let asked = wants.wants.clone();
        let ended = control::connect(app, &asked, &is_over, |line| {
            if !was_heard && !app.json {
                println!("carried by the rit that is running");
            }
            was_heard = true;
            if !wants.leave(&line) {
                is_over.store(true, Ordering::Relaxed);
            }
            tell(app, &wants.labels, &line)
        })?;
        match ended {
            Ended::Done => return Ok(()),
            Ended::Gone if was_heard => alone_since = Instant::now(),
            Ended::Gone if alone_since.elapsed() > PATIENCE => {
                return Err(Error::new(Exit::Busy, "another program has the state folder")
                    .advice("End it, or use another folder: --state DIR."));
            }
            Ended::Gone => {}
        }
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        // It is about to let go of the folder, or about to listen.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names of what is reached, where they are to be answered.
struct Names {
    resolver: Resolver,
    told: BTreeSet<String>,
}

impl Names {
    fn open(app: &App, local: &args::Local) -> Result<Option<Names>, Error> {
        let at = local.resolver.map_or_else(|| app.config.resolver(), |at| Ok(Some(at)));
        let open = |at| Ok(Names { resolver: Resolver::open(at)?, told: BTreeSet::new() });
        at.map_err(Error::usage)?.map(open).transpose()
    }

    /// Says once what has no name.
    fn look(&mut self, app: &App, lines: &[Line]) {
        match hostnames::table(app, lines) {
            Ok((table, complaints)) => {
                self.resolver.set(table);
                for complaint in complaints {
                    if self.told.insert(complaint.clone()) {
                        eprintln!("rit: {complaint}");
                    }
                }
            }
            // The names that there were go on.
            Err(error) => eprintln!("rit: {error}"),
        }
    }
}

fn run(
    app: &App,
    mut live: Live,
    wants: &mut Wants,
    (role, mut names): (Role, Option<Names>),
    is_over: &AtomicBool,
) -> Result<(), Error> {
    let mut server = Server::open(app)?;
    let mut renewal = Renewal::begin(app);
    for want in &wants.wants {
        live.add(want)?;
    }
    if let Some(names) = &names {
        live.tell(Line::Resolver { address: names.resolver.address().to_string() });
    }
    if role == Role::Daemon {
        notify("READY=1");
    }
    while !is_over.load(Ordering::Relaxed) {
        let lines = live.step(STEP)?;
        for line in &lines {
            let is_ours = line.device().is_none_or(|device| wants.labels.contains_key(device));
            if is_ours || role == Role::Daemon {
                tell(app, &wants.labels, line)?;
            }
            if let Line::EnrolRefused { reason } = line {
                return Err(Error::new(Exit::Refused, format!("the broker refused: {reason}"))
                    .advice("Ask for a new code."));
            }
        }
        server.run(&mut live, &lines);
        renewal.run(&mut live, &lines);
        if let Some(names) = &mut names
            && (live.was_asked() || !lines.is_empty())
        {
            names.look(app, live.standing());
        }
        // Whoever else is carried goes on by itself.
        if lines.iter().any(|line| !wants.leave(line)) && role == Role::Guest {
            break;
        }
    }
    notify("STOPPING=1");
    Ok(())
}

/// Prints a line.
fn tell(app: &App, labels: &Labels, line: &Line) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let done = if app.json {
        let line = serde_json::to_string(line).map_err(other)?;
        writeln!(out, "{line}")
    } else {
        let key = line.device().unwrap_or_default();
        let label = labels.get(key).map_or(key, String::as_str);
        writeln!(out, "{}", line.words(label))
    };
    // Whoever reads a pipe wants it now.
    done.and_then(|()| out.flush()).map_err(other)
}

/// sd_notify(3), where the service manager asks for it.
pub(crate) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = path.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

/// `rit status`.
pub(crate) fn status(app: &App) -> Result<(), Error> {
    let key: PublicKey = app.state.identity()?.public_key();
    let login = app.state.read()?.login;
    let lines = control::status(app)?;
    if app.json {
        let login = login.as_ref();
        return app.print_json(&json!({
            "key": key_to_text(&key),
            "broker": login.map(|login| &login.broker),
            "http": login.map(|login| &login.http),
            "user": login.map(|login| &login.user),
            "is_running": lines.is_some(),
            "connections": lines.unwrap_or_default(),
        }));
    }
    println!("your key  {}", key_to_text(&key));
    match &login {
        Some(login) => {
            let user = login.user.as_deref().unwrap_or("without an account");
            println!("server    {} ({})", login.broker, text::escape_line(user));
        }
        None => println!("server    not logged in (rit login rit://KEY@HOST)"),
    }
    match &lines {
        None => println!("running   no"),
        Some(lines) => {
            println!("running   yes");
            for line in lines {
                let name = line.device().and_then(|key| key_from_text(key).ok());
                let name = name.map_or_else(String::new, |key| names::label(app, &key));
                println!("  {}", line.words(&name));
            }
        }
    }
    Ok(())
}
