//! Urgency and incremental flag over a pair: who goes first, who shares, who starves, what never
//! does.

use super::*;
use crate::transport::streams::MAX_TURN;
use std::collections::BTreeMap;

const BULK: usize = 200_000;

/// A settled pair whose A opens streams with these priorities; each announced by one byte.
fn pair_with(priorities: &[(u8, bool)]) -> (Pair, Vec<StreamId>) {
    let (mut pair, _) = settled();
    let mut ids = Vec::new();
    for (urgency, is_incremental) in priorities {
        let id = pair.a.stream_open().unwrap();
        let priority = Priority::new(*urgency, *is_incremental).unwrap();
        pair.a.stream_set_priority(id, priority).unwrap();
        pair.a.stream_write(id, b"x").unwrap();
        ids.push(id);
    }
    pair.run_until(|p| p.a.stats().buffered_bytes == 0);
    read_all(&mut pair, &ids);
    (pair, ids)
}

/// What B reads now, by stream.
fn read_all(pair: &mut Pair, ids: &[StreamId]) -> BTreeMap<StreamId, usize> {
    let mut out = [0; 5000];
    let b = pair.b.as_mut().unwrap();
    let mut read = |id| core::iter::from_fn(|| b.stream_read(id, &mut out).ok()).sum::<usize>();
    ids.iter().map(|id| (*id, read(*id))).collect()
}

/// Fills all streams in the order given, and tells after each step how much of each B has.
fn race(pair: &mut Pair, ids: &[StreamId], mut each: impl FnMut(&[usize])) {
    for id in ids {
        assert_eq!(pair.a.stream_write(*id, &[7; BULK]), Ok(BULK));
    }
    let mut got = std::vec![0; ids.len()];
    pair.run_until(|p| {
        let read = read_all(p, ids);
        ids.iter().zip(&mut got).for_each(|(id, got)| *got += read[id]);
        each(&got);
        got.iter().all(|got| *got == BULK)
    });
}

#[test]
fn lower_levels_wait_for_the_most_urgent_one() {
    let (mut pair, ids) = pair_with(&[(7, true), (3, false), (0, true)]);
    let mut steps = 0;
    race(&mut pair, &ids, |got| {
        assert!(got[1] == 0 || got[2] == BULK, "{got:?}");
        assert!(got[0] == 0 || got[1] == BULK, "{got:?}");
        steps += usize::from(got[2] < BULK);
    });
    assert!(steps > 3, "it took a while: {steps}");
}

#[test]
fn streams_that_are_not_incremental_go_in_the_order_of_their_numbers() {
    let (mut pair, mut ids) = pair_with(&[(3, false), (3, false), (3, true)]);
    // Written to last, and first all the same.
    ids.reverse();
    race(&mut pair, &ids, |got| {
        assert!(got[1] == 0 || got[2] == BULK, "{got:?}");
        assert!(got[0] == 0 || got[1] == BULK, "{got:?}");
    });
}

#[test]
fn incremental_streams_share() {
    let (mut pair, ids) = pair_with(&[(3, true), (3, true), (3, true)]);
    race(&mut pair, &ids, |got| {
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(most - least <= MAX_TURN as usize + 3 * 1452, "{got:?}");
    });
}

#[test]
fn what_becomes_urgent_overtakes_what_waits() {
    let (mut pair, ids) = pair_with(&[(3, true), (3, true)]);
    assert_eq!(pair.a.stream_write(ids[0], &[7; BULK]), Ok(BULK));
    pair.step();
    let sent = pair.a.streams.buffered().1;
    assert_eq!(pair.a.stream_write(ids[1], &[8; 5000]), Ok(5000));
    pair.a.stream_set_priority(ids[1], Priority::new(1, false).unwrap()).unwrap();
    let mut got = [0; 2];
    pair.run_until(|p| {
        let read = read_all(p, &ids);
        got = [got[0] + read[&ids[0]], got[1] + read[&ids[1]]];
        got[1] == 5000
    });
    assert!(got[0] < BULK / 2, "{got:?} of {sent}");
}

#[test]
fn an_urgent_flood_starves_data_but_neither_limits_nor_resets_nor_stops() {
    let (mut pair, ids) = pair_with(&[(0, true), (7, true), (7, true)]);
    let [flood, reads, data] = ids[..] else { panic!() };
    // Enough loss that congestion control, and not the flood's window, is what holds it back.
    pair.loss_percent = 2;
    let total = 3 * Config::default().stream_window as usize;
    let (mut wrote, mut read, mut out) = (0, 0, [0; 5000]);
    pair.a.stream_write(data, &[9; 100]).unwrap();
    let mut starved = 0;
    let mut flood_on = |p: &mut Pair| {
        while p.a.stream_write(flood, &[7; 5000]).is_ok() {}
        starved += read_all(p, &[flood, data])[&data];
    };
    pair.run_until(|p| {
        flood_on(p);
        let b = p.b.as_mut().unwrap();
        while let Ok(len) = b.stream_write(reads, &[8; 5000][..5000.min(total - wrote)]) {
            wrote += len;
            if wrote == total {
                break;
            }
        }
        while let Ok(len) = p.a.stream_read(reads, &mut out) {
            read += len;
        }
        read == total
    });
    pair.a.stream_reset(reads, 5).unwrap();
    pair.a.stream_stop(reads, 6).unwrap();
    pair.run_until(|p| {
        flood_on(p);
        let state = p.b.as_ref().unwrap().stream_state(reads).unwrap();
        state.reset == Some(5) && state.stopped == Some(6)
    });
    assert_eq!(starved, 0, "strict, as RFC 9218 §10 has it");
    pair.run_until(|p| read_all(p, &[flood, data])[&data] == 100);
}

/// A pair that shares by weight: the first two streams a share of 48, the third one of 16.
#[cfg(feature = "media")]
#[test]
fn shares_of_a_busy_path_are_as_their_weights() {
    let (mut pair, ids) = pair_with(&[(3, true), (3, true), (3, true)]);
    for (id, share, weight) in [(ids[0], 0, 48), (ids[1], 0, 48), (ids[2], 1, 16)] {
        pair.a.stream_set_share(id, share, weight).unwrap();
    }
    let slack = MAX_TURN as usize + 3 * 1452;
    race(&mut pair, &ids, |got| {
        if got.iter().all(|got| *got < BULK) {
            assert!((got[0] + got[1]).abs_diff(3 * got[2]) <= 4 * slack, "{got:?}");
        }
    });
    assert_eq!(pair.a.stream_set_share(ids[0], SHARES_MAX as u8, 1), Err(StreamError::Limit));
    assert_eq!(pair.a.stream_set_share(StreamId(400), 0, 1), Err(StreamError::Unknown));
}
