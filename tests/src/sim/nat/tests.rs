//! Each behaviour of a box, one datagram at a time.

use super::*;
use rit_core::base::Ecn;

const OUTER: [u8; 4] = [203, 0, 113, 1];
const TIMEOUT: Duration = Duration::from_secs(120);

fn inside(n: u8) -> Path {
    Path::v4([192, 168, 1, n], 5000)
}

fn outside(n: u8, port: u16) -> Path {
    Path::v4([198, 51, 100, n], port)
}

fn v6(n: u8) -> Path {
    let mut ip = [0; 16];
    (ip[0], ip[1], ip[15]) = (0x20, 0x01, n);
    Path { ip, port: 5000, via: 0, socket: 0, ifindex: 0 }
}

fn at(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn nat(config: NatConfig) -> NatBox {
    NatBox::new(config, OUTER, Rng::from_seed([9; 32]))
}

fn of(mapping: Mapping, filtering: Filtering) -> NatBox {
    nat(NatConfig::v4(mapping, filtering))
}

fn datagram(src: Path, dst: Path) -> Datagram {
    Datagram { site: Default::default(), src, dst, ecn: Ecn::NotEct, bytes: vec![1, 2, 3] }
}

/// Sends out; the outside source.
fn out(nat: &mut NatBox, src: Path, dst: Path, now: Time) -> Path {
    nat.outbound(datagram(src, dst), now).expect("it is let out").src
}

/// Sends in; where it arrives, if it does.
fn comes_in(nat: &mut NatBox, src: Path, dst: Path, now: Time) -> Option<Path> {
    nat.inbound(datagram(src, dst), now).map(|datagram| datagram.dst)
}

#[test]
fn mappings_depend_on_what_their_names_say() {
    // Same to another port, same to another address.
    let cases = [
        (Mapping::EndpointIndependent, true, true),
        (Mapping::AddressDependent, true, false),
        (Mapping::AddressAndPortDependent, false, false),
    ];
    for (mapping, same_for_port, same_for_address) in cases {
        let mut nat = of(mapping, Filtering::None);
        let first = out(&mut nat, inside(2), outside(1, 1), at(1));
        assert_eq!(first.ip, Path::v4(OUTER, 0).ip, "{mapping:?}");
        assert_eq!(out(&mut nat, inside(2), outside(1, 1), at(1)), first, "{mapping:?}");
        let other_port = out(&mut nat, inside(2), outside(1, 2), at(1));
        let other_address = out(&mut nat, inside(2), outside(2, 1), at(1));
        assert_eq!(other_port == first, same_for_port, "{mapping:?}");
        assert_eq!(other_address == first, same_for_address, "{mapping:?}");
        assert_ne!(out(&mut nat, inside(3), outside(1, 1), at(1)), first, "{mapping:?}");
    }
    let mut nat = of(Mapping::None, Filtering::None);
    assert_eq!(out(&mut nat, inside(2), outside(1, 1), at(1)), inside(2));
}

#[test]
fn filters_let_in_what_their_names_say() {
    // From whom it was sent to, from another port of the same, from a stranger.
    let cases = [
        (Filtering::None, [true, true, true]),
        (Filtering::EndpointIndependent, [true, true, true]),
        (Filtering::AddressDependent, [true, true, false]),
        (Filtering::AddressAndPortDependent, [true, false, false]),
    ];
    let mappings = [
        Mapping::None,
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ];
    for mapping in mappings {
        for (filtering, expected) in cases {
            let mut nat = of(mapping, filtering);
            let outer = out(&mut nat, inside(2), outside(1, 1), at(1));
            let senders = [outside(1, 1), outside(1, 2), outside(2, 1)];
            for (src, is_in) in senders.into_iter().zip(expected) {
                let came = comes_in(&mut nat, src, outer, at(2));
                assert_eq!(came, is_in.then_some(inside(2)), "{mapping:?} {filtering:?} {src:?}");
            }
            // Unasked, only where nothing translates and nothing filters.
            let is_open = mapping == Mapping::None && filtering == Filtering::None;
            let stranger = Path { port: outer.port ^ 1, ..outer };
            let came = comes_in(&mut nat, outside(1, 1), stranger, at(2));
            assert_eq!(came, is_open.then_some(stranger), "{mapping:?} {filtering:?}");
        }
    }
}

#[test]
fn a_filter_is_of_one_mapping_only() {
    let mut nat = of(Mapping::AddressDependent, Filtering::AddressDependent);
    let one = out(&mut nat, inside(2), outside(1, 1), at(1));
    let two = out(&mut nat, inside(2), outside(2, 1), at(1));
    assert_eq!(comes_in(&mut nat, outside(1, 1), two, at(1)), None);
    assert_eq!(comes_in(&mut nat, outside(1, 9), one, at(1)), Some(inside(2)));
    assert_eq!((nat.stats.filtered, nat.stats.inbound), (1, 1));
}

#[test]
fn ports_are_preserved_counted_or_drawn() {
    let config = NatConfig::v4(Mapping::AddressAndPortDependent, Filtering::None);
    let ports = |ports| {
        let mut nat = nat(NatConfig { ports, ..config.clone() });
        (1..=4).map(|n| out(&mut nat, inside(2), outside(1, n), at(1)).port).collect::<Vec<_>>()
    };
    assert_eq!(ports(Ports::Preserving), [5000, 5001, 5002, 5003]);
    let counted = ports(Ports::Sequential(3));
    assert!(counted.windows(2).all(|w| plus(w[0], 3) == w[1]), "{counted:?}");
    let drawn = ports(Ports::Random);
    assert!(drawn.iter().all(|port| *port >= PORT_MIN), "{drawn:?}");
    assert!(drawn.windows(2).all(|w| w[0].abs_diff(w[1]) > 3), "{drawn:?}");
    assert_eq!(ports(Ports::Random), drawn, "the seed decides");
    assert_eq!(plus(65_535, 1), PORT_MIN);
}

#[test]
fn the_port_of_another_host_is_not_given_out() {
    let config = NatConfig::v4(Mapping::EndpointIndependent, Filtering::None);
    let mut nat = nat(NatConfig { ports: Ports::Preserving, ..config });
    let first = out(&mut nat, inside(2), outside(1, 1), at(1));
    let second = out(&mut nat, inside(3), outside(1, 1), at(1));
    assert_eq!((first.port, second.port), (5000, 5001));
    assert_eq!(comes_in(&mut nat, outside(1, 1), first, at(1)), Some(inside(2)));
    assert_eq!(comes_in(&mut nat, outside(1, 1), second, at(1)), Some(inside(3)));
}

#[test]
fn full_is_full() {
    let config = NatConfig::v4(Mapping::AddressAndPortDependent, Filtering::None);
    let mut nat = nat(NatConfig { ports: Ports::Sequential(1), ..config });
    // The table as the last but one would find it: one port is left.
    for port in 0..PORT_COUNT - 1 {
        let outer = Path { ip: nat.outer_ip, ..outside(1, PORT_MIN + port as u16) };
        let remotes = BTreeMap::from([(outside(1, 1), at(1))]);
        nat.entries.insert(outer, Entry { inner: inside(9), remotes });
    }
    assert_eq!(out(&mut nat, inside(2), outside(1, 1), at(1)).port, 65_535);
    assert_eq!(nat.outbound(datagram(inside(2), outside(1, 2)), at(1)), None);
    assert!(nat.outbound(datagram(inside(2), outside(1, 1)), at(1)).is_some());
}

#[test]
fn silence_for_the_timeout_ends_a_mapping_and_sending_keeps_it() {
    let mut nat = of(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
    let outer = out(&mut nat, inside(2), outside(1, 1), at(0));
    let just_before = Time::from_micros(119_999_999);
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, just_before), Some(inside(2)));
    // What came in was no sign of life.
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(120)), None);
    assert_eq!(nat.stats.unmapped, 1);
    let outer = out(&mut nat, inside(2), outside(1, 1), at(200));
    assert_eq!(out(&mut nat, inside(2), outside(1, 1), at(319)), outer);
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(438)), Some(inside(2)));
    assert_eq!(nat.mappings(at(438)), 1);
    assert_eq!(nat.mappings(at(439)), 0);
    assert_ne!(out(&mut nat, inside(2), outside(1, 1), at(439)), outer);
}

