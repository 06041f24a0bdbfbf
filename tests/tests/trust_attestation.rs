//! Scenarios: an end of a session demands to know what code the other runs.

use rit_core::node::{
    ATTESTATION_LEN_MAX, AttestTask, Attestation, Event, NodeError, Reason, SessionId,
};
use rit_core::tunnel::Refusal;
use rit_tests::sim::host::HostId;
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::trio::{SERVICE, Trio};
use std::time::Duration;

const MAKES: Attestation = Attestation { has_own: true, is_demanded: false };
const DEMANDS: Attestation = Attestation { has_own: false, is_demanded: true };
const BOTH: Attestation = Attestation { has_own: true, is_demanded: true };
const SILENT: Attestation = Attestation { has_own: false, is_demanded: false };
const LISTED: &[u8] = b"hash of code that is listed";

/// What a host states; nothing.
type Statement<'a> = Option<&'a [u8]>;

fn trio(seed: u64, device: Attestation, user: Attestation) -> Trio {
    let mut trio = Trio::new(seed, LinkConfig::clean(Duration::from_millis(20)));
    let (a, b) = (trio.device, trio.user);
    trio.world.with(a, |node, _, _| node.set_attestation(device));
    trio.world.with(b, |node, _, _| node.set_attestation(user));
    trio.online();
    trio
}

/// Does what a host is to do: states `own` and the challenge, accepts what is listed and has it.
fn attend(trio: &mut Trio, host: HostId, own: Statement<'_>) -> usize {
    trio.world.with(host, |node, _, now| {
        let mut done = 0;
        while let Some(task) = node.poll_attest() {
            done += 1;
            match task {
                AttestTask::Make { session, challenge, .. } => {
                    let statement = own.map(|own| [own, &challenge].concat());
                    let _ = node.attest_made(session, statement.as_deref(), now);
                }
                AttestTask::Check { session, challenge, statement, .. } => {
                    let is_fine = statement == [LISTED, &challenge].concat();
                    node.attest_checked(session, is_fine, now).expect("it was asked for");
                }
            }
        }
        done
    })
}

/// Lets the two talk for a while; how many tasks there were.
fn run(trio: &mut Trio, device: Statement<'_>, user: Statement<'_>, time: Duration) -> usize {
    let mut done = 0;
    for _ in 0..time.as_millis() / 10 {
        trio.world.run_for(Duration::from_millis(10));
        done += attend(trio, trio.device, device) + attend(trio, trio.user, user);
    }
    done
}

fn is_up(trio: &Trio, host: HostId) -> bool {
    trio.world.host(host).has_event(|e| matches!(e, Event::SessionUp { .. }))
}

fn end_of(trio: &Trio, host: HostId) -> Option<Reason> {
    trio.world.host(host).events.iter().find_map(|(_, event)| match event {
        Event::SessionDown { reason, .. } => Some(*reason),
        _ => None,
    })
}

const SECONDS: Duration = Duration::from_secs(3);

#[test]
fn listed_code_gets_a_session_whoever_asks() {
    for (device, user) in [(MAKES, DEMANDS), (DEMANDS, MAKES), (BOTH, BOTH)] {
        let mut trio = trio(1, device, user);
        let session = trio.ask_for_session();
        let tasks = run(&mut trio, Some(LISTED), Some(LISTED), SECONDS);
        assert_eq!(tasks, if device == BOTH { 4 } else { 2 }, "{}", trio.events());
        assert!(is_up(&trio, trio.device) && is_up(&trio, trio.user), "{}", trio.events());
        trio.check_alive(session, 1);
    }
}

#[test]
fn code_that_is_not_listed_is_refused() {
    for (device, user) in [(MAKES, DEMANDS), (DEMANDS, MAKES)] {
        let mut trio = trio(2, device, user);
        trio.ask_for_session();
        run(&mut trio, Some(b"other code"), Some(b"other code"), SECONDS);
        let demander = if device == DEMANDS { trio.device } else { trio.user };
        assert!(!is_up(&trio, demander), "{}", trio.events());
        assert_eq!(end_of(&trio, trio.user), Some(Reason::Untrusted), "{}", trio.events());
        // Listed again, it works: nothing else was lost.
        trio.forget();
        let session = trio.ask_for_session();
        run(&mut trio, Some(LISTED), Some(LISTED), SECONDS);
        trio.check_alive(session, 1);
    }
}

#[test]
fn a_peer_without_a_statement_is_refused() {
    let mut silent = trio(3, SILENT, DEMANDS);
    silent.ask_for_session();
    run(&mut silent, None, None, SECONDS);
    assert_eq!(end_of(&silent, silent.user), Some(Reason::Untrusted), "{}", silent.events());
    // One that could, and does not.
    let mut trio = trio(4, DEMANDS, MAKES);
    trio.ask_for_session();
    run(&mut trio, None, None, SECONDS);
    assert!(!is_up(&trio, trio.device), "{}", trio.events());
    assert_eq!(end_of(&trio, trio.user), Some(Reason::Untrusted), "{}", trio.events());
}

