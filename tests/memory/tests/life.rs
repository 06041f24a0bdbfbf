//! What a device's life takes, and what each call of it takes in passing.

use rit_memory_tests::arena::{Arena, Switch, measure};
use rit_memory_tests::life::{Stage, live};
use rit_memory_tests::world::{DEVICE, World};
use rit_memory_tests::{CONNECTION, SPARE};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

#[global_allocator]
static SWITCH: Switch = Switch;

/// What calls of one kind took at most.
#[derive(Clone, Copy, Default)]
struct Most {
    /// Bytes more than there were before, at any moment of the call.
    rise: usize,
    /// Bytes more after it.
    kept: i64,
}

/// A whole life, and its calls by name.
fn measured_life() -> BTreeMap<&'static str, Most> {
    let arena = Rc::new(Arena::new(1 << 20));
    measure(true);
    let mut world = World::new().expect("there is room");
    println!("a node: {} bytes", arena.info().live);
    let calls = Rc::new(RefCell::new(BTreeMap::<_, Most>::new()));
    let start = Rc::new(Cell::new(0));
    let (heap, before) = (arena.clone(), start.clone());
    world.peers[DEVICE].before = Some(Box::new(move || {
        heap.reset_peak();
        before.set(heap.info().live);
    }));
    let (heap, list) = (arena.clone(), calls.clone());
    world.peers[DEVICE].after = Some(Box::new(move |name, _| {
        let (info, before) = (heap.info(), start.get());
        let (rise, kept) = (info.peak - before, info.live as i64 - before as i64);
        let mut list = list.borrow_mut();
        let most = list.entry(name).or_default();
        *most = Most { rise: most.rise.max(rise), kept: most.kept.max(kept) };
    }));
    assert_eq!(live(&mut world), Stage::Closed);
    println!("at its end: {} bytes", arena.info().live);
    drop(world);
    measure(false);
    assert_eq!(arena.live(), 0);
    calls.take()
}

#[test]
fn a_life_leaves_nothing_behind_and_no_call_takes_more_than_is_reserved() {
    for (name, Most { rise, kept }) in measured_life() {
        println!("{name}: {rise} bytes more in the call, {kept} after it");
        let may_rise = match name {
            // They ask for what they keep, beside what stays free.
            "rit_broker_connect" | "rit_node_receive" => CONNECTION,
            "rit_stream_accept" | "rit_stream_write" | "rit_stream_read" | "rit_service_add" => {
                SPARE + 2048
            }
            _ => SPARE / 2,
        };
        assert!(rise <= may_rise, "{name}: {rise} of {may_rise}");
    }
}
