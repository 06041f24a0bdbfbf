//! Where hosts are: on the internet, or at sites behind boxes, which may be behind boxes again.
//!
//! Owns the sites, their boxes and the addresses given out; carries a datagram from a host to the
//! link that it crosses, and from the link's end to the site of the host it is for.
//!
//! Invariants: private addresses repeat from site to site, as they do in the world; what has a
//! neighbour's address stays on the site's own network.

use super::nat::{Family, Filtering, Mapping, NatBox, NatConfig};
use super::net::Datagram;
use rit_core::base::{Path, Rng, Time};

/// Names a site; the default is the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteId(pub usize);

/// Where everybody can be reached who is not behind a box.
pub const INTERNET: SiteId = SiteId(0);

#[derive(Default)]
struct Site {
    outer: SiteId,
    boxes: Vec<NatBox>,
    /// Hosts and boxes placed in it so far.
    placed: u8,
}

/// All sites.
pub struct Sites {
    sites: Vec<Site>,
}

impl Default for Sites {
    fn default() -> Self {
        Sites { sites: vec![Site::default()] }
    }
}

impl Sites {
    /// A site whose way to `outer` leads through boxes like these, one for each family.
    pub fn add(&mut self, outer: SiteId, configs: &[NatConfig], rng: &mut Rng) -> SiteId {
        let id = SiteId(self.sites.len());
        let boxes = configs.iter().map(|config| {
            let address = self.box_address(outer);
            NatBox::new(config.clone(), address, rng.fork())
        });
        let boxes = boxes.collect();
        self.sites.push(Site { outer, boxes, placed: 0 });
        id
    }

    /// An address for a box's outside: public on the internet, private elsewhere.
    fn box_address(&mut self, outer: SiteId) -> [u8; 4] {
        let n = self.next(outer);
        if outer == INTERNET { [203, 0, 113, n] } else { [100, 64, 0, n] }
    }

    fn next(&mut self, site: SiteId) -> u8 {
        let site = &mut self.sites[site.0];
        site.placed = site.placed.checked_add(1).expect("a site has at most 255 hosts and boxes");
        site.placed
    }

    /// Addresses for one more host of a site behind boxes: one for each box's inside.
    pub fn addresses(&mut self, site: SiteId, port: u16) -> Vec<Path> {
        let n = self.next(site);
        let inside = |nat: &NatBox| match (nat.config.family, nat.config.mapping) {
            (Family::V4, Mapping::None) => Path::v4([198, 51, site.0 as u8, n], port),
            (Family::V4, _) => Path::v4([192, 168, 1, n], port),
            (Family::V6 | Family::Nat64, _) => {
                let mut ip =
                    [0x20, 0x01, 0x0d, 0xb8, 0, site.0 as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, n];
                ip[15] = n;
                Path { ip, port, via: 0, socket: 0, ifindex: 0 }
            }
        };
        let mut addresses: Vec<Path> = self.sites[site.0].boxes.iter().map(inside).collect();
        addresses.dedup();
        addresses
    }

    /// The boxes of a site, to look at or to change.
    pub fn boxes(&mut self, site: SiteId) -> &mut [NatBox] {
        &mut self.sites[site.0].boxes
    }

    /// Whether hosts of this site have but IPv6, and a NAT64.
    pub fn is_nat64(&self, site: SiteId) -> bool {
        self.sites[site.0].boxes.iter().any(|nat| nat.config.family == Family::Nat64)
    }

    /// What a host of `datagram.site` sends, as it is on the link that it crosses: that of its own
    /// site, or of one further out. None if a box dropped it. `is_here` knows who has an address.
    pub fn leave(
        &mut self,
        mut datagram: Datagram,
        is_here: &dyn Fn(SiteId, &Path) -> bool,
        now: Time,
    ) -> Option<Datagram> {
        loop {
            let (site, dst) = (datagram.site, datagram.dst);
            let is_near = || is_here(site, &dst) || self.inner(site, &dst, is_here).is_some();
            if site == INTERNET || is_near() {
                return Some(datagram);
            }
            let way = self.sites[site.0].boxes.iter_mut().find(|nat| nat.is_way_to(&dst));
            datagram = way?.outbound(datagram, now)?;
            datagram.site = self.sites[site.0].outer;
        }
    }

    /// What came over a link, at the site of the host it is for. None if a box dropped it.
    pub fn arrive(
        &mut self,
        mut datagram: Datagram,
        is_here: &dyn Fn(SiteId, &Path) -> bool,
        now: Time,
    ) -> Option<Datagram> {
        while let Some((site, at)) = self.inner(datagram.site, &datagram.dst, is_here) {
            datagram = self.sites[site.0].boxes[at].inbound(datagram, now)?;
            datagram.site = site;
        }
        Some(datagram)
    }

    /// The box between `outer` and whoever has `dst` behind it: its site, and which of the site's.
    fn inner(
        &self,
        outer: SiteId,
        dst: &Path,
        is_here: &dyn Fn(SiteId, &Path) -> bool,
    ) -> Option<(SiteId, usize)> {
        let inside = self.sites.iter().enumerate().skip(1).filter(|(_, s)| s.outer == outer);
        inside.map(|(i, site)| (SiteId(i), site)).find_map(|(id, site)| {
            let owns = |nat: &NatBox| {
                let is_through = nat.config.mapping == Mapping::None && nat.is_way_to(dst);
                let is_behind = || is_here(id, dst) || self.inner(id, dst, is_here).is_some();
                nat.is_own(dst) || is_through && is_behind()
            };
            site.boxes.iter().position(owns).map(|at| (id, at))
        })
    }
}

