//! The services that a grant names: all of a device's, or some by their names.
//!
//! Kept as the CBOR that stands in a grant, so that a device needs no memory to look at it:
//!
//! ```cddl
//! services = null / [0*32 name]       ; null: all; names in ascending order of bytes
//! name     = tstr .regexp "[a-z0-9_.-]{1,63}"
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::cbor::{CborError, Reader, Writer};
use crate::wire::message::SERVICE_NAME_LEN_MAX;
use thiserror::Error;

/// Names in one grant.
pub const GRANT_SERVICES_MAX: usize = 32;

/// Why a list is not the services of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ServicesError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// There are more than [`GRANT_SERVICES_MAX`].
    #[error("a grant names more than {GRANT_SERVICES_MAX} services")]
    TooMany,
    /// Not 1 to 63 of `a-z 0-9 - _ .`.
    #[error("a grant names a service by what is no name")]
    Name,
    /// A name stands twice, or behind a greater one.
    #[error("the services in a grant are out of order")]
    Order,
}

/// Services as they stand in a grant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Services<'a>(&'a [u8]);

impl<'a> Services<'a> {
    const NULL: &'static [u8] = &[0xf6];

    /// All that the device offers, now or later.
    pub const ALL: Services<'static> = Services(Self::NULL);

    /// Reads and checks the list that is next.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, ServicesError> {
        let start = r.clone();
        if r.null() {
            return Ok(Services::ALL);
        }
        let count = r.array()?;
        if count > GRANT_SERVICES_MAX as u64 {
            return Err(ServicesError::TooMany);
        }
        let mut last: &[u8] = &[];
        for _ in 0..count {
            let name = r.text()?;
            if !is_name(name) {
                return Err(ServicesError::Name);
            }
            if name <= last {
                return Err(ServicesError::Order);
            }
            last = name;
        }
        Ok(Services(r.since(&start)))
    }

    /// The encoding.
    pub(super) fn encoded(&self) -> &'a [u8] {
        self.0
    }

    /// Whether these are all.
    pub fn is_all(&self) -> bool {
        self.0 == Self::NULL
    }

    /// The names, in order; none if these are all.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut r = Reader::new(self.0);
        let count = r.array().unwrap_or(0);
        (0..count).map_while(move |_| core::str::from_utf8(r.text().ok()?).ok())
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &str) -> bool {
        self.is_all() || self.names().any(|own| own == name)
    }

    /// Whether `outer` has all of these.
    pub fn is_within(&self, outer: &Services<'_>) -> bool {
        outer.is_all() || (!self.is_all() && self.names().all(|name| outer.contains(name)))
    }

    /// A copy to keep; `None`: there is no memory for it.
    pub(super) fn to_list(self) -> Option<ServiceList> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.0.len()).ok()?;
        copy.extend_from_slice(self.0);
        Some(ServiceList(copy.into_boxed_slice()))
    }
}

impl fmt::Debug for Services<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            f.write_str("all")
        } else {
            f.debug_list().entries(self.names()).finish()
        }
    }
}

/// Services that are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceList(Box<[u8]>);

impl ServiceList {
    /// All that the device offers, now or later.
    pub fn all() -> Self {
        ServiceList(Services::NULL.into())
    }

    /// Those of these names, in whatever order they come.
    pub fn of(names: &[&str]) -> Result<Self, ServicesError> {
        let mut names = Vec::from(names);
        names.sort_unstable();
        let mut w = Writer::default();
        w.array(names.len());
        for name in names {
            w.text(name.as_bytes());
        }
        Services::read(&mut Reader::new(&w.out))?;
        Ok(ServiceList(w.out.into_boxed_slice()))
    }

    /// As they stand in a grant.
    pub fn services(&self) -> Services<'_> {
        Services(&self.0)
    }
}

impl fmt::Debug for ServiceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.services().fmt(f)
    }
}

fn is_name(name: &[u8]) -> bool {
    let is_name_byte = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    (1..=SERVICE_NAME_LEN_MAX).contains(&name.len()) && name.iter().all(is_name_byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn read(bytes: &[u8]) -> Result<Services<'_>, ServicesError> {
        let mut r = Reader::new(bytes);
        let services = Services::read(&mut r)?;
        r.end()?;
        Ok(services)
    }

    #[test]
    fn lists_in_their_one_encoding() {
        let list = ServiceList::of(&["web", "ssh"]).unwrap();
        assert_eq!(&*list.0, b"\x82\x63ssh\x63web");
        assert_eq!(read(&list.0), Ok(list.services()));
        assert!(list.services().contains("ssh") && !list.services().contains("sh"));
        assert!(!list.services().is_all() && Services::ALL.contains("anything"));
        assert_eq!(format!("{list:?} {:?}", ServiceList::all()), "[\"ssh\", \"web\"] all");
        assert_eq!(read(b"\x80").map(|none| none.names().count()), Ok(0));
        assert_eq!(read(b"\x82\x63web\x63ssh"), Err(ServicesError::Order));
        assert_eq!(read(b"\x82\x63web\x63web"), Err(ServicesError::Order));
        assert_eq!(read(b"\x81\x63Web"), Err(ServicesError::Name));
        assert_eq!(read(b"\x81\x60"), Err(ServicesError::Name));
        assert_eq!(read(b"\x81\x43web"), Err(CborError::Type.into()));
        assert_eq!(read(b"\xf7"), Err(CborError::Type.into()));
        assert_eq!(ServiceList::of(&["a", "a"]), Err(ServicesError::Order));
    }

    #[test]
    fn limits() {
        let names: Vec<String> = (10..=10 + GRANT_SERVICES_MAX).map(|n| format!("{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(ServiceList::of(&names[1..]).is_ok());
        assert_eq!(ServiceList::of(&names), Err(ServicesError::TooMany));
        let name = "a".repeat(SERVICE_NAME_LEN_MAX + 1);
        assert!(ServiceList::of(&[&name[1..]]).is_ok());
        assert_eq!(ServiceList::of(&[&name]), Err(ServicesError::Name));
    }

    #[test]
    fn within() {
        let list = |names| ServiceList::of(names).unwrap();
        let is_within = |a: &ServiceList, b: &ServiceList| a.services().is_within(&b.services());
        let (none, web, both) = (list(&[]), list(&["web"]), list(&["ssh", "web"]));
        let all = ServiceList::all();
        assert!(is_within(&web, &both) && is_within(&both, &all) && is_within(&all, &all));
        assert!(is_within(&none, &web) && is_within(&web, &web));
        assert!(!is_within(&both, &web) && !is_within(&all, &both) && !is_within(&web, &none));
    }
}