#[test]
fn a_filter_forgets_one_remote_while_the_mapping_lives_on() {
    let mut nat = of(Mapping::EndpointIndependent, Filtering::AddressDependent);
    let outer = out(&mut nat, inside(2), outside(1, 1), at(0));
    assert_eq!(out(&mut nat, inside(2), outside(2, 1), at(100)), outer);
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(130)), None);
    assert_eq!(comes_in(&mut nat, outside(2, 1), outer, at(130)), Some(inside(2)));
}

#[test]
fn what_comes_in_refreshes_where_it_may() {
    let config = NatConfig::v4(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
    let mut nat = nat(NatConfig { is_refreshed_inbound: true, ..config });
    let outer = out(&mut nat, inside(2), outside(1, 1), at(0));
    assert_eq!(comes_in(&mut nat, outside(7, 7), outer, at(100)), Some(inside(2)));
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(219)), Some(inside(2)));
    assert_eq!(TIMEOUT, nat.config.timeout);
    assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(339)), None);
}

#[test]
fn a_hairpin_shows_the_outside_address_or_nothing() {
    let mut nat = of(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
    let (two, three) = (inside(2), inside(3));
    let outer_two = out(&mut nat, two, outside(1, 1), at(1));
    let turned = nat.outbound(datagram(three, outer_two), at(1)).expect("it hairpins");
    assert!(nat.is_own(&turned.dst) && nat.is_own(&turned.src));
    let arrived = nat.inbound(turned.clone(), at(1)).expect("the filter is open");
    assert_eq!((arrived.src, arrived.dst), (turned.src, two));
    nat.config.is_hairpinning = false;
    assert_eq!(nat.outbound(datagram(three, outer_two), at(1)), None);
    assert_eq!(nat.stats.unturned, 1);
    assert!(nat.outbound(datagram(three, outside(1, 1)), at(1)).is_some());
}

#[test]
fn a_hairpin_is_filtered_like_any_other() {
    let mut nat = of(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
    let outer_two = out(&mut nat, inside(2), outside(1, 1), at(1));
    let turned = nat.outbound(datagram(inside(3), outer_two), at(1)).expect("it hairpins");
    let outer_three = turned.src;
    assert_eq!(nat.inbound(turned, at(1)), None);
    out(&mut nat, inside(2), outer_three, at(1));
    assert_eq!(comes_in(&mut nat, outer_three, outer_two, at(1)), Some(inside(2)));
}

#[test]
fn a_reboot_forgets_and_a_new_address_is_another() {
    for ports in [Ports::Sequential(1), Ports::Random] {
        let config = NatConfig::v4(Mapping::EndpointIndependent, Filtering::None);
        let mut nat = nat(NatConfig { ports, ..config });
        let before = out(&mut nat, inside(2), outside(1, 1), at(1));
        nat.reboot();
        assert_eq!(comes_in(&mut nat, outside(1, 1), before, at(1)), None);
        let after = out(&mut nat, inside(2), outside(1, 1), at(1));
        assert!(after.ip == before.ip && after.port != before.port, "{ports:?}");
        nat.readdress([203, 0, 113, 99]);
        assert!(nat.is_own(&Path::v4([203, 0, 113, 99], 1)) && !nat.is_own(&before));
        assert_ne!(out(&mut nat, inside(2), outside(1, 1), at(1)).ip, before.ip);
    }
}

#[test]
fn where_udp_is_blocked_nothing_passes() {
    for mapping in [Mapping::None, Mapping::EndpointIndependent] {
        let mut nat = of(mapping, Filtering::None);
        let outer = out(&mut nat, inside(2), outside(1, 1), at(1));
        nat.config.is_udp_blocked = true;
        assert_eq!(nat.outbound(datagram(inside(2), outside(1, 1)), at(1)), None);
        assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(1)), None);
        assert_eq!(nat.stats.blocked, 2);
        nat.config.is_udp_blocked = false;
        assert_eq!(comes_in(&mut nat, outside(1, 1), outer, at(1)), Some(inside(2)));
    }
}

