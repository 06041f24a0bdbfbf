//! The API's client with a server that answers what it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// Answers as many requests as there are answers; gives what was asked.
fn server(answers: Vec<(u16, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            asked.push(request(&mut reader));
            let mut stream = reader.into_inner();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
        asked
    });
    (base, thread)
}

/// Request line, token and body.
fn request(reader: &mut impl BufRead) -> String {
    let (mut out, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if out.is_empty() || lower.starts_with("authorization:") {
            out += line.trim_end();
            out += "\n";
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    out + &String::from_utf8(body).unwrap()
}

fn api(base: &str, token: Option<&str>) -> (tempfile::TempDir, Api) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path().join("rit")).unwrap();
    let login = Login {
        broker: format!("rit://{}@127.0.0.1", key_to_text(&PublicKey([9; 32]))),
        http: Some(base.to_owned()),
        is_public: false,
        user: None,
        token: token.map(str::to_owned),
    };
    state.change(|stored| stored.login = Some(login.clone())).unwrap();
    let api = Api::new(&state, &login).unwrap();
    (dir, api)
}

#[test]
fn an_old_token_is_renewed_by_the_key() {
    let (base, thread) = server(vec![
        (401, r#"{"title":"token expired"}"#),
        (200, r#"{"nonce":"AAECAwQFBgcICQoLDA0ODw"}"#),
        (200, r#"{"token":"new"}"#),
        (200, r#"{"devices":[{"name":"a"}]}"#),
    ]);
    let (_dir, mut api) = api(&base, Some("old"));
    let devices = entries(api.get("/devices").unwrap(), "devices");
    assert_eq!(devices[0]["name"], "a");
    let asked = thread.join().unwrap();
    assert!(asked[0].contains("GET /api/v1/devices") && asked[0].contains("Bearer old"));
    assert!(asked[3].contains("Bearer new"));
    assert!(asked[1].contains("POST /api/v1/challenge") && !asked[1].contains("Bearer"));
    let proof: Value = serde_json::from_str(asked[2].lines().last().unwrap()).unwrap();
    let signature = text::from_base64(proof["signature"].as_str().unwrap(), "").unwrap();
    let nonce: Vec<u8> = (0..16).collect();
    let message = [b"rit/1 login".as_slice(), &[9; 32], &nonce].concat();
    let key = api.identity.public_key();
    assert_eq!(proof["key"], key_to_text(&key));
    assert!(rit_core::crypto::verify(&key, &message, &signature.try_into().unwrap()));
    assert_eq!(api.state.read().unwrap().login.unwrap().token.as_deref(), Some("new"));
}

#[test]
fn refusals_say_what_to_do() {
    let cases = [
        (403, r#"{"detail":"not your device"}"#, Exit::Refused, "not your device"),
        (404, "", Exit::Unknown, "status 404"),
        (
            409,
            r#"{"title":"the device is offline","code":"offline"}"#,
            Exit::Unreachable,
            "offline",
        ),
        (500, "<html>", Exit::Failed, "status 500"),
        (200, "<html>", Exit::Failed, "no JSON"),
    ];
    for (status, body, exit, words) in cases {
        let (base, thread) = server(vec![(status, body)]);
        let (_dir, mut api) = api(&base, Some("t"));
        let error = api.post("/x", &json!({})).unwrap_err();
        assert_eq!(error.exit, exit, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn plain_http_stays_on_this_machine() {
    let uri: Uri =
        format!("rit://{}@host.example:7480", key_to_text(&PublicKey([9; 32]))).parse().unwrap();
    let url = |http| base_url(&uri, http).map_err(|error| error.exit);
    assert_eq!(url(None).as_deref(), Ok("https://host.example:7480"));
    assert_eq!(url(Some("8443")).as_deref(), Ok("https://host.example:8443"));
    assert_eq!(url(Some("https://a.example/")).as_deref(), Ok("https://a.example"));
    assert_eq!(url(Some("http://127.0.0.1:80")).as_deref(), Ok("http://127.0.0.1:80"));
    assert_eq!(url(Some("http://[::1]:80")).as_deref(), Ok("http://[::1]:80"));
    for wrong in ["http://a.example", "http://127.0.0.1.example", "ftp://a", "0", "http://"] {
        assert_eq!(url(Some(wrong)), Err(Exit::Usage), "{wrong}");
    }
}
