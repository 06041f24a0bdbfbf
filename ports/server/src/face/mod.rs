//! The browser face of the relay: a person with a browser alone reaches a service of a device.
//!
//! The server's own node (`host`) opens a session to the device with grants that the owner gave to
//! it, and what passes is readable here: the person is told so before the login is handed over,
//! and each answer has a field that says it. Owns the listener (`listen`), the host names (`names`), the
//! logins at them (`logins`) and the proxy (`proxy`, `headers`). Accounts are the main host's.

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

use host::Host;
use logins::Logins;
use names::Domain;
use rules::Rules;

/// What all connections share.
pub(crate) struct Face {
    domain: Domain,
    /// The main host's address, without a slash at its end: where people log in.
    main: String,
    host: Host,
    logins: Logins,
    rules: Rules,
}

impl Face {
    pub(crate) fn new(
        domain: Domain,
        main: &str,
        host: Host,
        logins: Logins,
        rules: Rules,
    ) -> Face {
        let main = main.trim_end_matches('/').to_owned();
        Face { domain, main, host, logins, rules }
    }

    /// Where a browser is sent that is not logged in at a service's host.
    fn login_url(&self, label: &str, state: &str, path: &str) -> String {
        let path = pages::encode(path);
        format!("{}/face?to={label}&state={state}&path={path}", self.main)
    }
}
