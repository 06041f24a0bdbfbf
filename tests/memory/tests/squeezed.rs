//! Memory that is short at the wrong moment: in pieces, all but gone before any call, denied.

use rit::error::RIT_ERR_NOMEM;
use rit_memory_tests::MINIMUM;
use rit_memory_tests::arena::{Arena, Switch, deny, questions};
use rit_memory_tests::life::{Stage, live, live_on};
use rit_memory_tests::world::{DEVICE, World};
use std::cell::RefCell;
use std::rc::Rc;

#[global_allocator]
static SWITCH: Switch = Switch;

/// The stage a life comes to on a heap in pieces, and once they are given back.
#[test]
fn a_fragmented_heap_works_or_refuses_and_works_once_it_is_whole() {
    let mut stages = Vec::new();
    let pieces = (16..=4096).step_by(48).chain((4096..=32 * 1024).step_by(512));
    for (piece, is_made_before) in pieces.flat_map(|piece| [(piece, true), (piece, false)]) {
        let mut arena = Arena::new(4 * MINIMUM);
        let before = is_made_before.then(World::new);
        arena.fragment(piece);
        match before.unwrap_or_else(World::new) {
            Err(code) => {
                assert_eq!(code, RIT_ERR_NOMEM);
                stages.push(None);
            }
            Ok(mut world) => {
                stages.push(Some(live(&mut world)));
                arena.release();
                assert_eq!(live_on(&mut world), Stage::Closed, "pieces of {piece}");
            }
        }
        assert_eq!(arena.live(), 0);
    }
    stages.sort();
    stages.dedup();
    println!("{stages:?}");
    assert!(stages.len() > 1, "{stages:?}");
}

/// A node made in ample memory, of which then only so much is left.
#[test]
fn a_node_works_again_once_memory_is_back() {
    for left in (0..MINIMUM).step_by(256) {
        let mut arena = Arena::new(2 * MINIMUM);
        let mut world = World::new().expect("there is room");
        arena.squeeze(left);
        let stage = live(&mut world);
        arena.release();
        assert_eq!(live_on(&mut world), Stage::Closed, "{stage:?} with {left}");
        drop(world);
        assert_eq!(arena.live(), 0);
    }
}

/// Each question for room is answered with no, one in each life.
#[test]
fn each_refusal_in_turn_is_an_error_of_one_operation() {
    let arena = Arena::new(2 * MINIMUM);
    deny(u64::MAX);
    let mut world = World::new().expect("there is room");
    assert_eq!(live(&mut world), Stage::Closed);
    let asked = questions();
    drop(world);
    println!("{asked} questions");
    let mut stages = [0; 8];
    for number in 1..=asked {
        deny(number);
        match World::new() {
            Err(code) => assert_eq!(code, RIT_ERR_NOMEM),
            Ok(mut world) => {
                stages[live(&mut world) as usize] += 1;
                deny(u64::MAX);
                assert_eq!(live_on(&mut world), Stage::Closed, "after question {number}");
            }
        }
        assert_eq!(arena.live(), 0);
    }
    println!("{stages:?}");
}

/// Before each call so much is taken that only a piece of a random size is left; after it all is
/// given back. The heap is large, because what is kept lies scattered afterwards, and a connection
/// wants a place in one piece.
#[test]
fn any_call_finds_any_amount_of_memory() {
    let mut closed = 0;
    for seed in 0..300 {
        let arena = Rc::new(RefCell::new(Arena::new(8 * MINIMUM)));
        let mut world = World::new().expect("there is room");
        let mut noise: u64 = seed;
        let a = arena.clone();
        world.peers[DEVICE].before = Some(Box::new(move || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let left = 2500 + (noise >> 33) as usize % (MINIMUM / 2);
            a.borrow_mut().release();
            a.borrow_mut().squeeze(left);
        }));
        closed += u32::from(live(&mut world) == Stage::Closed);
        world.peers[DEVICE].before = None;
        arena.borrow_mut().release();
        assert_eq!(live_on(&mut world), Stage::Closed, "seed {seed}");
        drop(world);
        assert_eq!(arena.borrow().live(), 0);
    }
    println!("{closed} of 300");
}
