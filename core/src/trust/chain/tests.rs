//! Decisions: each refusal by example, limits, and random chains that only ever narrow.

use super::super::test_keys::{DEVICE, EPOCH, NOW_S, chain, key, name, terms};
use super::super::{Revocations, StatementError};
use super::*;
use crate::crypto::default_provider;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use std::string::String;
use std::{format, vec};

const OWNER: u8 = 0;
const USE: Rights = Rights::USE;
const SHARE: Rights = Rights::SHARE;

fn owned() -> TrustState {
    TrustState::owned(name(OWNER), EPOCH)
}

fn at(unix_s: u64) -> WallTime {
    WallTime { unix_s: Some(unix_s), fresh: None }
}

fn revoked(revocations: Revocations) -> TrustState {
    let mut state = owned();
    let list = revocations.sign(&DEVICE, EPOCH, NOW_S, key(OWNER)).unwrap();
    assert_eq!(state.revoke(default_provider(), &DEVICE, &list), Ok(true));
    state
}

fn ask(state: &TrustState, peer: u8, chain: &[u8], time: WallTime) -> Result<Permit, GrantError> {
    authorize(default_provider(), state, &DEVICE, &name(peer), chain, time)
}

/// Whether the last subject may by a chain of these links, from the owner on.
fn ask_for(links: &[Terms<'_>]) -> Result<Permit, GrantError> {
    let links: Vec<(u8, Terms<'_>)> =
        links.iter().enumerate().map(|(n, terms)| (n as u8, *terms)).collect();
    ask(&owned(), links.len() as u8, &chain(&links), at(NOW_S))
}

#[test]
fn the_owner_needs_no_grant() {
    let permit = ask(&owned(), OWNER, &[], WallTime::default()).unwrap();
    assert!(permit.is_owner() && permit.allows("anything") && !permit.is_fresh());
    assert_eq!((permit.rights(), permit.expires_s()), (Rights::ALL, None));
    assert_eq!(ask(&owned(), OWNER, &[1, 2, 3], at(0)), Ok(permit), "a broker adds nothing");
    assert_eq!(ask(&owned(), 1, &[], at(0)), Err(GrantError::NoGrant));
    assert_eq!(ask(&owned(), 1, &[0x80], at(0)), Err(GrantError::NoGrant));
    assert_eq!(ask(&TrustState::new(), OWNER, &[], at(0)), Err(GrantError::Unclaimed));
}

#[test]
fn a_chain_of_either_kind_of_key() {
    let services = ServiceList::of(&["ssh", "web"]).unwrap();
    let web = ServiceList::of(&["web"]).unwrap();
    let first = Terms { services: services.services(), ..terms(1) };
    let second = Terms { services: web.services(), rights: USE, depth: 0, ..terms(2) };
    let permit = ask_for(&[first]).unwrap();
    assert!(permit.allows("ssh") && permit.allows("web") && !permit.allows("vnc"));
    let permit = ask_for(&[first, second]).unwrap();
    assert!(permit.allows("web") && !permit.allows("ssh") && !permit.is_owner());
    assert_eq!(permit.rights(), USE);
    assert_eq!(permit.services(), web.services());
    assert!(permit.grants().eq(&[GrantId([1; 16]), GrantId([2; 16])]));
    let managing = Terms { rights: Rights::MANAGE, ..terms(1) };
    assert!(!ask_for(&[managing]).unwrap().allows("web"), "to manage is not to use");
}

#[test]
fn a_chain_leads_from_the_owner_to_the_peer() {
    let is = |links: &[(u8, Terms<'_>)], peer: u8, expected: Result<(), GrantError>| {
        assert_eq!(ask(&owned(), peer, &chain(links), at(NOW_S)).map(|_| ()), expected);
    };
    let second = Terms { depth: 0, ..terms(2) };
    is(&[(0, terms(1)), (1, second)], 2, Ok(()));
    is(&[(1, second), (0, terms(1))], 1, Err(GrantError::NotOwner));
    is(&[(1, second)], 2, Err(GrantError::NotOwner));
    is(&[(0, terms(1)), (0, second)], 2, Err(GrantError::Broken));
    is(&[(0, terms(1)), (3, second)], 2, Err(GrantError::Broken));
    is(&[(0, terms(1)), (1, second)], 3, Err(GrantError::Subject));
    is(&[(0, terms(1)), (1, second)], 1, Err(GrantError::Subject));
    is(&[(2, terms(2))], 2, Err(GrantError::NotOwner));
}

#[test]
fn a_chain_is_for_one_device_and_one_ownership() {
    let other = Terms { device: PublicKey([0xde; 32]), ..terms(1) };
    assert_eq!(ask_for(&[other]), Err(GrantError::Device));
    for epoch in [EPOCH - 1, EPOCH + 1] {
        assert_eq!(ask_for(&[Terms { epoch, ..terms(1) }]), Err(GrantError::Epoch));
        let second = Terms { epoch, depth: 0, ..terms(2) };
        assert_eq!(ask_for(&[terms(1), second]), Err(GrantError::Epoch));
    }
}

#[test]
fn a_link_only_narrows() {
    let web = ServiceList::of(&["web"]).unwrap();
    let first = Terms {
        services: web.services(),
        rights: USE.and(SHARE),
        depth: 1,
        not_before_s: Some(NOW_S - 10),
        expires_s: Some(NOW_S + 10),
        must_be_fresh: false,
        ..terms(1)
    };
    let second = Terms { depth: 0, subject: name(2), id: GrantId([2; 16]), ..first };
    let is = |second: Terms<'_>, expected: Result<(), GrantError>| {
        assert_eq!(ask_for(&[first, second]).map(|_| ()), expected);
    };
    is(second, Ok(()));
    is(Terms { not_before_s: Some(NOW_S), expires_s: Some(NOW_S + 1), ..second }, Ok(()));
    is(Terms { services: Services::ALL, ..second }, Err(GrantError::MoreServices));
    let vnc = ServiceList::of(&["vnc"]).unwrap();
    is(Terms { services: vnc.services(), ..second }, Err(GrantError::MoreServices));
    is(Terms { rights: Rights::ALL, ..second }, Err(GrantError::MoreRights));
    is(Terms { rights: Rights::MANAGE, ..second }, Err(GrantError::MoreRights));
    is(Terms { depth: 1, ..second }, Err(GrantError::MoreDepth));
    is(Terms { not_before_s: Some(NOW_S - 11), ..second }, Err(GrantError::MoreTime));
    is(Terms { not_before_s: None, ..second }, Err(GrantError::MoreTime));
    is(Terms { expires_s: Some(NOW_S + 11), ..second }, Err(GrantError::MoreTime));
    is(Terms { expires_s: None, ..second }, Err(GrantError::MoreTime));
    let third = Terms { depth: 0, ..terms(3) };
    assert_eq!(ask_for(&[terms(1), second, third]), Err(GrantError::MayNotShare), "depth 0");
    let may_not = Terms { rights: USE, ..terms(1) };
    assert_eq!(ask_for(&[may_not, third]).err(), Some(GrantError::MayNotShare));
    let fresh = Terms { must_be_fresh: true, ..terms(1) };
    assert_eq!(ask_for(&[fresh, Terms { depth: 0, ..terms(2) }]), Err(GrantError::LessFresh));
}

#[test]
fn limits_of_a_chain() {
    // Where it ends is inside of a statement.
    let truncated = GrantError::from(StatementError::from(CborError::Truncated));
    let link = |n: u8| Terms { depth: 4 - n, ..terms(n) };
    let links = [1, 2, 3, 4].map(link);
    assert!(ask_for(&links).is_ok());
    let four = chain(&[0, 1, 2, 3].map(|n| (n, link(n + 1))));
    let fifth = Terms { depth: 0, ..terms(5) }.sign(key(4)).unwrap();
    assert_eq!(append_grant(&four, &fifth), Err(GrantError::TooMany));
    let five = [&[0x85], &four[1..], &fifth].concat();
    assert_eq!(ask(&owned(), 5, &five, at(NOW_S)), Err(GrantError::TooMany));
    let huge = [&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &four[1..]].concat();
    assert_eq!(ask(&owned(), 4, &huge, at(NOW_S)), Err(GrantError::TooMany));
    assert_eq!(ask(&owned(), 4, &four[..four.len() - 1], at(NOW_S)), Err(truncated));
    let trailing = [&four[..], &[0]].concat();
    assert_eq!(ask(&owned(), 4, &trailing, at(NOW_S)), Err(CborError::Trailing.into()));
    assert_eq!(ask(&owned(), 4, &[0x83], at(NOW_S)), Err(truncated));
    let short = [&[0x83], &four[1..]].concat();
    assert_eq!(ask(&owned(), 4, &short, at(NOW_S)), Err(CborError::Trailing.into()));
}

#[test]
fn bytes_of_a_chain_at_and_over_the_limit() {
    let names: Vec<String> = (10..26).map(|n| format!("{n}{}", "x".repeat(34))).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let last = ServiceList::of(&names).unwrap();
    let filling = "z".repeat(60);
    let mut chain_of = |fill: usize| {
        names.push(&filling[..fill]);
        let middle = ServiceList::of(&names).unwrap();
        names.pop();
        let second = Terms { depth: 2, services: middle.services(), ..terms(2) };
        let third = Terms { depth: 1, services: last.services(), ..terms(3) };
        let grants = [(0, terms(1)), (1, second), (2, third)]
            .map(|(issuer, terms)| terms.sign(key(issuer)).unwrap());
        [&[0x83][..], &grants.concat()].concat()
    };
    let fill = (30..60).find(|fill| chain_of(*fill).len() == CHAIN_LEN_MAX).unwrap();
    assert!(ask(&owned(), 3, &chain_of(fill), at(NOW_S)).is_ok());
    let over = chain_of(fill + 1);
    assert_eq!(ask(&owned(), 3, &over, at(NOW_S)), Err(GrantError::TooLong));
    assert_eq!(decode_chain(&over).err(), Some(GrantError::TooLong));
}

#[test]
fn a_wrong_signature_anywhere() {
    let links = [(0, terms(1)), (1, Terms { depth: 1, ..terms(2) })];
    let good = chain(&links);
    let second_at = good.len() - links[1].1.sign(key(1)).unwrap().len();
    for last in [second_at - 1, good.len() - 1] {
        let mut forged = good.clone();
        forged[last] ^= 1;
        let wrong = StatementError::Signature;
        assert_eq!(ask(&owned(), 2, &forged, at(NOW_S)), Err(wrong.into()));
    }
}

#[test]
fn time() {
    let terms = Terms { not_before_s: Some(100), expires_s: Some(200), ..terms(1) };
    let one = chain(&[(OWNER, terms)]);
    let ask_at = |state: &TrustState, unix_s: Option<u64>| {
        ask(state, 1, &one, WallTime { unix_s, fresh: None }).map(|_| ())
    };
    assert_eq!(ask_at(&owned(), Some(99)), Err(GrantError::NotYetValid));
    assert_eq!(ask_at(&owned(), Some(100)), Ok(()));
    assert_eq!(ask_at(&owned(), Some(199)), Ok(()));
    assert_eq!(ask_at(&owned(), Some(200)), Err(GrantError::Expired));
    assert_eq!(ask_at(&owned(), None), Err(GrantError::TimeUnknown));
    let only = |not_before_s, expires_s| {
        let one = chain(&[(OWNER, Terms { not_before_s, expires_s, ..terms })]);
        ask(&owned(), 1, &one, WallTime::default()).map(|_| ())
    };
    assert_eq!(only(Some(1), None), Err(GrantError::TimeUnknown));
    assert_eq!(only(None, Some(u64::MAX)), Err(GrantError::TimeUnknown));
    assert_eq!(only(None, None), Ok(()), "without a limit no time is needed");
    assert_eq!(only(Some(0), None), Ok(()), "that has passed at any time");
}

#[test]
fn an_owners_list_tells_that_it_is_late() {
    // NOW_S is when the list was made.
    let state = revoked(Revocations { number: 1, ..Revocations::default() });
    let with = |not_before_s, expires_s| Terms { not_before_s, expires_s, ..terms(1) };
    let is = |terms: Terms<'_>, unix_s: Option<u64>, expected: Result<(), GrantError>| {
        let chain = chain(&[(OWNER, terms)]);
        let permit = ask(&state, 1, &chain, WallTime { unix_s, fresh: None });
        assert_eq!(permit.map(|_| ()), expected);
    };
    is(with(None, Some(NOW_S)), None, Err(GrantError::Expired));
    is(with(None, Some(NOW_S)), Some(5), Err(GrantError::Expired));
    is(with(None, Some(NOW_S + 1)), None, Err(GrantError::TimeUnknown));
    is(with(None, Some(NOW_S + 1)), Some(5), Ok(()));
    is(with(Some(NOW_S), None), None, Ok(()));
    is(with(Some(NOW_S + 1), None), Some(5), Err(GrantError::NotYetValid));
}

#[test]
fn what_must_be_fresh() {
    let one = chain(&[(OWNER, Terms { must_be_fresh: true, ..terms(1) })]);
    let state = revoked(Revocations { number: 7, ..Revocations::default() });
    let with = |fresh| {
        let time = WallTime { unix_s: Some(NOW_S), fresh };
        ask(&state, 1, &one, time).map(|permit| permit.is_fresh())
    };
    assert_eq!(with(None), Err(GrantError::NotFresh));
    assert_eq!(with(Some(8)), Err(GrantError::ListMissing));
    assert_eq!(with(Some(7)), Ok(true));
    assert_eq!(with(Some(0)), Ok(true), "a broker may know of less");
    let permit = ask(&state, 1, &chain(&[(OWNER, terms(1))]), at(NOW_S)).unwrap();
    assert!(!permit.is_fresh());
}

#[test]
fn what_was_revoked_is_refused_and_ends() {
    let links = [(OWNER, terms(1)), (1, Terms { depth: 0, issued_s: NOW_S + 5, ..terms(2) })];
    let two = chain(&links);
    let permit = ask(&owned(), 2, &two, at(NOW_S)).unwrap();
    assert_eq!(permit.still_holds(&owned(), at(NOW_S)), Ok(()));
    let base = Revocations { number: 1, ..Revocations::default() };
    let id = |n| Revocations { ids: [GrantId([n; 16])].into(), ..base.clone() };
    let of_key = |n| Revocations { keys: [name(n)].into(), ..base.clone() };
    let floor = |floor_s| Revocations { floor_s, ..base.clone() };
    for (revocations, expected) in [
        (id(1), Err(GrantError::Revoked)),
        (id(2), Err(GrantError::Revoked)),
        (id(3), Ok(())),
        (of_key(1), Err(GrantError::RevokedKey)),
        (of_key(2), Err(GrantError::RevokedKey)),
        (of_key(3), Ok(())),
        (floor(NOW_S + 5), Err(GrantError::BelowFloor)),
        (floor(NOW_S + 1), Err(GrantError::BelowFloor)),
        (floor(NOW_S), Ok(())),
    ] {
        let state = revoked(revocations);
        assert_eq!(ask(&state, 2, &two, at(NOW_S)).map(|_| ()), expected);
        assert_eq!(permit.still_holds(&state, at(NOW_S)), expected);
    }
    let owner = ask(&owned(), OWNER, &[], at(NOW_S)).unwrap();
    assert_eq!(owner.still_holds(&revoked(floor(u64::MAX)), at(NOW_S)), Ok(()));
}

#[test]
fn a_permit_ends_with_its_time_and_its_owner() {
    let one = chain(&[(OWNER, Terms { expires_s: Some(NOW_S + 5), ..terms(1) })]);
    let permit = ask(&owned(), 1, &one, at(NOW_S)).unwrap();
    assert_eq!(permit.expires_s(), Some(NOW_S + 5));
    assert_eq!(permit.still_holds(&owned(), at(NOW_S + 4)), Ok(()));
    assert_eq!(permit.still_holds(&owned(), at(NOW_S + 5)), Err(GrantError::Expired));
    let mut state = owned();
    state.factory_reset();
    let owner = ask(&owned(), OWNER, &[], at(NOW_S)).unwrap();
    for permit in [&permit, &owner] {
        assert_eq!(permit.still_holds(&state, at(NOW_S)), Err(GrantError::Unclaimed));
    }
    assert_eq!(state.accept_owner(name(OWNER)), Ok(EPOCH + 1));
    for permit in [&permit, &owner] {
        assert_eq!(permit.still_holds(&state, at(NOW_S)), Err(GrantError::Epoch));
    }
    assert_eq!(ask(&state, 1, &one, at(NOW_S)), Err(GrantError::Epoch), "nothing comes back");
}

/// A link as chance has it.
#[derive(Clone, Debug)]
struct Link {
    rights: u64,
    depth: u8,
    times: (Option<u64>, Option<u64>),
    must_be_fresh: bool,
    services: Option<Vec<&'static str>>,
}

fn link() -> impl Strategy<Value = Link> {
    let time = |range| proptest::option::weighted(0.3, range);
    let services = proptest::option::of(subsequence(vec!["cam", "ssh", "vnc", "web"], 0..=4));
    let rights = prop_oneof![3 => Just(7u64), 1 => 1..8u64];
    (rights, 0..4u8, (time(0..4u64), time(4..7u64)), proptest::bool::weighted(0.2), services)
        .prop_map(|(rights, depth, times, must_be_fresh, services)| Link {
            rights,
            depth,
            times,
            must_be_fresh,
            services,
        })
}

/// What the rules say of two links, written otherwise than in the code.
fn narrows(outer: &Link, inner: &Link) -> bool {
    let is_within = |inner: &Option<Vec<_>>, outer: &Option<Vec<_>>| match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.iter().all(|name| outer.contains(name)),
    };
    let moments = |link: &Link| {
        let (from, until) = link.times;
        (0..10u64)
            .filter(|s| *s >= from.unwrap_or(0) && *s < until.unwrap_or(10))
            .collect::<Vec<_>>()
    };
    outer.rights & 2 != 0
        && inner.rights & !outer.rights == 0
        && inner.depth < outer.depth
        && is_within(&inner.services, &outer.services)
        && moments(inner).iter().all(|s| moments(outer).contains(s))
        && (inner.must_be_fresh || !outer.must_be_fresh)
}

