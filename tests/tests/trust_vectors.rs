//! What owners sign against `tests/vectors/trust.txt`, which another implementation made:
//! `tests/vectors/trust.py`.

use rit_core::base::{PublicKey, Rng, Time};
use rit_core::crypto::{Ed25519Signer, Secret, Signer};
use rit_core::trust::{
    CborError, ClaimError, ClaimSecret, Claiming, CloakError, CloakState, GrantError,
    GrantFormError, Permit, Rights, ServicesError, StatementError, TrustState, WallClock, WallTime,
    append_grant, authorize, decode_chain, sign_claim, sign_cloak, sign_time, sign_transfer,
    verify_claimed,
};
use rit_core::wire::identify::{Identification, Probe};
use rit_tests::vectors::{hex, providers};
use std::collections::BTreeMap;
use std::fs;

const EPOCH: u32 = 3;

/// The values of the file, by section and name.
struct File(BTreeMap<(String, String), String>);

impl File {
    fn read() -> File {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/trust.txt");
        let text = fs::read_to_string(path).expect("the vectors can be read");
        let (mut section, mut values) = (String::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                name.trim_end_matches(']').clone_into(&mut section);
            } else if let Some((name, value)) = line.split_once(" = ") {
                values.insert((section.clone(), name.to_owned()), value.to_owned());
            }
        }
        File(values)
    }

    fn text(&self, section: &str, name: &str) -> &str {
        let key = (section.to_owned(), name.to_owned());
        self.0.get(&key).unwrap_or_else(|| panic!("there is no {name} in [{section}]"))
    }

    fn bytes(&self, section: &str, name: &str) -> Vec<u8> {
        let text = self.text(section, name);
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    fn array<const N: usize>(&self, section: &str, name: &str) -> [u8; N] {
        self.bytes(section, name).try_into().expect("the length is right")
    }

    fn number(&self, section: &str, name: &str) -> u64 {
        self.text(section, &format!("{name} (decimal)")).parse().expect("a number")
    }

    fn key(&self, name: &str) -> PublicKey {
        PublicKey(self.array("keys", &format!("{name}_name")))
    }

    fn signer(&self, name: &str) -> Ed25519Signer {
        Ed25519Signer::from_seed(&self.array("keys", &format!("{name}_private")))
    }

    fn device(&self) -> PublicKey {
        PublicKey(self.array("keys", "device"))
    }

    fn owned(&self) -> TrustState {
        TrustState::owned(self.key("owner"), EPOCH)
    }

    fn now(&self) -> WallTime {
        WallTime { unix_s: Some(self.number("grants", "now")), fresh: None }
    }

    fn ask(&self, chain: &[u8], time: WallTime) -> Result<Permit, GrantError> {
        let (state, device) = (self.owned(), self.device());
        let guest = self.key("guest");
        let [ring, soft] =
            providers().map(|(_, p)| authorize(p, &state, &device, &guest, chain, time));
        assert_eq!(ring, soft);
        ring
    }
}

#[test]
fn grants_and_their_chain() {
    let file = File::read();
    let chain = file.bytes("grants", "chain");
    let grants = decode_chain(&chain).unwrap();
    let [first, second] = &grants[..] else { panic!("two") };
    let made = second.terms.sign(&file.signer("friend")).unwrap();
    assert_eq!(hex(&made), file.text("grants", "second"));
    for (grant, name) in [(first, "owner"), (second, "friend")] {
        assert_eq!(grant.verify(), Ok(()), "{name}");
        for (_, p) in providers() {
            assert_eq!(grant.issuer(p), file.key(name));
        }
    }
    let one = append_grant(&[], &file.bytes("grants", "first")).unwrap();
    assert_eq!(append_grant(&one, &made).map(|two| two == chain), Ok(true));

    let permit = file.ask(&chain, file.now()).unwrap();
    assert!(permit.allows("web") && !permit.allows("ssh"));
    let until = file.number("grants", "now") + 50;
    assert_eq!((permit.rights(), permit.expires_s()), (Rights::USE, Some(until)));
    assert_eq!(file.ask(&chain, WallTime::default()), Err(GrantError::TimeUnknown));

    let fresh = file.bytes("grants", "must_be_fresh");
    assert_eq!(file.ask(&fresh, file.now()), Err(GrantError::NotFresh));
    let time = WallTime { fresh: Some(0), ..file.now() };
    assert!(file.ask(&fresh, time).is_ok_and(|permit| permit.is_fresh()));
}

