//! What a gateway says of itself in its LAN: records of DNS-SD (RFC 6763) and their packets.
//!
//! Owns names, records, and which of them answer a question. Does not own when anything is said
//! (`responder`). Invariant: of the broker's key no more is told than the tag, 40 of its 256 bits,
//! by which a member recognises the gateway that it was told of, and with which nobody can call it.

use std::net::IpAddr;

use rit_core::base::PublicKey;
use rit_core::wire::text::key_to_text;
use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord};

/// The service type.
pub(crate) const SERVICE: &str = "_rit._udp.local";
/// By which all types are listed (RFC 6763 §9).
const TYPES: &str = "_services._dns-sd._udp.local";
/// Characters of the key's text that are told.
const TAG_LEN: usize = 8;
/// RFC 6762 §10: of what names a host, and of all else.
const HOST_TTL_S: u32 = 120;
const OTHER_TTL_S: u32 = 4500;
/// RFC 6762 §6.7.
const LEGACY_TTL_S: u32 = 10;
/// Addresses that are told, on one interface.
pub(crate) const ADDRESSES_MAX: usize = 8;

/// To whom an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All who listen.
    Multicast,
    /// One who listens to multicast too and asked for this.
    Unicast,
    /// A one-shot question, of somebody who knows no multicast DNS.
    Legacy,
}

/// The gateway as one interface has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Records {
    tag: String,
    /// Behind the name, where another has the plain one.
    suffix: Option<u16>,
    port: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Records {
    pub(crate) fn new(key: &PublicKey, port: u16, addresses: Vec<IpAddr>) -> Self {
        let tag = key_to_text(key).chars().take(TAG_LEN).collect();
        Records { tag, suffix: None, port, addresses }
    }

    pub(crate) fn rename(&mut self, suffix: u16) {
        self.suffix = Some(suffix);
    }

    fn label(&self) -> String {
        let suffix = self.suffix.map(|suffix| format!("-{suffix}")).unwrap_or_default();
        format!("rit-{}{suffix}", self.tag)
    }

    pub(crate) fn instance(&self) -> String {
        format!("{}.{SERVICE}", self.label())
    }

    pub(crate) fn host(&self) -> String {
        format!("{}.local", self.label())
    }

    /// All of them, those that only this gateway has behind the two that it shares.
    fn all(&self) -> Vec<ResourceRecord<'static>> {
        let (instance, host) = (name(&self.instance()), name(&self.host()));
        let key = format!("k={}", self.tag);
        let txt = TXT::new().with_string("v=1").and_then(|txt| txt.with_string(&key));
        let txt = txt.map_or_else(|_| TXT::new(), TXT::into_owned); // both are short
        let srv = SRV { priority: 0, weight: 0, port: self.port, target: host.clone() };
        let other = |name: &Name<'static>, data| {
            ResourceRecord::new(name.clone(), CLASS::IN, OTHER_TTL_S, data)
        };
        let mut all = vec![
            other(&name(TYPES), RData::PTR(PTR(name(SERVICE)))),
            other(&name(SERVICE), RData::PTR(PTR(instance.clone()))),
            other(&instance, RData::TXT(txt)),
            ResourceRecord::new(instance, CLASS::IN, HOST_TTL_S, RData::SRV(srv)),
        ];
        for address in self.addresses.iter().take(ADDRESSES_MAX) {
            let data = match address {
                IpAddr::V4(v4) => RData::A(A { address: (*v4).into() }),
                IpAddr::V6(v6) => RData::AAAA(AAAA { address: (*v6).into() }),
            };
            all.push(ResourceRecord::new(host.clone(), CLASS::IN, HOST_TTL_S, data));
        }
        all
    }

    /// The answer to a query, if there is anything to say to it that the asker does not know.
    pub(crate) fn answer(&self, query: &Packet<'_>, form: Form) -> Option<Vec<u8>> {
        let is_asked = |record: &ResourceRecord<'_>| {
            query.questions.iter().any(|question| is_answered(question, record))
        };
        let is_known = |record: &ResourceRecord<'_>| {
            // RFC 6762 §7.1: with half of its time left at least.
            query.answers.iter().any(|known| is_same(known, record) && known.ttl >= record.ttl / 2)
        };
        let (asked, others): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|record| is_asked(record));
        let answers: Vec<_> = asked.into_iter().filter(|record| !is_known(record)).collect();
        if answers.is_empty() {
            return None;
        }
        let mut packet = reply(if form == Form::Legacy { query.id() } else { 0 });
        if form == Form::Legacy {
            packet.questions = query.questions.clone();
        }
        // What whoever asked for the type will ask for next.
        let is_type = answers.iter().any(|record| matches!(record.rdata, RData::PTR(_)));
        let is_more = |record: &ResourceRecord<'_>| match record.rdata {
            RData::PTR(_) => false,
            RData::A(_) | RData::AAAA(_) => true,
            _ => is_type,
        };
        packet.answers = answers.into_iter().map(|record| formed(record, form)).collect();
        let more = others.into_iter().filter(is_more);
        packet.additional_records = more.map(|record| formed(record, form)).collect();
        packet.build_bytes_vec_compressed().ok()
    }

    /// What is said unasked, to all: that it is there, or that it is gone.
    pub(crate) fn announcement(&self, is_goodbye: bool) -> Vec<u8> {
        let mut packet = reply(0);
        let all = self.all().into_iter().skip(1); // others may be of the same type still
        packet.answers = all.map(|record| formed(record, Form::Multicast)).collect();
        if is_goodbye {
            packet.answers.iter_mut().for_each(|record| record.ttl = 0);
        }
        packet.build_bytes_vec_compressed().unwrap_or_default()
    }

    /// The question whether anybody has the names already, with what they shall stand for (RFC 6762
    /// §8.1).
    pub(crate) fn probe(&self) -> Vec<u8> {
        let mut packet = Packet::new_query(0);
        for text in [self.instance(), self.host()] {
            packet.questions.push(Question::new(name(&text), QTYPE::ANY, CLASS::IN.into(), true));
        }
        packet.name_servers = self.all().into_iter().skip(2).collect();
        packet.build_bytes_vec_compressed().unwrap_or_default()
    }

    /// Whether somebody says of a name of ours what is not so.
    pub(crate) fn is_disputed_by(&self, answer: &Packet<'_>) -> bool {
        let own = self.all();
        let names = [lower(&name(&self.instance())), lower(&name(&self.host()))];
        answer.answers.iter().chain(&answer.additional_records).any(|record| {
            record.ttl > 0
                && names.contains(&lower(&record.name))
                && !own.iter().any(|ours| is_same(ours, record))
        })
    }
}

