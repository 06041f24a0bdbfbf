//! What is published, and what became of it: two files of the gateway's state folder.
//!
//! Owns `gateway.json`, which `rit gateway publish` and `unpublish` change under a lock and the
//! gateway that runs looks at, and `gateway-status.json`, by which that one answers: to which
//! change it came, and what it offers. Invariants: a file is the old one or the new one; each
//! change counts one up, so an answer says to which it is.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::rules::Service;
use crate::App;
use crate::error::{Error, Exit, other};
use crate::files;

const FILE: &str = "gateway.json";
const STATUS: &str = "gateway-status.json";
/// A node has no more services.
const SERVICES_MAX: usize = 32;
/// How long the gateway that runs is waited for; it looks four times a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// `gateway.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Counts changes.
    pub(crate) change: u64,
    pub(crate) services: Vec<Service>,
}

/// A service, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) service: Service,
    /// By `rit gateway publish`; else by the configuration or the command line.
    pub(crate) is_published: bool,
    /// Why it is not offered.
    pub(crate) reason: Option<String>,
}

/// `gateway-status.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The last change that it knows.
    pub(crate) change: u64,
    pub(crate) services: Vec<Entry>,
}

/// What is published.
pub(crate) fn read(app: &App) -> Result<Published, Error> {
    let path = app.state.path(FILE);
    let Some(text) = files::read(&path)? else { return Ok(Published::default()) };
    serde_json::from_str(&text).map_err(|error| {
        Error::failed(format!("{} is damaged: {error}", path.display()))
            .advice("Move it away, and publish anew what is still wanted.")
    })
}

/// Changes it; the number of the change.
fn change<T>(
    app: &App,
    change: impl FnOnce(&mut Vec<Service>) -> Result<T, Error>,
) -> Result<(u64, T), Error> {
    let _lock = files::lock(&app.state.path("gateway.lock"))?;
    let mut published = read(app)?;
    let result = change(&mut published.services)?;
    published.change += 1;
    let text = serde_json::to_vec_pretty(&published).map_err(other)?;
    files::write(&app.state.path(FILE), &text)?;
    Ok((published.change, result))
}

pub(crate) fn add(app: &App, service: &Service) -> Result<u64, Error> {
    let add = |services: &mut Vec<Service>| {
        if services.iter().any(|it| (&it.name, it.is_udp) == (&service.name, service.is_udp)) {
            return Err(Error::failed(format!("'{}' is published already", service.name))
                .advice("Unpublish it first, or choose another name."));
        }
        if services.len() >= SERVICES_MAX {
            return Err(Error::failed(format!("{SERVICES_MAX} services are published already")));
        }
        services.push(service.clone());
        Ok(())
    };
    Ok(change(app, add)?.0)
}

/// All of this name, TCP and UDP.
pub(crate) fn remove(app: &App, name: &str) -> Result<u64, Error> {
    let remove = |services: &mut Vec<Service>| {
        let before = services.len();
        services.retain(|service| service.name != name);
        if services.len() == before {
            return Err(Error::new(Exit::Unknown, format!("'{name}' is not published"))
                .advice("`rit gateway list` shows what is."));
        }
        Ok(())
    };
    Ok(change(app, remove)?.0)
}

/// Takes one back that the gateway did not take.
pub(crate) fn take_back(app: &App, service: &Service) -> Result<(), Error> {
    let remove = |services: &mut Vec<Service>| {
        services.retain(|it| it != service);
        Ok(())
    };
    change(app, remove).map(|_| ())
}

/// Notices that `gateway.json` is another file.
#[derive(Default)]
pub(crate) struct Watch(Option<(u64, i64, i64)>);

impl Watch {
    pub(crate) fn has_changed(&mut self, app: &App) -> bool {
        let now = std::fs::metadata(app.state.path(FILE)).ok();
        let now = now.map(|file| (file.ino(), file.mtime(), file.mtime_nsec()));
        std::mem::replace(&mut self.0, now) != now
    }
}

/// Tells how it is.
pub(crate) fn write_status(app: &App, status: &Status) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(status).map_err(other)?;
    files::write(&app.state.path(STATUS), &text)
}

/// Nothing runs any more.
pub(crate) fn remove_status(app: &App) {
    let _ = std::fs::remove_file(app.state.path(STATUS));
}

/// Whether a process has the node.
fn is_running(app: &App) -> bool {
    let lock = std::fs::File::open(app.state.node_dir().join("lock"));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

/// How the gateway that runs is; `None`: none runs, or it is about to.
pub(crate) fn status(app: &App) -> Result<Option<Status>, Error> {
    if !is_running(app) {
        return Ok(None);
    }
    let text = files::read(&app.state.path(STATUS))?;
    // What is damaged is about to be written anew.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// How it is once it knows of a change; `None`: none runs.
pub(crate) fn wait_for(app: &App, change: u64) -> Result<Option<Status>, Error> {
    let end = Instant::now() + PATIENCE;
    while is_running(app) {
        if let Some(status) = status(app)?.filter(|status| status.change >= change) {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            return Err(Error::failed("the gateway that runs does not answer"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::rules;
    use crate::state::State;

    fn app(dir: &std::path::Path) -> App {
        App {
            json: true,
            config_path: dir.join("config.toml"),
            config: crate::config::Config::default(),
            state: State::open(dir.join("gateway")).unwrap(),
        }
    }

    #[test]
    fn one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let mut watch = Watch::default();
        assert!(!watch.has_changed(&app));
        let web = rules::published("192.168.1.20:80=web.hvac").unwrap();
        let dns = rules::published("udp:192.168.1.20:53=web.hvac").unwrap();
        assert_eq!(add(&app, &web).unwrap(), 1);
        assert!(watch.has_changed(&app) && !watch.has_changed(&app));
        assert!(add(&app, &web).is_err());
        assert_eq!(add(&app, &dns).unwrap(), 2);
        assert_eq!(read(&app).unwrap().services, [web.clone(), dns.clone()]);
        take_back(&app, &web).unwrap();
        assert_eq!(read(&app).unwrap().services, [dns]);
        assert_eq!(remove(&app, "web.hvac").unwrap(), 4);
        assert_eq!(remove(&app, "web.hvac").unwrap_err().exit, Exit::Unknown);
        assert_eq!(wait_for(&app, 4).unwrap(), None);
        std::fs::write(app.state.path(FILE), "{").unwrap();
        assert!(add(&app, &web).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn not_more_than_can_be_offered() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let mut service = rules::published("192.168.1.20:80=web").unwrap();
        let services =
            (0..SERVICES_MAX - 1).map(|i| Service { name: format!("s{i}"), ..service.clone() });
        let published = Published { change: 0, services: services.collect() };
        std::fs::write(app.state.path(FILE), serde_json::to_vec(&published).unwrap()).unwrap();
        add(&app, &service).unwrap();
        service.name = "one-more".into();
        assert!(add(&app, &service).is_err());
    }
}
