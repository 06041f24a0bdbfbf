//! Where an address is, from a MaxMind-format database that the operator supplies.
//!
//! Owns the lookup. Nothing is sent anywhere; a file that lacks an address, a country or a city
//! leaves it unknown.

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{Reader, geoip2};

use crate::error::Error;

/// The longest name that is passed on; databases have shorter ones.
const NAME_LEN_MAX: usize = 100;

/// A place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// ISO 3166-1, two letters.
    pub(crate) country: Option<String>,
    /// In English.
    pub(crate) city: Option<String>,
}

/// An open database.
pub(crate) struct Geo(Reader<Vec<u8>>);

impl Geo {
    pub(crate) fn open(path: &Path) -> Result<Geo, Error> {
        Reader::open_readfile(path)
            .map(Geo)
            .map_err(|error| Error::Geo { path: path.to_owned(), reason: error.to_string() })
    }

    pub(crate) fn place(&self, ip: IpAddr) -> Place {
        let found = self.0.lookup::<geoip2::City<'_>>(ip.to_canonical());
        let Ok(Some(found)) = found else { return Place::default() };
        let short = |name: &str| (name.len() <= NAME_LEN_MAX).then(|| name.to_owned());
        Place {
            country: found.country.and_then(|it| it.iso_code).and_then(short),
            city: found
                .city
                .and_then(|it| it.names)
                .and_then(|names| names.get("en").copied().and_then(short)),
        }
    }
}