/// A site whose boxes do nothing: every host has a public address and is reached by everybody.
pub fn open(family: Family) -> NatConfig {
    match family {
        Family::V4 => NatConfig::v4(Mapping::None, Filtering::None),
        Family::V6 => NatConfig::v6(Filtering::None),
        Family::Nat64 => NatConfig::nat64(Mapping::EndpointIndependent, Filtering::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::base::Ecn;

    /// Hosts by site and address.
    struct Map {
        sites: Sites,
        hosts: Vec<(SiteId, Path)>,
    }

    impl Map {
        fn new() -> Self {
            Map { sites: Sites::default(), hosts: vec![(INTERNET, Path::v4([10, 0, 0, 1], 1))] }
        }

        fn site(&mut self, outer: SiteId, configs: &[NatConfig]) -> SiteId {
            self.sites.add(outer, configs, &mut Rng::from_seed([4; 32]))
        }

        fn host(&mut self, site: SiteId) -> Path {
            let address = self.sites.addresses(site, 7000)[0];
            self.hosts.push((site, address));
            address
        }

        /// Sends; the link it crosses and how it looks there, then where it arrives.
        fn send(
            &mut self,
            site: SiteId,
            src: Path,
            dst: Path,
        ) -> (Option<Datagram>, Option<Datagram>) {
            let datagram = Datagram { site, src, dst, ecn: Ecn::NotEct, bytes: vec![1] };
            let hosts = &self.hosts;
            let is_here = |at, path: &Path| hosts.iter().any(|(s, p)| *s == at && p.ip == path.ip);
            let crossed = self.sites.leave(datagram, &is_here, Time::ZERO);
            let arrived = crossed.clone().and_then(|d| self.sites.arrive(d, &is_here, Time::ZERO));
            (crossed, arrived)
        }
    }

    const PUBLIC: Path = Path {
        ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
        port: 1,
        via: 0,
        socket: 0,
        ifindex: 0,
    };

    fn cone() -> NatConfig {
        NatConfig::v4(Mapping::EndpointIndependent, Filtering::EndpointIndependent)
    }

    #[test]
    fn two_sites_have_the_same_private_addresses_and_their_own_public_ones() {
        let mut map = Map::new();
        let (a, b) = (map.site(INTERNET, &[cone()]), map.site(INTERNET, &[cone()]));
        let (host_a, host_b) = (map.host(a), map.host(b));
        assert_eq!(host_a, host_b);
        let seen_a = map.send(a, host_a, PUBLIC).1.expect("it arrives").src;
        let seen_b = map.send(b, host_b, PUBLIC).1.expect("it arrives").src;
        assert_ne!(seen_a.ip, seen_b.ip);
        let arrived = map.send(a, host_a, seen_b).1.expect("it arrives");
        assert_eq!((arrived.site, arrived.src, arrived.dst), (b, seen_a, host_b));
        // A private address is the neighbour's, if there is one.
        let neighbour = map.host(a);
        let (crossed, arrived) = map.send(a, host_a, neighbour);
        assert_eq!(crossed.expect("it is sent").site, a);
        assert_eq!(arrived.expect("it arrives").site, a);
    }

    #[test]
    fn behind_two_boxes_both_translate_and_both_let_in() {
        let mut map = Map::new();
        let carrier = map.site(INTERNET, &[cone()]);
        let (home, other) = (map.site(carrier, &[cone()]), map.site(carrier, &[cone()]));
        let (host, neighbour) = (map.host(home), map.host(other));
        let (crossed, arrived) = map.send(home, host, PUBLIC);
        let crossed = crossed.expect("it is let out");
        assert_eq!((crossed.site, crossed.src.ip[12]), (INTERNET, 203));
        let seen = arrived.expect("it arrives").src;
        let back = map.send(INTERNET, PUBLIC, seen).1.expect("it arrives");
        assert_eq!((back.site, back.dst), (home, host));
        // Two homes of one carrier: by its hairpin.
        let seen_other = map.send(other, neighbour, PUBLIC).1.expect("it arrives").src;
        let (crossed, arrived) = map.send(home, host, seen_other);
        assert_eq!(crossed.expect("it turns").site, INTERNET);
        assert_eq!(arrived.expect("it arrives").site, other);
        map.sites.boxes(carrier)[0].config.is_hairpinning = false;
        assert_eq!(map.send(home, host, seen_other).0, None);
    }

    #[test]
    fn a_firewall_is_on_the_way_to_those_behind_it() {
        let mut map = Map::new();
        let wall = NatConfig::v4(Mapping::None, Filtering::AddressAndPortDependent);
        let site = map.site(INTERNET, &[wall]);
        let host = map.host(site);
        assert_eq!(map.send(INTERNET, PUBLIC, host).1, None);
        assert_eq!(map.send(site, host, PUBLIC).1.expect("it arrives").src, host);
        assert_eq!(map.send(INTERNET, PUBLIC, host).1.expect("it arrives").site, site);
        assert_eq!(map.sites.boxes(site)[0].stats.unmapped, 1);
    }

    #[test]
    fn a_site_may_have_a_box_for_each_family() {
        let mut map = Map::new();
        let site = map.site(INTERNET, &[cone(), NatConfig::v6(Filtering::EndpointIndependent)]);
        let both = map.sites.addresses(site, 7000);
        assert_eq!(both.len(), 2);
        assert_eq!(map.send(site, both[0], PUBLIC).1.expect("it arrives").src.ip[12], 203);
        let nowhere = Path { ip: [0x20; 16], ..both[1] };
        assert_eq!(map.send(site, both[1], nowhere).0.expect("it leaves").src, both[1]);
        // No box leads there.
        let lone = map.site(INTERNET, &[cone()]);
        assert_eq!(map.send(lone, both[1], nowhere).0, None);
    }
}
