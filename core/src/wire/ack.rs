//! ACK frames (RFC 9000 §19.3): ranges, highest first, with or without ECN counts.

use super::codec::{FrameError, Full, Reader, Writer, varint_len};
use core::ops::RangeInclusive;

/// Packets received by their ECN codepoint, as an ACK reports them (RFC 9000 §19.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EcnCounts {
    /// ECT(0).
    pub ect0: u64,
    /// ECT(1).
    pub ect1: u64,
    /// Congestion experienced.
    pub ce: u64,
}

/// An ACK frame, its ranges checked and still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Largest packet number acknowledged.
    pub largest: u64,
    /// Delay, in units of the peer's ack_delay_exponent.
    pub delay: u64,
    /// Length of the first range minus one.
    first: u64,
    /// Further ranges.
    count: u64,
    ranges: &'a [u8],
    /// ECN counts, if the frame has them.
    pub ecn: Option<EcnCounts>,
}

impl Ack<'_> {
    /// Packet numbers acknowledged, highest range first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let mut r = Reader::new(self.ranges);
        let mut next = Some(self.largest.saturating_sub(self.first)..=self.largest);
        core::iter::from_fn(move || {
            let current = next.take()?;
            next = read_range(&mut r, *current.start()).ok();
            Some(current)
        })
    }
}

fn read_range(r: &mut Reader<'_>, smallest: u64) -> Result<RangeInclusive<u64>, FrameError> {
    let (gap, len) = (r.varint()?, r.varint()?);
    let end = smallest.checked_sub(gap).and_then(|x| x.checked_sub(2)).ok_or(FrameError::Range)?;
    let start = end.checked_sub(len).ok_or(FrameError::Range)?;
    Ok(start..=end)
}

/// Reads what follows the frame's type.
pub(super) fn read<'a>(r: &mut Reader<'a>, has_ecn: bool) -> Result<Ack<'a>, FrameError> {
    let (largest, delay) = (r.varint()?, r.varint()?);
    let (count, first) = (r.varint()?, r.varint()?);
    let mut smallest = largest.checked_sub(first).ok_or(FrameError::Range)?;
    let mut behind = r.clone();
    for _ in 0..count {
        smallest = *read_range(&mut behind, smallest)?.start();
    }
    let ranges = r.bytes(r.remaining() - behind.remaining())?;
    let ecn = if has_ecn {
        Some(EcnCounts { ect0: r.varint()?, ect1: r.varint()?, ce: r.varint()? })
    } else {
        None
    };
    Ok(Ack { largest, delay, first, count, ranges, ecn })
}

/// Writes ACK for `ranges`, highest first and not touching each other, with `ecn` counts if any.
/// Drops the oldest ranges that do not fit; fails, having written nothing that counts, if not even
/// the first does.
pub fn write_ack(
    w: &mut Writer<'_>,
    delay: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>> + Clone,
    ecn: Option<EcnCounts>,
) -> Result<(), Full> {
    let counts = ecn.map_or([0; 3], |ecn| [ecn.ect0, ecn.ect1, ecn.ce]);
    let ecn_len = if ecn.is_some() { counts.iter().map(|n| varint_len(*n)).sum() } else { 0 };
    let room = w.remaining().checked_sub(ecn_len).ok_or(Full)?;
    let count = ranges_that_fit(room, delay, ranges.clone()).ok_or(Full)?;
    let Some(first) = ranges.next() else { return Err(Full) };
    w.u8(if ecn.is_some() { 0x03 } else { 0x02 })?;
    w.varint(*first.end())?;
    w.varint(delay)?;
    w.varint(count as u64)?;
    w.varint(first.end() - first.start())?;
    let mut smallest = *first.start();
    for range in ranges.take(count) {
        w.varint(smallest - range.end() - 2)?;
        w.varint(range.end() - range.start())?;
        smallest = *range.start();
    }
    if ecn.is_some() {
        counts.iter().try_for_each(|n| w.varint(*n))?;
    }
    Ok(())
}

fn ranges_that_fit(
    room: usize,
    delay: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>>,
) -> Option<usize> {
    let first = ranges.next()?;
    // Two bytes for the count: a packet holds no more ranges than they can say.
    let mut used = 1 + varint_len(*first.end()) + varint_len(delay) + 2;
    used += varint_len(first.end() - first.start());
    if used > room {
        return None;
    }
    let (mut count, mut smallest) = (0, *first.start());
    for range in ranges {
        used += varint_len(smallest - range.end() - 2) + varint_len(range.end() - range.start());
        if used > room {
            break;
        }
        count += 1;
        smallest = *range.start();
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const ECN: EcnCounts = EcnCounts { ect0: 900, ect1: 0, ce: 3 };

    fn written(
        room: usize,
        delay: u64,
        ranges: &[RangeInclusive<u64>],
        ecn: Option<EcnCounts>,
    ) -> Result<Vec<u8>, Full> {
        let mut buf = [0; 256];
        let mut w = Writer::new(&mut buf[..room]);
        write_ack(&mut w, delay, ranges.iter().cloned(), ecn)?;
        let len = w.len();
        Ok(buf[..len].to_vec())
    }

    fn one(bytes: &[u8]) -> Result<Ack<'_>, FrameError> {
        let mut r = Reader::new(bytes);
        let kind = r.u8()?;
        let ack = read(&mut r, kind == 0x03)?;
        assert!(r.is_empty());
        Ok(ack)
    }

    #[test]
    fn ranges_and_counts_round_trip() {
        let ranges = [90..=100, 50..=60, 0..=3];
        for ecn in [None, Some(ECN)] {
            let bytes = written(256, 7, &ranges, ecn).unwrap();
            let ack = one(&bytes).unwrap();
            assert_eq!((ack.largest, ack.delay, ack.ecn), (100, 7, ecn));
            assert_eq!(ack.ranges().collect::<Vec<_>>(), ranges);
            for cut in 1..bytes.len() {
                assert_eq!(one(&bytes[..cut]), Err(FrameError::Truncated));
            }
        }
    }

    #[test]
    fn the_oldest_ranges_are_dropped_when_room_is_short() {
        let ranges = [90..=95, 50..=60, 0..=3];
        let bytes = written(9, 0, &ranges, None).unwrap();
        assert_eq!(one(&bytes).unwrap().ranges().collect::<Vec<_>>(), ranges[..2]);
        let bytes = written(13, 0, &ranges, Some(ECN)).unwrap();
        let ack = one(&bytes).unwrap();
        assert_eq!((ack.ranges().collect::<Vec<_>>(), ack.ecn), (ranges[..2].to_vec(), Some(ECN)));
        assert_eq!(written(3, 0, &ranges, Some(ECN)), Err(Full));
    }

    #[test]
    fn below_zero_is_out_of_range() {
        assert_eq!(one(&[0x02, 5, 0, 0, 6]), Err(FrameError::Range));
        assert_eq!(one(&[0x02, 9, 0, 1, 2, 6, 0]), Err(FrameError::Range));
    }
}