fn reply(id: u16) -> Packet<'static> {
    let mut packet = Packet::new_reply(id);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet
}

/// One of the names here, which are well formed.
fn name(text: &str) -> Name<'static> {
    Name::new_unchecked(text).into_owned()
}

fn lower(name: &Name<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.as_bytes() {
        octets.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        octets.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    octets
}

fn is_same(a: &ResourceRecord<'_>, b: &ResourceRecord<'_>) -> bool {
    let is_same_data = match (&a.rdata, &b.rdata) {
        (RData::PTR(PTR(a)), RData::PTR(PTR(b))) => lower(a) == lower(b),
        (RData::SRV(a), RData::SRV(b)) => a.port == b.port && lower(&a.target) == lower(&b.target),
        (a, b) => a == b,
    };
    a.class == b.class && is_same_data && lower(&a.name) == lower(&b.name)
}

fn is_answered(question: &Question<'_>, record: &ResourceRecord<'_>) -> bool {
    let is_internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    let is_type = match question.qtype {
        QTYPE::ANY => true,
        QTYPE::TYPE(wanted) => wanted == record.rdata.type_code(),
        _ => false,
    };
    is_internet && is_type && lower(&question.qname) == lower(&record.name)
}

/// A record as it goes out: of those that nobody else has, others' caches drop what they had
/// before.
fn formed(mut record: ResourceRecord<'static>, form: Form) -> ResourceRecord<'static> {
    if form == Form::Legacy {
        record.ttl = record.ttl.min(LEGACY_TTL_S);
        return record;
    }
    let is_shared = matches!(record.rdata, RData::PTR(_));
    record.with_cache_flush(!is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::TYPE;

    pub(crate) fn records() -> Records {
        let addresses = ["192.168.1.1", "fe80::1"].map(|text| text.parse().unwrap());
        Records::new(&PublicKey([7; 32]), 7480, addresses.to_vec())
    }

    fn query(text: &str, kind: QTYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(9);
        packet.questions.push(Question::new(name(text), kind, CLASS::IN.into(), false));
        packet.build_bytes_vec().unwrap()
    }

    fn asked(text: &str, kind: QTYPE, form: Form) -> Option<(u16, Vec<TYPE>, Vec<TYPE>)> {
        let query = query(text, kind);
        let bytes = records().answer(&Packet::parse(&query).unwrap(), form)?;
        assert!(bytes.len() < 1200, "it fits into a packet anywhere");
        let answer = Packet::parse(&bytes).unwrap();
        assert!(answer.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
        assert_eq!(answer.questions.len(), usize::from(form == Form::Legacy));
        for record in answer.answers.iter().chain(&answer.additional_records) {
            let is_shared = matches!(record.rdata, RData::PTR(_));
            assert_eq!(record.cache_flush, form != Form::Legacy && !is_shared);
            assert!(record.ttl <= if form == Form::Legacy { 10 } else { 4500 } && record.ttl > 0);
        }
        let types = |all: &[ResourceRecord<'_>]| all.iter().map(|r| r.rdata.type_code()).collect();
        Some((answer.id(), types(&answer.answers), types(&answer.additional_records)))
    }

    #[test]
    fn whoever_asks_for_the_type_gets_all() {
        let all = vec![TYPE::TXT, TYPE::SRV, TYPE::A, TYPE::AAAA];
        let ptr = QTYPE::TYPE(TYPE::PTR);
        for text in [SERVICE, "_RIT._udp.LOCAL"] {
            let got = asked(text, ptr, Form::Legacy);
            assert_eq!(got, Some((9, vec![TYPE::PTR], all.clone())), "{text}");
        }
        assert_eq!(asked(SERVICE, ptr, Form::Multicast), Some((0, vec![TYPE::PTR], all)));
        let instance = records().instance();
        let got = asked(&instance, QTYPE::TYPE(TYPE::SRV), Form::Unicast);
        assert_eq!(got, Some((0, vec![TYPE::SRV], vec![TYPE::A, TYPE::AAAA])));
        let got = asked(&instance, QTYPE::ANY, Form::Legacy).unwrap();
        assert_eq!(got.1, [TYPE::TXT, TYPE::SRV]);
        let got = asked(&records().host(), QTYPE::TYPE(TYPE::A), Form::Multicast);
        assert_eq!(got, Some((0, vec![TYPE::A], vec![TYPE::AAAA])));
        assert_eq!(asked(TYPES, ptr, Form::Multicast).unwrap().1, [TYPE::PTR]);
    }

    #[test]
    fn what_is_not_here_has_no_answer() {
        let (instance, ptr) = (records().instance(), QTYPE::TYPE(TYPE::PTR));
        for (text, kind) in [
            ("_http._tcp.local", ptr),
            ("local", QTYPE::ANY),
            (SERVICE, QTYPE::TYPE(TYPE::A)),
            (&instance, QTYPE::TYPE(TYPE::AAAA)),
            ("rit-other._rit._udp.local", QTYPE::ANY),
        ] {
            assert_eq!(asked(text, kind, Form::Multicast), None, "{text}");
        }
    }

    #[test]
    fn of_the_key_no_more_is_told_than_the_tag() {
        let text = key_to_text(&PublicKey([7; 32]));
        let all = [records().announcement(false), records().probe(), records().announcement(true)];
        for bytes in all {
            let has = |part: &str| bytes.windows(part.len()).any(|some| some == part.as_bytes());
            assert!(has(&text[..TAG_LEN]) && !has(&text[..=TAG_LEN]));
        }
    }

    #[test]
    fn what_is_known_is_not_repeated() {
        let bytes = records().announcement(false);
        let known = Packet::parse(&bytes).unwrap();
        let query = query(SERVICE, QTYPE::TYPE(TYPE::PTR));
        let mut query = Packet::parse(&query).unwrap();
        query.answers.push(known.answers[0].clone());
        assert_eq!(records().answer(&query, Form::Multicast), None);
        query.answers[0].ttl = OTHER_TTL_S / 2 - 1;
        assert!(records().answer(&query, Form::Multicast).is_some());
    }

    #[test]
    fn a_name_is_disputed_by_other_words_for_it_alone() {
        let (ours, mut others) = (records(), records());
        let bytes = ours.announcement(false);
        assert!(!ours.is_disputed_by(&Packet::parse(&bytes).unwrap()));
        others.port += 1;
        let bytes = others.announcement(false);
        assert!(ours.is_disputed_by(&Packet::parse(&bytes).unwrap()));
        let bytes = others.announcement(true);
        assert!(!ours.is_disputed_by(&Packet::parse(&bytes).unwrap()), "it is gone");
        others.rename(77);
        let bytes = others.announcement(false);
        assert!(!ours.is_disputed_by(&Packet::parse(&bytes).unwrap()));
        assert!(others.instance().contains("-77."));
    }
}