fn refusals() -> Vec<(&'static str, GrantError)> {
    let form = |error: GrantFormError| GrantError::Form(error);
    let cbor = |error: CborError| form(error.into());
    let statement = |error: StatementError| form(error.into());
    vec![
        ("empty", GrantError::NoGrant),
        ("reordered", GrantError::NotOwner),
        ("without_the_owners", GrantError::NotOwner),
        ("skipped", GrantError::Broken),
        ("for_the_friend", GrantError::Subject),
        ("more_services", GrantError::MoreServices),
        ("all_services", GrantError::MoreServices),
        ("more_rights", GrantError::MoreRights),
        ("more_depth", GrantError::MoreDepth),
        ("more_time", GrantError::MoreTime),
        ("no_end", GrantError::MoreTime),
        ("less_fresh", GrantError::LessFresh),
        ("may_not_share", GrantError::MayNotShare),
        ("no_depth_left", GrantError::MayNotShare),
        ("expired", GrantError::Expired),
        ("not_yet_valid", GrantError::NotYetValid),
        ("other_device", GrantError::Device),
        ("other_epoch", GrantError::Epoch),
        ("five_links", GrantError::TooMany),
        ("too_long", GrantError::TooLong),
        ("truncated", statement(CborError::Truncated.into())),
        ("trailing", cbor(CborError::Trailing)),
        ("duplicate_claim", cbor(CborError::DuplicateKey)),
        ("claims_out_of_order", cbor(CborError::KeyOrder)),
        ("long_number", cbor(CborError::NotShortest)),
        ("indefinite_length", cbor(CborError::Indefinite)),
        ("unknown_claim", form(GrantFormError::UnknownClaim)),
        ("missing_claim", form(GrantFormError::MissingClaim(7))),
        ("services_out_of_order", form(ServicesError::Order.into())),
        ("unsigned_header", statement(StatementError::Unprotected)),
        ("critical_header", statement(StatementError::Critical)),
        ("unknown_header", statement(StatementError::Header)),
        ("another_kind", statement(StatementError::Kind)),
        ("another_algorithm", statement(StatementError::Algorithm)),
        ("eddsa_by_a_point", statement(StatementError::Key)),
        ("es256_by_a_name", statement(StatementError::Key)),
        ("eddsa_by_a_name", statement(StatementError::Signature)),
        ("wrong_signature", statement(StatementError::Signature)),
        ("high_s", statement(StatementError::HighS)),
    ]
}

#[test]
fn chains_that_are_refused() {
    let file = File::read();
    let section = "chains refused to the guest";
    let refusals = refusals();
    for (name, error) in &refusals {
        let chain = file.bytes(section, name);
        assert_eq!(file.ask(&chain, file.now()), Err(*error), "{name}");
    }
    let in_file = file.0.keys().filter(|(in_section, _)| in_section == section).count();
    assert_eq!(in_file, refusals.len());
}

#[test]
fn claims() {
    let file = File::read();
    let (device, nonce) = (file.device(), file.array("claim", "nonce"));
    let secret = ClaimSecret::new(file.array("claim", "secret"));
    assert_eq!(*secret.to_text(), file.text("claim", "secret (text)"));
    let maker = Secret::new(file.array("claim", "maker_secret"));
    for (_, p) in providers() {
        let derived = ClaimSecret::derive(p, &maker, &device);
        assert_eq!(hex(derived.as_bytes()), file.text("claim", "derived_secret"));
        assert_eq!(*derived.to_text(), file.text("claim", "derived_secret (text)"));
        let claim = sign_claim(p, &device, &nonce, &secret, &file.signer("friend")).unwrap();
        assert_eq!(hex(&claim), file.text("claim", "claim_by_friend"));
        for owner in ["owner", "friend"] {
            let claimed = file.bytes("claim", &format!("claimed_by_{owner}"));
            let owner_key = file.key(owner);
            let answer = verify_claimed(p, &device, &owner_key, &nonce, &secret, &claimed);
            assert_eq!(answer, Ok(1), "{owner}");
            // The device chooses the nonce, so the file's claims are for one that it did not.
            let (mut claiming, mut state) = (Claiming::new(), TrustState::new());
            let mut rng = Rng::from_seed([0; 32]);
            claiming.ask(&state, &mut rng).unwrap();
            let claim = file.bytes("claim", &format!("claim_by_{owner}"));
            let refused = claiming.accept(p, &mut state, &device, [&secret], &claim);
            assert_eq!(refused, Err(ClaimError::Nonce), "{owner}");
        }
    }
}

