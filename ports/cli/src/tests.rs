//! What owners do, with a device that decides as devices do, behind a server that passes things on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::Parser;
use rit_core::base::{PublicKey, Rng};
use rit_core::crypto::default_provider;
use rit_core::trust::{
    ClaimSecret, Claiming, GrantError, TrustState, WallTime, authorize, decode_chain,
};
use rit_core::wire::text::key_to_text;
use serde_json::{Value, json};

use crate::args::Cli;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::state::{Login, State};
use crate::{App, text};

const DEVICE: PublicKey = PublicKey([4; 32]);
const SECRET: [u8; 15] = *b"printed on this";

/// The device, and what the server keeps.
struct Home {
    trust: TrustState,
    claiming: Claiming,
    rng: Rng,
    grants: Vec<Vec<u8>>,
    list: Option<Vec<u8>>,
    /// The server answers with an older list.
    is_forgetful: bool,
}

impl Home {
    fn may(&self, who: &PublicKey, chain: &[u8]) -> Result<(), GrantError> {
        let time = WallTime { unix_s: Some(text::now_s()), fresh: None };
        authorize(default_provider(), &self.trust, &DEVICE, who, chain, time).map(|_| ())
    }

    fn answer(&mut self, request: &str, body: &Value) -> Result<Value, u16> {
        let bytes = |name: &str| text::from_base64(body[name].as_str().unwrap_or(""), "").unwrap();
        let (method, path) = request.split_once(" /api/v1").ok_or(404u16)?;
        let path = path.split([' ', '?']).next().unwrap_or_default();
        let device = format!("/devices/{}", key_to_text(&DEVICE));
        match (method, path.strip_prefix(&device).unwrap_or(path)) {
            ("POST", "/notes") => self.note(body["kind"].as_u64().unwrap(), &bytes("body")),
            ("GET", "") => Ok(json!({
                "owner": self.trust.owner().map(key_to_text), "epoch": self.trust.epoch(),
            })),
            ("GET", "/revocations") => {
                let list = self.list.as_ref().filter(|_| !self.is_forgetful);
                Ok(json!({ "list": list.map(|list| text::base64(list)) }))
            }
            ("PUT", "/revocations") => {
                let list = bytes("list");
                self.trust.revoke(default_provider(), &DEVICE, &list).map_err(|_| 409u16)?;
                self.list = Some(list);
                Ok(json!({ "is_delivered": true }))
            }
            ("POST", "/transfer") => {
                let done = self.trust.transfer(default_provider(), &DEVICE, &bytes("statement"));
                Ok(done_note(if done.is_ok() { 0 } else { 5 }))
            }
            ("POST", "/grants") => {
                self.grants.push(bytes("chain"));
                Ok(json!({ "id": "" }))
            }
            ("GET", "/grants") => {
                let chains = self.grants.iter().map(|it| json!({ "chain": text::base64(it) }));
                Ok(json!({ "grants": chains.collect::<Vec<_>>() }))
            }
            ("DELETE", _) => Ok(Value::Null),
            _ => Err(404),
        }
    }

    fn note(&mut self, kind: u64, body: &[u8]) -> Result<Value, u16> {
        let (p, secret) = (default_provider(), ClaimSecret::new(SECRET));
        let answer = match kind {
            1 => self.claiming.ask(&self.trust, &mut self.rng).map(|it| (2, it.to_vec())),
            3 => {
                self.claiming.accept(p, &mut self.trust, &DEVICE, [&secret], body).map(|it| (4, it))
            }
            _ => return Err(400),
        };
        Ok(match answer {
            Ok((kind, body)) => json!({ "kind": kind, "body": text::base64(&body) }),
            Err(error) => done_note(rit_core::trust::NoteError::from(error).code()),
        })
    }
}

fn done_note(code: u8) -> Value {
    json!({ "kind": 7, "body": text::base64(&[code]) })
}

fn serve(stream: TcpStream, home: &Mutex<Home>) {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if request.is_empty() {
            request = line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let answer = home.lock().unwrap().answer(&request, &body);
    let (status, body) = answer.map_or_else(
        |status| (status, json!({ "title": "no" }).to_string()),
        |answer| (200, answer.to_string()),
    );
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = reader.into_inner().write_all((head + &body).as_bytes());
}

/// A server with the device, and the address of its API.
fn home() -> (Arc<Mutex<Home>>, String) {
    let home = Arc::new(Mutex::new(Home {
        trust: TrustState::new(),
        claiming: Claiming::new(),
        rng: Rng::from_seed([8; 32]),
        grants: Vec::new(),
        list: None,
        is_forgetful: false,
    }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shared = home.clone();
    // It ends with the process of the test.
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| serve(stream, &shared));
    });
    (home, base)
}

/// Somebody who is logged in there.
struct Person {
    app: App,
    key: PublicKey,
    _dir: tempfile::TempDir,
}

