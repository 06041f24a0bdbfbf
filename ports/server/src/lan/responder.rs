//! When a gateway speaks in its LAN: one interface's part of multicast DNS (RFC 6762).
//!
//! Owns probing for its names, announcing them, answers and their pace, and the way out where
//! others have the names. Does not own sockets (`lines`) nor records. Sans-I/O: time, chance and
//! datagrams are handed in. Invariants: however many ask, one datagram a second goes to all, fifty
//! to single askers and three to each of them; whoever disputes the names delays the first word by
//! seconds and no more, for members know a gateway by its tag and not by its name.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rit_core::base::Rng;
use simple_dns::{OPCODE, Packet, PacketFlag, Question, RCODE};

use super::records::{Form, Records};

/// RFC 6762 §8.1.
const PROBES: u8 = 3;
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// RFC 6762 §8.3.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// RFC 6762 §6: what others may answer too is answered with a delay, in milliseconds, and what goes
/// to all once in a second.
const DELAY_MS: std::ops::Range<u64> = 20..120;
const MULTICAST_EVERY: Duration = Duration::from_secs(1);
/// Answers to single askers: so many at once, and one more each so often.
const UNICAST_BURST: u32 = 50;
const UNICAST_EVERY: Duration = Duration::from_millis(20);
/// To each of them in a second, so that who asks without end is alone with that.
const EACH_MAX: u32 = 3;
const EACH_EVERY: Duration = Duration::from_secs(1);
/// Askers who are told apart.
const ASKERS_MAX: usize = 64;
/// The largest datagram that is looked at, and the most records: names may point to each other, and
/// to follow them takes longer the more there are.
const DATAGRAM_MAX: usize = 1500;
const RECORDS_MAX: usize = 64;
/// In one query; more are nobody's who means well.
const QUESTIONS_MAX: usize = 16;
/// After so many disputed names the next is taken without asking.
const PROBED_NAMES: u32 = 3;
/// How often a name that is in use is given up at the most.
const RENAME_EVERY: Duration = Duration::from_secs(60);
/// The port of all who know multicast DNS.
pub(crate) const PORT: u16 = 5353;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Probing { sent: u8 },
    Announcing { sent: u8 },
    Serving,
}

/// One interface's.
pub(crate) struct Responder {
    records: Records,
    rng: Rng,
    phase: Phase,
    /// Of the phase.
    due: Option<Instant>,
    renames: u32,
    renamed: Option<Instant>,
    /// What is to be said to all, and when.
    pending: Option<(Instant, Vec<u8>)>,
    multicast: Option<Instant>,
    unicast_left: u32,
    unicast_filled: Instant,
    /// Who was answered lately: since when it is counted, and how often. The newest last.
    askers: VecDeque<(IpAddr, Instant, u32)>,
}

impl Responder {
    pub(crate) fn new(records: Records, mut rng: Rng, now: Instant) -> Self {
        // RFC 6762 §8.1: so that machines that were switched on together do not ask together.
        let first = now + Duration::from_millis(rng.below(250));
        Responder {
            records,
            rng,
            phase: Phase::Probing { sent: 0 },
            due: Some(first),
            renames: 0,
            renamed: None,
            pending: None,
            multicast: None,
            unicast_left: UNICAST_BURST,
            unicast_filled: now,
            askers: VecDeque::new(),
        }
    }

    /// Other records from now on, which are announced.
    pub(crate) fn set_records(&mut self, mut records: Records, now: Instant) {
        if let (Some(_), Phase::Announcing { .. } | Phase::Serving) = (self.renamed, self.phase) {
            records.rename(self.random_suffix());
        }
        self.records = records;
        self.phase = Phase::Announcing { sent: 0 };
        self.due = Some(now);
    }

