//! Random lives of a device with owners, each act checked against a model that is ten lines of
//! truth: who may use it now, with what, and whose session still runs.

use rit_core::base::Rng;
use rit_core::node::SessionId;
use rit_core::trust::{GrantId, ServiceList, Services, Terms};
use rit_tests::sim::estate::{Estate, SHELL, WEB, secret};
use rit_tests::sim::host::HostId;
use rit_tests::sim::seeds;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LIVES: u64 = 12;
const ACTS: u32 = 60;

/// One grant that was made at some time.
struct Made {
    to: HostId,
    chain: Vec<u8>,
    id: GrantId,
    epoch: u32,
    expires_s: Option<u64>,
    has_shell: bool,
    is_revoked: bool,
}

/// By what a session runs.
#[derive(Clone, Copy)]
enum By {
    /// As the owner of this epoch.
    Ownership(u32),
    /// By this grant.
    Grant(usize),
}

/// What is true.
struct Model {
    owner: Option<HostId>,
    epoch: u32,
    list: u64,
    grants: Vec<Made>,
    sessions: Vec<(HostId, SessionId, By)>,
}

impl Model {
    fn holds(&self, by: By, now_s: u64) -> bool {
        match by {
            By::Ownership(epoch) => self.owner.is_some() && epoch == self.epoch,
            By::Grant(at) => {
                let grant = &self.grants[at];
                self.owner.is_some()
                    && grant.epoch == self.epoch
                    && !grant.is_revoked
                    && grant.expires_s.is_none_or(|expires_s| now_s < expires_s)
            }
        }
    }

    /// By what `host` may come that shows this grant.
    fn may_come(&self, host: HostId, grant: Option<usize>, now_s: u64) -> Option<By> {
        if self.owner == Some(host) {
            return Some(By::Ownership(self.epoch));
        }
        let by = By::Grant(grant.filter(|at| self.grants[*at].to == host)?);
        self.holds(by, now_s).then_some(by)
    }
}