impl Person {
    fn new(base: &str) -> Person {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path().join("rit")).unwrap();
        let login = Login {
            broker: format!("rit://{}@127.0.0.1", key_to_text(&PublicKey([9; 32]))),
            http: Some(base.to_owned()),
            is_public: false,
            user: None,
            token: Some("token".to_owned()),
        };
        state.change(|stored| stored.login = Some(login)).unwrap();
        let key = state.identity().unwrap().public_key();
        let (config_path, config) = (dir.path().join("config.toml"), Config::default());
        Person { app: App { json: true, config_path, config, state }, key, _dir: dir }
    }

    /// Types a command; `DEVICE` in it stands for the device.
    fn types(&self, line: &str) -> Result<(), Error> {
        let line = format!("rit {line}").replace("DEVICE", &key_to_text(&DEVICE));
        crate::dispatch(&self.app, &Cli::parse_from(line.split(' ')).command)
    }

    fn claims(&self) {
        let secret = ClaimSecret::new(SECRET).to_text();
        self.types(&format!("claim {} DEVICE", *secret)).unwrap();
    }

    fn shares(&self, with: &Person, options: &str) -> Result<(), Error> {
        self.types(&format!("share DEVICE --to {} {options}", key_to_text(&with.key)))
    }
}

#[test]
fn claimed_by_the_secret_alone() {
    let (home, base) = home();
    let (ann, eve) = (Person::new(&base), Person::new(&base));
    let wrong = ClaimSecret::new([0; 15]).to_text();
    let error = eve.types(&format!("claim {} DEVICE", *wrong)).unwrap_err();
    assert!(error.exit == Exit::Refused && error.to_string().contains("secret is wrong"));
    ann.claims();
    assert_eq!(home.lock().unwrap().trust.owner(), Some(&ann.key));
    let kept = ann.app.state.read().unwrap().devices[&key_to_text(&DEVICE)].clone();
    assert_eq!((kept.epoch, kept.list), (1, None));
    let secret = ClaimSecret::new(SECRET).to_text();
    let error = eve.types(&format!("claim {} DEVICE", *secret)).unwrap_err();
    assert!(error.to_string().contains("has an owner already"), "{error}");
}

#[test]
fn shared_shared_on_and_taken_back() {
    let (home, base) = home();
    let [ann, bob, carol] = [(); 3].map(|()| Person::new(&base));
    ann.claims();
    ann.shares(&bob, "--services ssh,web --can-share 1 --for 1h").unwrap();
    assert_eq!(bob.shares(&carol, "--all").unwrap_err().exit, Exit::Refused);
    assert_eq!(carol.shares(&bob, "--all").unwrap_err().exit, Exit::Refused);
    bob.shares(&carol, "--services web").unwrap();
    let (first, second) = {
        let home = home.lock().unwrap();
        (home.grants[0].clone(), home.grants[1].clone())
    };
    let grants = decode_chain(&second).unwrap();
    assert_eq!(grants.len(), 2);
    assert_eq!(grants[1].terms.expires_s, grants[0].terms.expires_s);
    let may = |who: &Person, chain: &[u8]| home.lock().unwrap().may(&who.key, chain);
    assert_eq!((may(&bob, &first), may(&carol, &second)), (Ok(()), Ok(())));
    let id = data_encoding::HEXLOWER.encode(&grants[1].terms.id.0);
    assert_eq!(bob.types(&format!("revoke {id}")).unwrap_err().exit, Exit::Refused);
    ann.types(&format!("revoke {}", &id[..8])).unwrap();
    assert_eq!((may(&bob, &first), may(&carol, &second)), (Ok(()), Err(GrantError::Revoked)));
    ann.types(&format!("revoke --key {} --device DEVICE", key_to_text(&bob.key))).unwrap();
    assert_eq!(may(&bob, &first), Err(GrantError::RevokedKey));
}

#[test]
fn a_forgetful_server_makes_no_list_go_back() {
    let (home, base) = home();
    let [ann, bob, carol] = [(); 3].map(|()| Person::new(&base));
    ann.claims();
    for other in [&bob, &carol] {
        ann.shares(other, "--all").unwrap();
    }
    let chains = home.lock().unwrap().grants.clone();
    let id =
        |chain: &[u8]| data_encoding::HEXLOWER.encode(&decode_chain(chain).unwrap()[0].terms.id.0);
    ann.types(&format!("revoke {}", id(&chains[0]))).unwrap();
    home.lock().unwrap().is_forgetful = true;
    ann.types(&format!("revoke {}", id(&chains[1]))).unwrap();
    let revoked = home.lock().unwrap().trust.revoked().clone();
    assert_eq!((revoked.number, revoked.ids.len()), (2, 2));
    // All until now; what is made after that is good.
    ann.types("revoke --all --device DEVICE").unwrap();
    ann.shares(&bob, "--all").unwrap();
    let home = home.lock().unwrap();
    assert_eq!(home.may(&bob.key, &chains[0]), Err(GrantError::BelowFloor));
    assert_eq!(home.may(&bob.key, home.grants.last().unwrap()), Ok(()));
}

#[test]
fn transferred_and_no_longer_one_s_own() {
    let (home, base) = home();
    let (ann, bob) = (Person::new(&base), Person::new(&base));
    ann.claims();
    let to_bob = format!("transfer DEVICE --yes --to {}", key_to_text(&bob.key));
    assert_eq!(bob.types(&to_bob).unwrap_err().exit, Exit::Refused);
    ann.types(&to_bob).unwrap();
    assert_eq!(home.lock().unwrap().trust.owner(), Some(&bob.key));
    assert!(ann.app.state.read().unwrap().devices.is_empty());
    assert_eq!(ann.shares(&bob, "--all").unwrap_err().exit, Exit::Refused);
    bob.shares(&ann, "--all --fresh").unwrap();
    let home = home.lock().unwrap();
    let terms = decode_chain(&home.grants[0]).unwrap()[0].terms;
    assert!((terms.epoch, terms.must_be_fresh) == (2, true) && terms.subject == ann.key);
}
