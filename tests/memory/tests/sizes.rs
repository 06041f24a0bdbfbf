//! A device's life on every size of heap: it works or is refused, and works once there is memory.

use rit::error::RIT_ERR_NOMEM;
use rit_memory_tests::MINIMUM;
use rit_memory_tests::arena::{Arena, Switch};
use rit_memory_tests::life::{Stage, live};
use rit_memory_tests::world::World;

#[global_allocator]
static SWITCH: Switch = Switch;

/// How far a life comes on this heap, of which nothing must be left in use.
fn stage_on(arena: &mut Arena) -> Option<Stage> {
    let stage = match World::new() {
        Ok(mut world) => Some(live(&mut world)),
        Err(code) => {
            assert_eq!(code, RIT_ERR_NOMEM);
            None
        }
    };
    assert_eq!(arena.live(), 0);
    stage
}

#[test]
fn each_size_from_nothing_to_the_minimum_works_or_is_refused() {
    let mut stages = Vec::new();
    for size in (0..=MINIMUM).step_by(64) {
        let stage = stage_on(&mut Arena::new(size));
        if stages.last().is_none_or(|(_, last)| *last != stage) {
            println!("{size}: {stage:?}");
            stages.push((size, stage));
        }
    }
    assert_eq!(stages.first(), Some(&(0, None)));
    assert_eq!(stage_on(&mut Arena::new(MINIMUM)), Some(Stage::Closed));
}
