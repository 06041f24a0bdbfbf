//! When tokens are over, and what that ends.

use super::*;

#[test]
fn a_token_is_good_until_its_minute() {
    let mut bench = Bench::new();
    let minute = (WALL / 60) as u32;
    let mut late = Peer::of(I, |claims| claims.expires_min = minute);
    let mut last = Peer::of(R, |claims| claims.expires_min = minute + 1);
    let bind = late.bind(b"x");
    assert_eq!(bench.send(late.path, &bind), []);
    let bind = last.bind(b"x");
    assert_eq!(bench.send(last.path, &bind).len(), 1);
    bench.pass(Duration::from_secs(60 - WALL % 60 - 1));
    let bind = last.bind(b"x");
    assert_eq!(bench.send(last.path, &bind).len(), 1);
    bench.pass(SECOND);
    let mut new = Peer::of(I, |claims| claims.expires_min = minute + 1);
    let bind = new.bind(b"x");
    assert_eq!(bench.send(new.path, &bind), [], "too late to begin");
    bench.relay.set_clock(WALL, bench.now);
    let bind = new.bind(b"x");
    assert!(!bench.send(new.path, &bind).is_empty(), "the clock was set back");
}

#[test]
fn who_is_bound_may_stay_when_the_token_is_over() {
    let mut bench = Bench::new();
    let expires = (WALL / 60) as u32 + 1;
    let mut ends = [I, R].map(|side| Peer::of(side, |claims| claims.expires_min = expires));
    ends.iter_mut().for_each(|end| bench.validate(end));
    for _ in 0..100 {
        bench.pass(SECOND * 20);
        for end in &mut ends {
            let bind = end.bind(&[]);
            let sent = bench.send(end.path, &bind);
            end.hear(&sent[0].1);
        }
        assert!(bench.passes(&ends[0], ends[1].path));
    }
    // Silent, it is forgotten, and cannot begin anew.
    bench.pass(IDLE);
    for end in &mut ends {
        let bind = end.bind(b"x");
        assert_eq!(bench.send(end.path, &bind), []);
    }
}