#[test]
fn a_firewall_keeps_addresses_and_filters() {
    let mut wall = nat(NatConfig::v6(Filtering::AddressAndPortDependent));
    assert!(wall.is_way_to(&v6(7)) && !wall.is_way_to(&outside(1, 1)));
    assert!(!wall.is_own(&v6(2)));
    assert_eq!(comes_in(&mut wall, v6(7), v6(2), at(1)), None);
    assert_eq!(out(&mut wall, v6(2), v6(7), at(1)), v6(2));
    assert_eq!(comes_in(&mut wall, v6(7), v6(2), at(1)), Some(v6(2)));
    assert_eq!(comes_in(&mut wall, v6(8), v6(2), at(1)), None);
    assert_eq!(comes_in(&mut wall, v6(7), v6(2), at(121)), None);
    let mut open = nat(NatConfig::v6(Filtering::None));
    assert_eq!(comes_in(&mut open, v6(7), v6(2), at(1)), Some(v6(2)));
}

#[test]
fn a_nat64_takes_the_prefix_off_and_puts_it_on() {
    let mut nat = nat(NatConfig::nat64(Mapping::EndpointIndependent, Filtering::AddressDependent));
    let there = with_prefix(&outside(1, 7)).expect("an IPv4 address");
    assert_eq!(there.socket_addr().to_string(), "[64:ff9b::c633:6401]:7");
    assert_eq!(without_prefix(&there), Some(outside(1, 7)));
    assert_eq!((without_prefix(&v6(1)), with_prefix(&v6(1))), (None, None));
    assert!(nat.is_way_to(&there) && !nat.is_way_to(&outside(1, 7)) && !nat.is_way_to(&v6(1)));
    let left = nat.outbound(datagram(v6(2), there), at(1)).expect("it is let out");
    assert_eq!(left.dst, outside(1, 7));
    assert!(nat.is_own(&left.src) && is_v4(&left.src));
    let back = nat.inbound(datagram(outside(1, 7), left.src), at(1)).expect("it is let in");
    assert_eq!((back.src, back.dst), (there, v6(2)));
    assert_eq!(comes_in(&mut nat, outside(2, 7), left.src, at(1)), None);
    assert_eq!(nat.outbound(datagram(v6(2), v6(7)), at(1)), None);
}