struct Life {
    estate: Estate,
    model: Model,
    rng: Rng,
    /// Sessions that came up, and those of them that what was done ended.
    came: u64,
    ended: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let model =
            Model { owner: None, epoch: 0, list: 0, grants: Vec::new(), sessions: Vec::new() };
        Life {
            estate: Estate::new(seed),
            model,
            rng: Rng::from_seed([seed as u8; 32]),
            came: 0,
            ended: 0,
        }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { of.get(self.rng.below(of.len() as u64) as usize).copied() }
    }

    fn host(&mut self) -> HostId {
        let hosts = self.estate.nodes();
        self.pick(&hosts[1..]).expect("there are three")
    }

    fn some_grant(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.model.grants.len()).collect();
        self.pick(&all)
    }

    fn act(&mut self) {
        match self.rng.below(20) {
            0..=2 => self.claim(),
            3..=6 => self.grant(),
            7 | 8 => self.revoke(),
            9 => self.transfer(),
            10 => self.reset(),
            11 => self.restart(),
            12 | 13 => {
                let seconds = self.rng.below(200);
                self.estate.world.run_for(Duration::from_secs(seconds));
            }
            _ => self.come(),
        }
        self.look();
    }

    fn claim(&mut self) {
        let host = self.host();
        let claimed = self.estate.claim_by(host, secret());
        assert_eq!(claimed.is_ok(), self.model.owner.is_none(), "{}", self.estate.events());
        if let Ok(epoch) = claimed {
            self.owned(host);
            assert_eq!(epoch, self.model.epoch);
        }
    }

    fn owned(&mut self, host: HostId) {
        (self.model.owner, self.model.list) = (Some(host), 0);
        self.model.epoch += 1;
        self.estate.owner = host;
    }

    fn grant(&mut self) {
        if self.model.owner.is_none() {
            return;
        }
        let (to, has_shell) = (self.host(), self.rng.below(2) == 0);
        let life = self.rng.below(400);
        let expires_s = Some(self.estate.unix_s() + life).filter(|_| life > 100);
        let web = ServiceList::of(&[WEB]).expect("one name");
        let services = if has_shell { Services::ALL } else { web.services() };
        let must_be_fresh = self.rng.below(4) == 0;
        let terms = self.estate.terms(to, |_| {});
        let terms = Terms { services, expires_s, must_be_fresh, ..terms };
        let chain = self.estate.append(&[], self.estate.owner, &terms);
        let (id, epoch) = (terms.id, self.model.epoch);
        let made = Made { to, chain, id, epoch, expires_s, has_shell, is_revoked: false };
        self.model.grants.push(made);
    }

    fn revoke(&mut self) {
        let Some(at) = self.some_grant().filter(|_| self.model.owner.is_some()) else { return };
        if self.model.grants[at].epoch != self.model.epoch {
            return;
        }
        self.model.grants[at].is_revoked = true;
        self.model.list += 1;
        let revoked = self.model.grants.iter().filter(|grant| grant.is_revoked);
        let ids: Vec<GrantId> = revoked.map(|grant| grant.id).collect();
        assert_eq!(self.estate.revoke(self.model.list, &ids), Ok(0), "{}", self.estate.events());
    }

    fn transfer(&mut self) {
        if self.model.owner.is_some() {
            let to = self.host();
            assert_eq!(self.estate.transfer(to), Ok(0), "{}", self.estate.events());
            self.owned(to);
        }
    }

    fn reset(&mut self) {
        let device = self.estate.device;
        self.estate.world.with(device, |node, _, _| node.factory_reset()).expect("nothing waits");
        self.model.owner = None;
    }

    fn restart(&mut self) {
        self.estate.restart_device();
        for (host, session, _) in std::mem::take(&mut self.model.sessions) {
            let close = |node: &mut rit_core::node::Node, _: &mut _, now| {
                let _ = node.session_close(session, 0, now);
            };
            self.estate.world.with(host, close);
        }
    }

    /// Somebody asks for a session, and uses what there is.
    fn come(&mut self) {
        let (host, grant) = (self.host(), self.some_grant());
        let chain = grant.map_or(Vec::new(), |at| self.model.grants[at].chain.clone());
        // What expires while it is asked for may go either way.
        let now_s = self.estate.unix_s();
        let by = self.model.may_come(host, grant, now_s);
        if self.model.may_come(host, grant, now_s + 20).is_some() != by.is_some() {
            return;
        }
        let Some(by) = by else { return self.estate.no_session(host, &chain) };
        let session = self.estate.session(host, &chain);
        let has_shell = match by {
            By::Ownership(_) => true,
            By::Grant(at) => self.model.grants[at].has_shell,
        };
        assert!(self.estate.can_use(host, session, WEB), "{}", self.estate.events());
        assert_eq!(self.estate.can_use(host, session, SHELL), has_shell);
        self.model.sessions.push((host, session, by));
        self.came += 1;
    }

    /// Sessions run as long as they may, and not longer.
    fn look(&mut self) {
        self.estate.world.run_for(Duration::from_secs(2));
        let now_s = self.estate.unix_s();
        for (host, session, by) in std::mem::take(&mut self.model.sessions) {
            let (holds, held) = (self.model.holds(by, now_s), self.model.holds(by, now_s - 2));
            if holds == held {
                let is_over = self.estate.is_over(host, session);
                assert_eq!(is_over, !holds, "{host:?} {session:?}: {}", self.estate.events());
            }
            if holds {
                self.model.sessions.push((host, session, by));
            } else {
                self.ended += 1;
            }
        }
        let owner = self.model.owner.map(|owner| self.estate.world.key(owner));
        assert_eq!(self.estate.state().owner(), owner.as_ref());
        assert_eq!(self.estate.state().epoch(), self.model.epoch);
    }
}

#[test]
fn lives_go_as_the_model_says() {
    let (came, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    seeds::run("lives", LIVES, |seed| {
        let mut life = Life::new(1000 + seed);
        (0..ACTS).for_each(|_| life.act());
        came.fetch_add(life.came, Ordering::Relaxed);
        ended.fetch_add(life.ended, Ordering::Relaxed);
    });
    // Or nothing was tried.
    assert!(came.into_inner() > ended.load(Ordering::Relaxed) && ended.into_inner() > 0);
}
