//! What an owner signs for a device: in which ownership, and the list of what was taken back.
//!
//! Owns which list is the newest: the one kept here or the server's, whichever has the higher
//! number and this owner's signature. So a server can neither invent a list nor make one go back.
//! Does not own what is put on the list.

use rit_core::base::PublicKey;
use rit_core::crypto::default_provider;
use rit_core::trust::{Revocations, TrustState};
use rit_core::wire::text::key_to_text;
use serde_json::{Value, json};

use crate::App;
use crate::error::{Error, Exit};
use crate::state::Owned;
use crate::text;

/// A device of this person's.
pub(crate) struct Device {
    pub(crate) key: PublicKey,
    pub(crate) epoch: u32,
    pub(crate) revoked: Revocations,
}

/// The device, if it is this person's: by what is kept here, and what the server says. `Ok(None)`:
/// it is somebody else's.
pub(crate) fn find(app: &App, key: &PublicKey) -> Result<Option<Device>, Error> {
    let me = app.state.identity()?.public_key();
    let kept = app.state.read()?.devices.get(&key_to_text(key)).cloned();
    let told = app.api().and_then(|mut api| api.get(&format!("/devices/{}", key_to_text(key))));
    let told_owner = told.as_ref().ok().and_then(|told| told["owner"].as_str());
    let is_told = told_owner == Some(&key_to_text(&me));
    let told_epoch = told.as_ref().ok().and_then(|told| told["epoch"].as_u64());
    let told_epoch = told_epoch.and_then(|epoch| u32::try_from(epoch).ok());
    let epoch = match (&kept, told_epoch) {
        (_, Some(epoch)) if is_told => epoch,
        // The server forgot, or lies: the device decides.
        (Some(kept), _) => kept.epoch,
        (None, _) => return told.map(|_| None).or_else(unless_unknown),
    };
    let mut state = TrustState::owned(me, epoch);
    let lists = [kept.and_then(|kept| kept.list), told_list(app, key)];
    for list in lists.into_iter().flatten() {
        let list = text::from_base64(&list, "the revocation list")?;
        // Of an earlier ownership, older, or nobody's: it does not count.
        let _ = state.revoke(default_provider(), key, &list);
    }
    Ok(Some(Device { key: *key, epoch, revoked: state.revoked().clone() }))
}

/// Without a login, or for a device that the server does not show, there is only what is kept.
fn unless_unknown(error: Error) -> Result<Option<Device>, Error> {
    match error.exit {
        Exit::LoggedOut | Exit::Unknown | Exit::Refused => Ok(None),
        _ => Err(error),
    }
}

/// The device, or why not.
pub(crate) fn need(app: &App, key: &PublicKey) -> Result<Device, Error> {
    find(app, key)?.ok_or_else(|| {
        Error::new(Exit::Refused, "the device is not yours")
            .advice("Only its owner can do this; `rit devices` shows who that is.")
    })
}

fn told_list(app: &App, key: &PublicKey) -> Option<String> {
    let path = format!("/devices/{}/revocations", key_to_text(key));
    let answer = app.api().and_then(|mut api| api.get(&path)).ok()?;
    answer["list"].as_str().map(str::to_owned)
}

impl Device {
    /// Signs the list with the next number, keeps it, and has it delivered: whether the device has
    /// it already.
    pub(crate) fn revoke(&self, app: &App, mut revoked: Revocations) -> Result<bool, Error> {
        revoked.number = self.revoked.number + 1;
        self.drop_expired(app, &mut revoked)?;
        let signer = app.state.identity()?.signer();
        let list =
            revoked.sign(&self.key, self.epoch, text::now_s(), &signer).map_err(|error| {
                Error::failed(error.to_string()).advice(
                    "The list is full: rit revoke --all, and share anew what is still wanted.",
                )
            })?;
        self.keep(app, |owned| owned.list = Some(text::base64(&list)))?;
        deliver(app, &self.key, &list)
    }

    /// Grants that have expired need no entry.
    fn drop_expired(&self, app: &App, revoked: &mut Revocations) -> Result<(), Error> {
        let now = text::now_s();
        let kept = app.state.read()?.devices.remove(&key_to_text(&self.key)).unwrap_or_default();
        revoked.ids.retain(|id| {
            let id = data_encoding::HEXLOWER.encode(&id.0);
            let given = kept.grants.iter().find(|given| given.id == id);
            given.and_then(|given| given.expires_s).is_none_or(|expires_s| expires_s >= now)
        });
        Ok(())
    }

    /// Changes what is kept of the device.
    pub(crate) fn keep(&self, app: &App, change: impl FnOnce(&mut Owned)) -> Result<(), Error> {
        app.state.change(|stored| {
            let owned = stored.devices.entry(key_to_text(&self.key)).or_default();
            if owned.epoch != self.epoch {
                *owned = Owned { epoch: self.epoch, ..Owned::default() };
            }
            change(owned);
        })
    }
}

/// Gives a list to the server, which hands it to the device: whether that has it already.
pub(crate) fn deliver(app: &App, key: &PublicKey, list: &[u8]) -> Result<bool, Error> {
    let path = format!("/devices/{}/revocations", key_to_text(key));
    let answer: Value = app.api()?.put(&path, &json!({ "list": text::base64(list) }))?;
    Ok(answer["is_delivered"].as_bool().unwrap_or(false))
}