#[test]
fn ownership_and_revocation() {
    let file = File::read();
    let (device, owner, friend) = (file.device(), file.key("owner"), file.key("friend"));
    let made = sign_transfer(&device, EPOCH + 1, &owner, &file.signer("friend")).unwrap();
    assert_eq!(hex(&made), file.text("transfer", "transfer_by_friend"));
    for (_, p) in providers() {
        let new = TrustState::new().encode(p);
        assert_eq!(hex(&new), file.text("revocation", "state_of_a_new_device"));
        let mut state = file.owned();
        let list = file.bytes("revocation", "list_by_owner");
        assert_eq!(state.revoke(p, &device, &list), Ok(true));
        assert_eq!(hex(&state.encode(p)), file.text("revocation", "state_with_list"));
        let stored = file.bytes("revocation", "state_with_list");
        assert_eq!(TrustState::decode(p, &stored).as_ref(), Ok(&state));
        let chain = file.bytes("grants", "chain");
        let guest = authorize(p, &state, &device, &file.key("guest"), &chain, file.now());
        assert_eq!(guest, Err(GrantError::Revoked));
        let transfer = |name| file.bytes("transfer", name);
        let by_owner = state.transfer(p, &device, &transfer("transfer_by_owner"));
        assert_eq!((by_owner, state.owner()), (Ok(EPOCH + 1), Some(&friend)));
        let list = file.bytes("revocation", "list_by_friend");
        assert_eq!(state.revoke(p, &device, &list), Ok(true));
        let issued_s = file.number("grants", "now");
        let made = state.revoked().sign(&device, EPOCH + 1, issued_s, &file.signer("friend"));
        assert_eq!(made, Ok(list));
        let by_friend = state.transfer(p, &device, &transfer("transfer_by_friend"));
        assert_eq!((by_friend, state.owner()), (Ok(EPOCH + 2), Some(&owner)));
    }
}

#[test]
fn cloak() {
    let file = File::read();
    let (device, now_s) = (file.device(), file.number("grants", "now"));
    let made = sign_cloak(&device, EPOCH + 1, 1, now_s, 86_400, &file.signer("friend")).unwrap();
    assert_eq!(hex(&made), file.text("cloak", "off_by_friend"));
    for (_, p) in providers() {
        let state = file.owned();
        let take = |last: &CloakState, name| {
            let statement = file.bytes("cloak", name);
            let taken = last.take(p, &state, &device, &statement, file.now());
            taken.map(|(said, taken)| (said.number, said.issued_s, said.for_s, taken))
        };
        let (number, issued_s, for_s, taken) = take(&CloakState::new(), "off_by_owner").unwrap();
        assert_eq!((number, issued_s, for_s), (9, now_s, 600));
        assert_eq!(hex(&taken.encode(p)), file.text("cloak", "state"));
        assert_eq!(CloakState::decode(p, &file.bytes("cloak", "state")), Ok(taken));
        assert_eq!(take(&taken, "off_by_owner"), Err(CloakError::Older));
        assert_eq!(take(&taken, "on_by_owner").map(|on| (on.0, on.2)), Ok((10, 0)));
        assert_eq!(take(&taken, "too_long_by_owner"), Err(CloakError::TooLong));
        assert_eq!(take(&taken, "off_by_friend"), Err(CloakError::NotOwner));
    }
    let probe = Probe::parse(&file.bytes("cloak", "probe")).unwrap();
    assert_eq!(hex(&probe.encode()), file.text("cloak", "probe"));
    let answer = Identification::new(&probe, device, "product 1");
    assert_eq!(Identification::parse(&file.bytes("cloak", "answer")), Ok(answer));
}

#[test]
fn time() {
    let file = File::read();
    let (device, nonce) = (file.device(), file.array("time", "nonce"));
    let now_s = file.number("grants", "now");
    let broker = file.signer("broker");
    let made = sign_time(&device, &nonce, now_s, 7, &broker).unwrap();
    assert_eq!(hex(&made), file.text("time", "time"));
    // Of a device whose generator gives another nonce.
    let mut clock = WallClock::new();
    let nonce = clock.ask(&mut Rng::from_seed([0; 32]), Time::ZERO);
    let answer = sign_time(&device, &nonce, now_s, 7, &broker).unwrap();
    for (_, p) in providers() {
        let mut clock = clock.clone();
        let heard = clock.hear(p, &broker.public_key(), &device, &answer, Time::ZERO);
        assert_eq!(heard, Ok(()));
        let time = clock.at(Time::ZERO);
        assert_eq!(time, WallTime { unix_s: Some(now_s), fresh: Some(7) });
    }
}
