//! The face's options, and its start beside the broker.
//!
//! Owns the thread that it has for itself: a service that sends much holds up no node's link.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rit_core::node::BrokerAddress;
use rit_core::wire::text::{self, Uri};

use super::host::Host;
use super::logins::Logins;
use super::names::Domain;
use super::rules::Rules;
use super::{Face, listen};
use crate::error::Error;
use crate::renew::Files;
use crate::state::State;
use crate::store::{Db, Location};
use crate::thread::Thread;
use crate::{code, relays};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The browser face")]
pub(crate) struct FaceArgs {
    /// Lets people with a browser alone reach services that an owner allows: each has a host name
    /// under this wildcard, as `*.face.example`, whose address is this machine's.
    #[arg(long, value_name = "DOMAIN",
          requires_all = ["face_cert", "face_key", "face_listen", "face_main"])]
    pub(crate) face: Option<Domain>,
    /// The wildcard's certificate, with those of its issuers, PEM.
    #[arg(long, value_name = "FILE", requires = "face")]
    pub(crate) face_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "face")]
    pub(crate) face_key: Option<PathBuf>,
    /// Where to listen for browsers, as 0.0.0.0:443; nodes by TCP need another port or address.
    #[arg(long, value_name = "ADDR:PORT", requires = "face")]
    pub(crate) face_listen: Option<SocketAddr>,
    /// The port at which browsers reach it [default: that of --face-listen].
    #[arg(long, value_name = "PORT", requires = "face",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) face_port: Option<u16>,
    /// The address of this server's own page, where people log in.
    #[arg(long, value_name = "URL", requires = "face")]
    pub(crate) face_main: Option<String>,
    /// A login, or a connection, that nothing uses for so long ends.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, requires = "face",
          value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) face_idle: u32,
}

/// A face that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) face: Arc<Face>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _thread: Thread,
}

impl Running {
    /// Starts the face, if there is to be one.
    pub(crate) async fn start(
        args: &FaceArgs,
        state: &State,
        location: &Location,
        broker: &Uri,
    ) -> Result<Option<Running>, Error> {
        let FaceArgs {
            face: Some(domain),
            face_cert: Some(cert),
            face_key: Some(key),
            face_listen: Some(address),
            face_main: Some(main),
            face_port,
            face_idle,
        } = args
        else {
            return Ok(None);
        };
        let tls = listen::tls(&Files { cert: cert.clone(), key: key.clone() })?;
        let identity = state.face_identity()?;
        let key = identity.public_key();
        let listener = std::net::TcpListener::bind(address)
            .map_err(|source| Error::ListenTcp { address: *address, source })?;
        listener.set_nonblocking(true).map_err(start)?;
        let address = listener.local_addr().map_err(start)?;
        let thread = Thread::start("face", 1)?;
        // Connections to a database belong to the threads that made them.
        let location = location.clone();
        let opened = thread.spawn(async move { Db::open(&location).await });
        let db = opened.await.map_err(start)??;
        let code = match db.is_enrolled(&key).await.map_err(start)? {
            true => None,
            false => code::make(&db, code::VALID, 1, None).await?.pop(),
        };
        let inside = thread.enter();
        let paths = relays::paths(&broker.host, broker.port).map_err(start)?;
        let broker = BrokerAddress { key: broker.key, paths };
        let idle = Duration::from_secs(u64::from(*face_idle) * 60);
        let host = Host::start(&identity, broker, code.as_ref().map(|code| code.as_str()), idle)?;
        let face = Arc::new(Face {
            domain: domain.clone(),
            port: face_port.unwrap_or(address.port()),
            main: main.trim_end_matches('/').to_owned(),
            key,
            host,
            logins: Logins::new(idle),
            rules: Rules::new(db),
        });
        let listener = tokio::net::TcpListener::from_std(listener).map_err(start)?;
        tokio::spawn(listen::serve(listener, tls, face.clone(), idle));
        tracing::info!(%address, key = %text::key_to_text(&key), "the browser face is served");
        drop(inside);
        Ok(Some(Running { face, address, _thread: thread }))
    }
}

fn start(error: impl std::fmt::Display) -> Error {
    Error::Start(format!("the face: {error}"))
}