fn chain_of(links: &[Link]) -> Vec<u8> {
    let lists: Vec<ServiceList> = links
        .iter()
        .map(|link| match &link.services {
            None => ServiceList::all(),
            Some(names) => ServiceList::of(names).unwrap(),
        })
        .collect();
    let links: Vec<(u8, Terms<'_>)> = links
        .iter()
        .zip(&lists)
        .enumerate()
        .map(|(n, (link, list))| {
            let terms = Terms {
                rights: Rights::from_bits(link.rights).unwrap(),
                depth: link.depth,
                not_before_s: link.times.0,
                expires_s: link.times.1,
                must_be_fresh: link.must_be_fresh,
                services: list.services(),
                ..terms(n as u8 + 1)
            };
            (n as u8, terms)
        })
        .collect();
    chain(&links)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A random chain is good if and only if each link narrows, and permits what the last one says.
    #[test]
    fn only_what_narrows_is_permitted(links in proptest::collection::vec(link(), 1..=4)) {
        let chain = chain_of(&links);
        let time = WallTime { unix_s: Some(3), fresh: Some(0) };
        let permit = ask(&owned(), links.len() as u8, &chain, time);
        let is_good = links.windows(2).all(|pair| narrows(&pair[0], &pair[1]));
        prop_assert_eq!(permit.is_ok(), is_good, "{:?}", permit);
        let (Ok(permit), Some(last)) = (permit, links.last()) else { return Ok(()) };
        prop_assert_eq!(u64::from(permit.rights().bits()), last.rights);
        prop_assert_eq!(permit.expires_s(), last.times.1);
        for name in ["cam", "ssh", "vnc", "web", "other"] {
            let is_named = last.services.as_ref().is_none_or(|names| names.contains(&name));
            prop_assert_eq!(permit.allows(name), is_named && last.rights & 1 != 0);
            for link in &links {
                let is_named = link.services.as_ref().is_none_or(|names| names.contains(&name));
                prop_assert!(is_named || !permit.allows(name));
            }
        }
    }

    /// Whatever one byte becomes, the chain is refused.
    #[test]
    fn no_byte_can_be_changed(at_byte: Index, bits in 1..=255u8, count in 1..=4usize) {
        let link = Link {
            rights: 7,
            depth: 3,
            times: (Some(1), Some(5)),
            must_be_fresh: false,
            services: Some(vec!["ssh", "web"]),
        };
        let links: Vec<Link> =
            (0..count).map(|n| Link { depth: 3 - n as u8, ..link.clone() }).collect();
        let mut chain = chain_of(&links);
        prop_assert!(ask(&owned(), count as u8, &chain, at(3)).is_ok());
        let at_byte = at_byte.index(chain.len());
        chain[at_byte] ^= bits;
        prop_assert!(ask(&owned(), count as u8, &chain, at(3)).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_an_error(bytes: Vec<u8>) {
        prop_assert!(ask(&owned(), 1, &bytes, at(3)).is_err());
        prop_assert!(decode_chain(&bytes).is_err());
    }
}
