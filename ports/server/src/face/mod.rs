//! The browser face of the relay: a person with a browser alone reaches a service of a device.
//!
//! The server's own node (`host`) opens a session to the device with grants that the owner gave to
//! it, and what passes is readable here: the person is told so before the login is handed over,
//! and each answer has a field that says it. Owns the listener (`listen`), the host names
//! (`names`), the logins at them (`logins`) and the proxy (`proxy`, `headers`). Accounts are the
//! main host's.

pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod listen;
pub(crate) mod logins;
pub(crate) mod names;
mod pages;
mod proxy;
pub(crate) mod rules;
pub(crate) mod start;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::time::Instant;

use host::{Door, Host};
use logins::{Account, Logins};
use names::Domain;
use rit_core::base::PublicKey;
use rules::Rules;

use crate::error::Error;

/// What all connections share.
pub(crate) struct Face {
    domain: Domain,
    /// Where browsers reach it, at each host of the domain.
    port: u16,
    /// The main host's address, without a slash at its end: where people log in.
    main: String,
    key: PublicKey,
    host: Host,
    logins: Logins,
    rules: Rules,
}

impl Face {
    /// Whom owners grant what people may do by it.
    pub(crate) fn key(&self) -> PublicKey {
        self.key
    }

    /// The address of a service.
    pub(crate) fn url(&self, label: &str) -> String {
        let host = self.domain.host(label);
        if self.port == 443 {
            format!("https://{host}")
        } else {
            format!("https://{host}:{}", self.port)
        }
    }

    /// Where the browser goes that has the secret behind `state`, and is then logged in; none if
    /// `state` is not one.
    pub(crate) fn hand_over(
        &self,
        label: &str,
        state: &str,
        account: Account,
        now: Instant,
    ) -> Result<Option<String>, Error> {
        let code = self.logins.hand_over(label, state, account, now)?;
        Ok(code.map(|code| format!("{}{}?code={code}", self.url(label), proxy::ENTER_PATH)))
    }

    /// Ends what goes to a device with grants that are not to be used any more.
    pub(crate) fn forget(&self, device: &PublicKey, chain: &[u8]) {
        self.host.close(&Door { device: *device, chain: chain.into() });
    }

    /// Where a browser is sent that is not logged in at a service's host.
    fn login_url(&self, label: &str, state: &str, path: &str) -> String {
        let path = pages::encode(path);
        format!("{}/face?to={label}&state={state}&path={path}", self.main)
    }
}