#[test]
fn a_peer_that_never_answers_is_refused() {
    let mut trio = trio(5, MAKES, DEMANDS);
    trio.ask_for_session();
    // Nobody attends to the device's tasks.
    trio.world.run_for(Duration::from_secs(9));
    assert_eq!(end_of(&trio, trio.user), None, "{}", trio.events());
    trio.world.run_for(Duration::from_secs(3));
    assert_eq!(end_of(&trio, trio.user), Some(Reason::Untrusted), "{}", trio.events());
}

#[test]
fn statements_of_any_length_up_to_the_limit_arrive() {
    for len in [1, ATTESTATION_LEN_MAX, 0, ATTESTATION_LEN_MAX + 1] {
        let mut trio = trio(6, MAKES, DEMANDS);
        trio.ask_for_session();
        let (mut made, mut checked) = (None, None);
        for _ in 0..300 {
            trio.world.run_for(Duration::from_millis(10));
            trio.world.with(trio.device, |node, _, now| {
                if let Some(AttestTask::Make { session, .. }) = node.poll_attest() {
                    made = Some(node.attest_made(session, Some(&vec![7; len]), now));
                }
            });
            trio.world.with(trio.user, |node, _, now| {
                if let Some(AttestTask::Check { session, statement, .. }) = node.poll_attest() {
                    checked = Some(statement);
                    node.attest_checked(session, true, now).expect("it was asked for");
                }
            });
        }
        if (1..=ATTESTATION_LEN_MAX).contains(&len) {
            assert_eq!((made, checked), (Some(Ok(())), Some(vec![7; len])));
            assert!(is_up(&trio, trio.user), "{}", trio.events());
        } else {
            assert_eq!((made, checked), (Some(Err(NodeError::TooLarge)), None));
            assert_eq!(end_of(&trio, trio.user), Some(Reason::Untrusted), "{}", trio.events());
        }
    }
}

#[test]
fn what_is_opened_before_the_decision_waits_for_it() {
    let mut trio = trio(7, DEMANDS, MAKES);
    let session = trio.ask_for_session();
    // The user is up at once and asks for the service; the device knows nothing of it yet.
    trio.expect(trio.user, SECONDS, "the session", |e| matches!(e, Event::SessionUp { .. }));
    let opened = trio
        .world
        .with(trio.user, |node, app, now| app.open(node, session, (SERVICE, 1, 10, 10), now));
    opened.expect("the session is up");
    trio.world.run_for(Duration::from_millis(500));
    let has_incoming = |trio: &Trio| {
        let is_incoming = |e: &Event| matches!(e, Event::StreamIncoming { .. });
        trio.world.host(trio.device).has_event(is_incoming)
    };
    assert!(!has_incoming(&trio) && !is_up(&trio, trio.device), "{}", trio.events());
    run(&mut trio, None, Some(LISTED), SECONDS);
    assert!(has_incoming(&trio) && is_up(&trio, trio.device), "{}", trio.events());
    // And who demands opens nothing itself before that.
    let mut demanding = self::trio(8, MAKES, DEMANDS);
    let session = demanding.ask_for_session();
    demanding.world.run_for(Duration::from_millis(500));
    let open = |node: &mut rit_core::node::Node, now| node.stream_open(session, SERVICE, now);
    let early = demanding.world.with(demanding.user, |node, _, now| open(node, now));
    assert_eq!(early, Err(NodeError::State));
    let flow =
        demanding.world.with(demanding.user, |node, _, now| node.flow_open(session, SERVICE, now));
    assert_eq!(flow, Err(NodeError::State));
}

#[test]
fn a_challenge_is_good_in_one_session_alone() {
    let challenge_of = |seed| {
        let mut trio = trio(seed, MAKES, DEMANDS);
        trio.ask_for_session();
        let mut found = None;
        for _ in 0..100 {
            trio.world.run_for(Duration::from_millis(10));
            let task = trio.world.with(trio.device, |node, _, _| node.poll_attest());
            if let Some(AttestTask::Make { session, challenge, peer }) = task {
                assert_eq!(peer, trio.world.key(trio.user));
                // The statement of another session.
                let stale = [LISTED, &[9; 32]].concat();
                let made = trio
                    .world
                    .with(trio.device, |node, _, now| node.attest_made(session, Some(&stale), now));
                assert_eq!(made, Ok(()));
                found = Some(challenge);
            }
        }
        run(&mut trio, None, None, SECONDS);
        assert_eq!(end_of(&trio, trio.user), Some(Reason::Untrusted), "{}", trio.events());
        found.expect("it was asked for")
    };
    assert_ne!(challenge_of(9), challenge_of(10));
}

#[test]
fn calls_that_nobody_asked_for_change_nothing() {
    let mut trio = trio(11, MAKES, SILENT);
    let session = trio.session();
    let device = trio.session_of(trio.device);
    trio.world.with(trio.device, |node, _, now| {
        assert_eq!(node.attest_made(device, Some(LISTED), now), Err(NodeError::State));
        assert_eq!(node.attest_checked(device, false, now), Err(NodeError::State));
        let nobody = SessionId(0);
        assert_eq!(node.attest_checked(nobody, true, now), Err(NodeError::StaleHandle));
    });
    trio.check_alive(session, 1);
    let is_refused = |e: &Event| matches!(e, Event::StreamRefused { refusal: Refusal::Denied, .. });
    assert!(!trio.world.host(trio.user).has_event(is_refused));
}
