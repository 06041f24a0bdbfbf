//! Streams and flow control of both ends, compared step by step with a plain model, under a net
//! that does its worst: it delivers late, twice, in any order or never, and loses what arrives.
//!
//! What a packet carries is the implementation's to choose; the model says whether it may, and then
//! follows. All else the model predicts: each answer, each state, each sum, each event that is due.
//! `RIT_SEED=n` starts from another seed than CI's, `RIT_CASES=n` runs so many cases.

mod check;
mod sut;
mod way;

use self::sut::{PACKET_MAX, Sut, stream_id};
use crate::transport::Config;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const STREAM_WINDOW: u64 = 600;
const SESSION_WINDOW: u64 = 1_000;
const SEND_BUFFER: u64 = 500;
const MAX_STREAMS: u64 = 3;
const FIRST_WRITE: u64 = super::FIRST_WRITE;
const CODE_EXPIRED: u64 = 99;
/// Streams that one end opens in a case.
const OPENS_MAX: u64 = 6;

fn config() -> Config {
    Config {
        stream_window: STREAM_WINDOW,
        session_window: SESSION_WINDOW,
        stream_send_buffer: SEND_BUFFER,
        max_streams: MAX_STREAMS,
        ..Config::default()
    }
}

/// What an application does with a stream.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write(u64),
    Read(u64),
    Finish,
    Reset(u64),
    Stop(u64),
    Release(u64),
    Priority(u8, bool),
    /// Microseconds from now.
    Deadline(Option<u64>),
}

/// One step of a case. A `pick` is taken modulo what there is to pick from.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open {
        end: usize,
    },
    App {
        end: usize,
        opener: usize,
        ordinal: u64,
        op: Op,
    },
    Send {
        end: usize,
        room: usize,
    },
    Deliver {
        pick: usize,
        is_kept: bool,
    },
    Drop {
        pick: usize,
    },
    Ack {
        pick: usize,
    },
    Lose {
        pick: usize,
        is_probe: bool,
    },
    Pass {
        us: u64,
    },
    /// To the next deadline, or just before it.
    Due {
        is_before: bool,
    },
    Settle,
}

/// What the applications mean to do, as far as it guides what they do next.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// Streams each end has tried to open.
    opened: [u64; 2],
}

/// Few levels, so that streams meet on them.
fn priority() -> impl Strategy<Value = Op> {
    let urgency = prop_oneof![Just(0), Just(3), Just(7)];
    (urgency, any::<bool>()).prop_map(|(urgency, inc)| Op::Priority(urgency, inc))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (0..400u64).prop_map(Op::Write),
        8 => (0..700u64).prop_map(Op::Read),
        2 => Just(Op::Finish),
        1 => (0..4u64).prop_map(Op::Reset),
        1 => (4..8u64).prop_map(Op::Stop),
        2 => (8..12u64).prop_map(Op::Release),
        3 => priority(),
        1 => proptest::option::of(0..5_000u64).prop_map(Op::Deadline),
    ]
}

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = Plan;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Plan> {
        Just(Plan::default()).boxed()
    }

    fn transitions(plan: &Plan) -> BoxedStrategy<Step> {
        let opened = plan.opened;
        let app = (0..2usize, 0..2usize, any::<u64>(), op()).prop_map(
            move |(end, opener, ordinal, op)| {
                let ordinal = ordinal % opened[opener].max(1);
                Step::App { end, opener, ordinal, op }
            },
        );
        let pick = 0..64usize;
        prop_oneof![
            2 => (0..2usize).prop_map(|end| Step::Open { end }),
            12 => app,
            10 => (0..2usize, 40..PACKET_MAX).prop_map(|(end, room)| Step::Send { end, room }),
            8 => (pick.clone(), any::<bool>())
                .prop_map(|(pick, is_kept)| Step::Deliver { pick, is_kept }),
            2 => pick.clone().prop_map(|pick| Step::Drop { pick }),
            5 => pick.clone().prop_map(|pick| Step::Ack { pick }),
            3 => (pick, any::<bool>()).prop_map(|(pick, is_probe)| Step::Lose { pick, is_probe }),
            1 => (0..2_000u64).prop_map(|us| Step::Pass { us }),
            1 => any::<bool>().prop_map(|is_before| Step::Due { is_before }),
            1 => Just(Step::Settle),
        ]
        .boxed()
    }

    fn preconditions(plan: &Plan, step: &Step) -> bool {
        match step {
            Step::Open { end } => plan.opened[*end] < OPENS_MAX,
            Step::App { opener, ordinal, .. } => *ordinal < plan.opened[*opener].max(1),
            _ => true,
        }
    }

    fn apply(mut plan: Plan, step: &Step) -> Plan {
        if let Step::Open { end } = step {
            plan.opened[*end] += 1;
        }
        plan
    }
}

/// The index of the packet picked among those that `is_meant`.
fn pick(sut: &Sut, pick: usize, is_meant: impl Fn(&sut::Packet) -> bool) -> Option<usize> {
    let meant: std::vec::Vec<usize> =
        (0..sut.packets.len()).filter(|i| is_meant(&sut.packets[*i])).collect();
    (!meant.is_empty()).then(|| meant[pick % meant.len()])
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Sut;
    type Reference = Machine;

    fn init_test(_: &Plan) -> Sut {
        Sut::new()
    }

    fn apply(mut sut: Sut, _: &Plan, step: Step) -> Sut {
        match step {
            Step::Open { end } => sut.open(end),
            Step::App { end, opener, ordinal, op } => {
                sut.app(end, stream_id(opener, ordinal), op);
            }
            Step::Send { end, room } => drop(sut.send(end, room)),
            Step::Deliver { pick: at, is_kept } => {
                if let Some(i) = pick(&sut, at, |p| p.is_on_net) {
                    sut.deliver(i, is_kept);
                }
            }
            Step::Drop { pick: at } => {
                if let Some(i) = pick(&sut, at, |p| p.is_on_net) {
                    sut.packets[i].is_on_net = false;
                }
            }
            Step::Ack { pick: at } => {
                if let Some(i) = pick(&sut, at, |p| p.is_delivered && !p.is_settled) {
                    sut.ack(i);
                }
            }
            Step::Lose { pick: at, is_probe } => {
                if let Some(i) = pick(&sut, at, |p| !p.is_settled) {
                    sut.lose(i, is_probe);
                }
            }
            Step::Pass { us } => sut.pass(us),
            Step::Due { is_before } => sut.pass_to_deadline(is_before),
            Step::Settle => sut.settle(),
        }
        sut.packets.retain(|p| p.is_on_net || !p.is_settled);
        sut.check();
        sut
    }

    fn teardown(sut: Sut, _: Plan) {
        sut.end();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn runs() -> ProptestConfig {
    let seed = number("RIT_SEED", 0);
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| std::eprintln!("streams against their model: RIT_SEED={seed} replays"));
    ProptestConfig {
        cases: number("RIT_CASES", 20_000) as u32,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

prop_state_machine! {
    #![proptest_config(runs())]

    #[test]
    fn streams_agree_with_their_model(sequential 1..200 => Machine);
}
