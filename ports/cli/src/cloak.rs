//! `rit cloak`: lets a device of one's own answer who asks who is there, for a while, or no more.
//!
//! Owns which number a statement has. Does not own when the device cloaks itself again: it does so
//! at the end of that time, when it restarts, and when its owner changes.

use rit_core::base::PublicKey;
use rit_core::trust::{CLOAK_FOR_MAX_S, NoteError, sign_cloak};
use rit_core::wire::message::{NOTE_CLOAK, NOTE_DONE};
use rit_core::wire::text::key_to_text;
use serde_json::json;

use crate::App;
use crate::args;
use crate::error::{Error, other};
use crate::{claim, names, owned, text};

/// `rit cloak off` and `rit cloak on`.
pub(crate) fn cloak(app: &App, command: &args::Cloak) -> Result<(), Error> {
    let (name, for_s) = match command {
        args::Cloak::Off { device, for_s } => (device, *for_s),
        args::Cloak::On { device } => (device, 0),
    };
    let device = names::device(app, name)?;
    let until_s = tell(app, &device, for_s)?;
    if app.json {
        let until_s = Some(until_s).filter(|_| for_s > 0);
        return app.print_json(&json!({
            "device": key_to_text(&device), "is_cloaked": for_s == 0, "until_s": until_s,
        }));
    }
    if for_s == 0 {
        println!("cloaked: the device answers nobody whom you do not let in");
    } else {
        println!("the cloak is off until {} ({})", text::time(until_s), text::ago(until_s));
        println!("the device answers identification probes; rit cloak on {name} ends that");
    }
    Ok(())
}

/// Signs it and has it done; when its time is over.
fn tell(app: &App, device: &PublicKey, for_s: u32) -> Result<u64, Error> {
    let own = owned::need(app, device)?;
    let (now_s, mut number) = (text::now_s(), 0);
    own.keep(app, |owned| {
        // Higher than what another copy of this folder signed before.
        number = now_s.max(owned.cloak_number.saturating_add(1));
        owned.cloak_number = number;
    })?;
    let signer = app.state.identity()?.signer();
    let statement = sign_cloak(device, own.epoch, number, now_s, for_s, &signer).map_err(other)?;
    let (kind, body) = app.api()?.note(device, NOTE_CLOAK, &statement)?;
    if kind == u64::from(NOTE_DONE) && body == [0] {
        return Ok(now_s + u64::from(for_s));
    }
    Err(match NoteError::of_body(&body) {
        Err(NoteError::Malformed) => {
            claim::refused(&body).advice("Its version of librit is too old for that.")
        }
        Err(NoteError::Time) => {
            claim::refused(&body).advice("Is the clock of this machine right, and the device's?")
        }
        Err(NoteError::Store) => {
            claim::refused(&body).advice("Its log says why. It stays cloaked.")
        }
        _ => claim::refused(&body),
    })
}

/// `--for` of `rit cloak off`.
pub(crate) fn for_s(text: &str) -> Result<u32, String> {
    let seconds = text::duration_s(text)?;
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds <= CLOAK_FOR_MAX_S);
    seconds.ok_or_else(|| "a device may be found for a day at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_at_most() {
        assert_eq!((for_s("1s"), for_s("10m"), for_s("24h")), (Ok(1), Ok(600), Ok(86_400)));
        assert_eq!(for_s("1d"), Ok(CLOAK_FOR_MAX_S));
        for wrong in ["", "0s", "86401s", "2d", "49711d", "10"] {
            assert!(for_s(wrong).is_err(), "{wrong}");
        }
    }
}