    /// When there is something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let pending = self.pending.as_ref().map(|(due, _)| *due);
        [pending, self.due].into_iter().flatten().min()
    }

    /// What is to be said to all now, if anything.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some((due, _)) = &self.pending
            && *due <= now
        {
            self.multicast = Some(now);
            return self.pending.take().map(|(_, bytes)| bytes);
        }
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        match self.phase {
            Phase::Probing { sent } if sent < PROBES => {
                self.phase = Phase::Probing { sent: sent + 1 };
                self.due = Some(now + PROBE_EVERY);
                Some(self.records.probe())
            }
            Phase::Probing { .. } => {
                self.phase = Phase::Announcing { sent: 0 };
                self.poll(now)
            }
            Phase::Announcing { sent } => {
                let is_last = sent + 1 >= ANNOUNCEMENTS;
                self.phase =
                    if is_last { Phase::Serving } else { Phase::Announcing { sent: sent + 1 } };
                self.due = if is_last { None } else { Some(now + ANNOUNCE_EVERY) };
                self.multicast = Some(now);
                Some(self.records.announcement(false))
            }
            Phase::Serving => {
                self.due = None;
                None
            }
        }
    }

    /// Takes a datagram of somebody on the interface's network, of this machine perhaps; what is to
    /// be answered to them alone, at once.
    pub(crate) fn handle(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        is_own: bool,
        now: Instant,
    ) -> Option<Vec<u8>> {
        if !is_bounded(datagram) {
            return None;
        }
        let packet = Packet::parse(datagram).ok()?;
        if packet.opcode() != OPCODE::StandardQuery || packet.rcode() != RCODE::NoError {
            return None;
        }
        if packet.has_flags(PacketFlag::RESPONSE) {
            // RFC 6762 §6: answers come from that port.
            if from.port() == PORT && !is_own && self.records.is_disputed_by(&packet) {
                self.on_dispute(now);
            }
            return None;
        }
        // RFC 6762 §8.1: nothing is said of names that somebody may have.
        if matches!(self.phase, Phase::Probing { .. }) || packet.questions.len() > QUESTIONS_MAX {
            return None;
        }
        let is_alone = |question: &Question<'_>| question.unicast_response;
        let form = match from.port() {
            PORT if packet.questions.iter().all(is_alone) => Form::Unicast,
            PORT => Form::Multicast,
            _ => Form::Legacy,
        };
        if form == Form::Multicast {
            if self.pending.is_none() {
                let bytes = self.records.answer(&packet, form)?;
                self.pending = Some((self.multicast_time(now), bytes));
            } else if self.records.answer(&packet, form).is_some() {
                // Two ask different things: both get all.
                let bytes = self.records.announcement(false);
                self.pending = self.pending.take().map(|(due, _)| (due, bytes));
            }
            return None;
        }
        let bytes = self.records.answer(&packet, form)?;
        (self.may_answer_to(from.ip(), now) && self.may_answer(now)).then_some(bytes)
    }

    /// The last word.
    pub(crate) fn goodbye(&self) -> Option<Vec<u8>> {
        let has_spoken = !matches!(self.phase, Phase::Probing { .. });
        has_spoken.then(|| self.records.announcement(true))
    }

    fn multicast_time(&mut self, now: Instant) -> Instant {
        let delay = DELAY_MS.start + self.rng.below(DELAY_MS.end - DELAY_MS.start);
        let soon = now + Duration::from_millis(delay);
        self.multicast.map_or(soon, |last| soon.max(last + MULTICAST_EVERY))
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.unicast_filled).as_millis()
            / UNICAST_EVERY.as_millis();
        let more = u32::try_from(more).unwrap_or(UNICAST_BURST).min(UNICAST_BURST);
        if more > 0 {
            self.unicast_left = (self.unicast_left + more).min(UNICAST_BURST);
            self.unicast_filled = now;
        }
        let may = self.unicast_left > 0;
        self.unicast_left = self.unicast_left.saturating_sub(1);
        may
    }

    /// Counts one more of this asker's, unless it had enough.
    fn may_answer_to(&mut self, asker: IpAddr, now: Instant) -> bool {
        let known = self.askers.iter().position(|(ip, ..)| *ip == asker);
        let (since, count) = match known.and_then(|at| self.askers.remove(at)) {
            Some((_, since, count)) if now < since + EACH_EVERY => (since, count),
            _ => (now, 0),
        };
        if self.askers.len() >= ASKERS_MAX {
            self.askers.pop_front();
        }
        let may = count < EACH_MAX;
        self.askers.push_back((asker, since, count + u32::from(may)));
        may
    }

    fn random_suffix(&mut self) -> u16 {
        2 + self.rng.below(60_000) as u16
    }

    /// Takes another name, by chance. Probes for it unless somebody seems to have them all.
    fn on_dispute(&mut self, now: Instant) {
        let is_probing = matches!(self.phase, Phase::Probing { .. });
        if !is_probing && self.renamed.is_some_and(|last| now < last + RENAME_EVERY) {
            return;
        }
        self.renames += 1;
        self.renamed = Some(now);
        let suffix = self.random_suffix();
        self.records.rename(suffix);
        let probes = self.renames <= PROBED_NAMES;
        self.phase =
            if probes { Phase::Probing { sent: 0 } } else { Phase::Announcing { sent: 0 } };
        // RFC 6762 §8.2.
        self.due = Some(now + if probes { Duration::from_secs(1) } else { Duration::ZERO });
        self.pending = None;
    }
}

