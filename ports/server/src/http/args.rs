//! The options of the HTTP face.
//!
//! Owns their words and what does not go together. Secrets come from files: others see a command
//! line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::{Config, OidcConfig};
use crate::error::Error;
use crate::renew::Files;

/// How the HTTP face listens, and what it uses.
#[derive(Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Serve the API and the page here, by HTTPS [default: not at all].
    #[arg(long, value_name = "ADDR:PORT", num_args = 1..)]
    http: Vec<SocketAddr>,
    /// Its certificate, PEM, with those between it and the root [default: a self-signed one].
    #[arg(long, value_name = "FILE", requires = "http_key")]
    http_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "http_cert")]
    http_key: Option<PathBuf>,
    /// Serve it by HTTP, for a proxy on this machine that does TLS.
    #[arg(long, conflicts_with = "http_cert")]
    http_plain: bool,
    /// Believe X-Forwarded-For: nobody but a proxy that sets it can connect.
    #[arg(long)]
    http_proxy: bool,
    /// Tell where nodes are, by this database in MaxMind's format.
    #[arg(long, value_name = "FILE")]
    geo: Option<PathBuf>,
    /// Send webhooks to private addresses, to this machine, and by HTTP, too.
    #[arg(long)]
    webhook_allow_private: bool,
    /// Serve numbers for Prometheus here, by HTTP, to whoever can connect.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// Serve them at /metrics of the API too, to who has the token in this file.
    #[arg(long, value_name = "FILE")]
    metrics_token_file: Option<PathBuf>,
    /// Let users log in by this OpenID Connect provider, with the device authorisation grant.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// What the provider calls this server.
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// A file with this server's secret at the provider, if it has one.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    oidc_client_secret_file: Option<PathBuf>,
}

impl HttpArgs {
    /// What is wanted; none: no HTTP.
    pub(crate) fn config(&self) -> Result<Option<Config>, Error> {
        if self.http.is_empty() && self.metrics.is_none() {
            return Ok(None);
        }
        let files = self.http_cert.clone().zip(self.http_key.clone());
        let oidc = match self.oidc_issuer.clone().zip(self.oidc_client_id.clone()) {
            None => None,
            Some((issuer, client_id)) => {
                let client_secret = self.oidc_client_secret_file.as_deref().map(read_secret);
                Some(OidcConfig { issuer, client_id, client_secret: client_secret.transpose()? })
            }
        };
        Ok(Some(Config {
            listen: self.http.clone(),
            is_plain: self.http_plain,
            is_behind_proxy: self.http_proxy,
            files: files.map(|(cert, key)| Files { cert, key }),
            geo: self.geo.clone(),
            is_private_allowed: self.webhook_allow_private,
            metrics: self.metrics,
            metrics_token: self.metrics_token_file.as_deref().map(read_secret).transpose()?,
            oidc,
        }))
    }
}

/// The file's first line.
fn read_secret(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(Error::EmptySecret(path.to_owned()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