/// Whether it can be looked at in little time.
fn is_bounded(datagram: &[u8]) -> bool {
    let count = |at: usize| {
        let bytes = datagram.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let counts = [4, 6, 8, 10].map(count);
    let [Some(questions), Some(answers), Some(authorities), Some(additional)] = counts else {
        return false;
    };
    datagram.len() <= DATAGRAM_MAX
        && questions <= QUESTIONS_MAX
        && answers + authorities + additional <= RECORDS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use rit_core::base::PublicKey;
    use simple_dns::rdata::RData;
    use simple_dns::{CLASS, Name, QTYPE, TYPE};

    use super::super::records::SERVICE;

    fn records() -> Records {
        Records::new(&PublicKey([7; 32]), 7480, vec!["192.168.1.1".parse().unwrap()])
    }

    fn fresh(now: Instant) -> Responder {
        Responder::new(records(), Rng::from_seed([1; 32]), now)
    }

    /// Until it has nothing to say by itself; what it said, and when it was done.
    fn run(responder: &mut Responder) -> (Vec<Vec<u8>>, Option<Instant>) {
        let (mut said, mut last) = (Vec::new(), None);
        while let Some(due) = responder.deadline() {
            assert!(said.len() < 50, "it never ends");
            last = Some(due);
            said.extend(responder.poll(due));
        }
        (said, last)
    }

    fn serving() -> (Responder, Instant) {
        let mut responder = fresh(Instant::now());
        let last = run(&mut responder).1.unwrap();
        (responder, last + Duration::from_secs(5))
    }

    fn asker(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 168, 1, 9], port))
    }

    fn query(unicast: bool) -> Vec<u8> {
        let (mut packet, kind) = (Packet::new_query(5), QTYPE::TYPE(TYPE::PTR));
        let question = Question::new(Name::new_unchecked(SERVICE), kind, CLASS::IN.into(), unicast);
        packet.questions.push(question);
        packet.build_bytes_vec().unwrap()
    }

    fn is_response(bytes: &[u8]) -> bool {
        Packet::parse(bytes).unwrap().has_flags(PacketFlag::RESPONSE)
    }

    #[test]
    fn it_probes_announces_and_says_goodbye() {
        let start = Instant::now();
        let mut responder = fresh(start);
        assert_eq!(responder.goodbye(), None, "nothing was said");
        let (said, last) = run(&mut responder);
        let kinds: Vec<bool> = said.iter().map(|bytes| is_response(bytes)).collect();
        assert_eq!(kinds, [false, false, false, true, true]);
        assert!(last.unwrap() >= start + Duration::from_millis(1750));
        let bytes = responder.goodbye().unwrap();
        let goodbye = Packet::parse(&bytes).unwrap();
        assert!(goodbye.answers.len() == 4 && goodbye.answers.iter().all(|one| one.ttl == 0));
    }

    #[test]
    fn whoever_asks_once_is_answered_alone_and_the_others_all_together() {
        let (mut responder, now) = serving();
        let bytes = responder.handle(&query(false), asker(40000), false, now).unwrap();
        let answer = Packet::parse(&bytes).unwrap();
        assert_eq!((answer.id(), answer.questions.len()), (5, 1));
        assert!(matches!(answer.answers[0].rdata, RData::PTR(_)));
        assert!(responder.handle(&query(true), asker(PORT), false, now).is_some());
        assert_eq!(responder.deadline(), None);
        assert_eq!(responder.handle(&query(false), asker(PORT), false, now), None);
        let due = responder.deadline().unwrap();
        assert!(due >= now + Duration::from_millis(20) && due < now + Duration::from_millis(120));
        assert_eq!(responder.handle(&query(false), asker(PORT), false, now), None);
        assert_eq!(run(&mut responder).0.len(), 1);
    }

    #[test]
    fn a_flood_of_questions_is_answered_at_a_pace() {
        let (mut responder, start) = serving();
        let (mut alone, mut to_all) = (0, 0);
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            alone += u32::from(responder.handle(&query(false), asker(40000), false, now).is_some());
            assert_eq!(responder.handle(&query(false), asker(PORT), false, now), None);
            to_all += u32::from(responder.poll(now).is_some());
        }
        assert!((30..=33).contains(&alone), "{alone}");
        assert!((9..=10).contains(&to_all), "{to_all}");
        // Which keeps nobody else from an answer.
        let other = SocketAddr::from(([192, 168, 1, 10], 40000));
        let now = start + Duration::from_secs(10);
        assert!(responder.handle(&query(false), other, false, now).is_some());
    }

    #[test]
    fn a_flood_of_askers_is_answered_at_a_pace() {
        let (mut responder, start) = serving();
        let mut answered = 0;
        for ms in 0..10_000_u64 {
            let now = start + Duration::from_millis(ms);
            let from = SocketAddr::from(([10, 0, (ms >> 8) as u8, ms as u8], 40000));
            answered += u32::from(responder.handle(&query(false), from, false, now).is_some());
        }
        assert!((500..=550).contains(&answered), "{answered}");
        assert_eq!(responder.askers.len(), ASKERS_MAX);
    }

    #[test]
    fn what_takes_long_to_look_at_is_not_looked_at() {
        let (mut responder, now) = serving();
        let claims = |at: usize, count: u16| {
            let mut bytes = query(false);
            bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
            bytes
        };
        assert!(is_bounded(&query(false)) && !is_bounded(&query(false)[..11]));
        assert!(is_bounded(&claims(4, QUESTIONS_MAX as u16)));
        assert!(!is_bounded(&claims(4, QUESTIONS_MAX as u16 + 1)));
        for at in [6, 8, 10] {
            assert!(is_bounded(&claims(at, RECORDS_MAX as u16)));
            assert!(!is_bounded(&claims(at, RECORDS_MAX as u16 + 1)));
            assert!(!is_bounded(&claims(at, u16::MAX)));
        }
        let mut long = query(false);
        long.resize(DATAGRAM_MAX, 0);
        assert!(is_bounded(&long));
        long.push(0);
        assert_eq!(responder.handle(&long, asker(40000), false, now), None);
    }

    /// Says something else of the same names.
    fn lie(records: &Records) -> Vec<u8> {
        let mut lie = records.clone();
        lie.addresses = vec!["192.168.1.66".parse().unwrap()];
        lie.announcement(false)
    }

    #[test]
    fn a_query_of_too_many_questions_is_none() {
        let (mut responder, now) = serving();
        let one = query(false);
        let mut packet = Packet::parse(&one).unwrap();
        packet.questions = vec![packet.questions[0].clone(); QUESTIONS_MAX];
        let bytes = packet.build_bytes_vec().unwrap();
        assert!(responder.handle(&bytes, asker(40000), false, now).is_some());
        packet.questions.push(packet.questions[0].clone());
        let bytes = packet.build_bytes_vec().unwrap();
        assert_eq!(responder.handle(&bytes, asker(40000), false, now), None);
    }

    #[test]
    fn a_liar_delays_the_first_word_but_little() {
        let start = Instant::now();
        let mut responder = fresh(start);
        let (mut names, mut announced) = (Vec::new(), None);
        // Somebody disputes every name as soon as it is heard of.
        while announced.is_none() {
            let now = responder.deadline().unwrap();
            let said = responder.poll(now).unwrap();
            names.push(responder.records.instance());
            announced = is_response(&said).then_some(now);
            let lie = lie(&responder.records);
            responder.handle(&lie, asker(PORT), false, now);
        }
        names.dedup();
        let announced = announced.unwrap();
        assert!(announced < start + Duration::from_secs(5), "{:?}", announced - start);
        assert_eq!(names.len(), PROBED_NAMES as usize + 2, "{names:?}");
        // From then on it stays what it is for a while.
        let name = responder.records.instance();
        responder.handle(&lie(&responder.records.clone()), asker(PORT), false, announced);
        assert_eq!(responder.records.instance(), name);
        let answer = responder.handle(&query(false), asker(40000), false, announced);
        assert!(answer.is_some());
    }

    #[test]
    fn a_name_in_use_is_given_up_once_in_a_while() {
        let (mut responder, now) = serving();
        let plain = responder.records.clone();
        let dispute = lie(&plain);
        responder.handle(&dispute, asker(40000), false, now);
        assert_eq!(responder.records, plain, "answers come from another port");
        responder.handle(&dispute, asker(PORT), true, now);
        assert_eq!(responder.records, plain, "that was this machine");
        responder.handle(&dispute, asker(PORT), false, now);
        assert_ne!(responder.records.instance(), plain.instance());
        let last = run(&mut responder).1.unwrap();
        let second = responder.records.clone();
        responder.handle(&lie(&second), asker(PORT), false, last);
        assert_eq!(responder.records, second);
        responder.handle(&lie(&second), asker(PORT), false, now + RENAME_EVERY);
        assert_ne!(responder.records, second);
    }

    #[test]
    fn noise_does_no_harm() {
        let (mut responder, now) = serving();
        let mut rng = Rng::from_seed([5; 32]);
        let good = [query(false), query(true), records().announcement(false), records().probe()];
        for turn in 0..40_000_usize {
            let dice: [u8; 8] = rng.array();
            let mut bent = good[turn % good.len()].clone();
            for pair in dice[..6].chunks(2) {
                let at = usize::from(pair[0]) * 2 % bent.len();
                bent[at] = pair[1];
            }
            let cut = usize::from(dice[6] % 4) * usize::from(dice[7] % 20);
            bent.truncate(bent.len().saturating_sub(cut));
            let answer =
                responder.handle(&bent, asker(if turn % 2 == 0 { PORT } else { 9 }), false, now);
            assert!(answer.is_none_or(|answer| answer.len() < 1500));
        }
    }

    #[test]
    fn other_addresses_are_announced() {
        let (mut responder, now) = serving();
        let mut other = records();
        other.addresses.push("192.168.1.2".parse().unwrap());
        responder.set_records(other, now);
        let (said, _) = run(&mut responder);
        assert_eq!(said.len(), 2);
        assert_eq!(Packet::parse(&said[0]).unwrap().answers.len(), 5);
    }
}
