//! The face as a browser sees it: real TLS and HTTP, a real broker and session.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::testing::{ACCOUNT, BIG_LEN, Bed, DOMAIN, MAIN, OTHER_ACCOUNT, PATIENCE, field, status};

#[tokio::test]
async fn a_person_reaches_a_service_after_the_login() {
    let bed = Bed::new();
    let label = bed.allow("web").await;
    let sent = bed.get(&label, "/a?b=c", "").await;
    assert_eq!(status(&sent), "303", "{sent}");
    let location = field(&sent, "location").unwrap();
    assert!(location.starts_with(&format!("{MAIN}/face?to={label}&state=")), "{location}");
    assert!(location.ends_with("&path=/a%3Fb%3Dc"), "{location}");

    let cookie = bed.log_in(&label).await;
    let fields = format!("Cookie: {cookie}; mine=1\r\nX-Forwarded-For: 1.2.3.4\r\nX-Own: 2\r\n");
    let answer = bed.get(&label, "/head", &fields).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let (_, head) = answer.split_once("\r\n\r\n").unwrap();
    let host = format!("{label}.{DOMAIN}");
    assert_eq!(field(head, "host"), Some(&host[..]), "{head}");
    assert_eq!(field(head, "cookie"), Some("mine=1"), "{head}");
    assert_eq!(field(head, "x-own"), Some("2"), "{head}");
    assert_eq!(field(head, "x-forwarded-for"), Some("127.0.0.1"), "{head}");
    let forwarded = format!("for=127.0.0.1;host={host};proto=https");
    assert_eq!(field(head, "forwarded"), Some(&forwarded[..]), "{head}");
    assert_eq!(field(&answer, "set-cookie"), Some("own=1"), "its domain is taken off");
    assert_eq!(field(&answer, "keep-alive"), None);
    assert!(field(&answer, "rit-relay").is_some());
}

#[tokio::test]
async fn wrong_hosts_are_misdirected() {
    let bed = Bed::new();
    let (label, unknown) = (bed.allow("web").await, bed.label("other"));
    let (host, other) = (format!("{label}.{DOMAIN}"), format!("{unknown}.{DOMAIN}"));
    let ask = async |name: &str, target: &str, hosts: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        status(&bed.ask(name, &request).await).to_owned()
    };
    let good = format!("Host: {host}\r\n");
    assert_eq!(ask(&host, "/", &good).await, "303");
    assert_eq!(ask(&host, "/", &format!("Host: {}:443\r\n", host.to_uppercase())).await, "303");
    assert_eq!(ask(&host, &format!("https://{host}/"), &good).await, "303");
    assert_eq!(ask(&other, "/", &format!("Host: {other}\r\n")).await, "421", "no rule");
    assert_eq!(ask(&other, "/", &good).await, "421");
    assert_eq!(ask(&host, "/", &format!("Host: {other}\r\n")).await, "421");
    assert_eq!(ask("elsewhere.example", "/", &good).await, "421");
    assert_eq!(ask(&host, &format!("https://{other}/"), &good).await, "421");
    assert_eq!(ask(&host, "/", &format!("{good}{good}")).await, "421", "twice");
}

#[tokio::test]
async fn a_login_is_good_at_its_own_host_alone() {
    let bed = Bed::new();
    let (web, other) = (bed.allow("web").await, bed.allow("other").await);
    let cookie = bed.log_in(&web).await;
    let fields = format!("Cookie: {cookie}\r\n");
    assert_eq!(status(&bed.get(&web, "/", &fields).await), "200");
    assert_eq!(status(&bed.get(&other, "/", &fields).await), "303");
    assert_eq!(status(&bed.get(&web, "/.rit/enter?code=guessed&path=/", "").await), "403");
    let from = format!("{fields}Origin: https://{other}.{DOMAIN}\r\nSec-Fetch-Mode: cors\r\n");
    assert_eq!(status(&bed.get(&web, "/", &from).await), "403", "another service's page");
    bed.get(&web, "/.rit/leave", &fields).await;
    assert_eq!(status(&bed.get(&web, "/", &fields).await), "303", "left");
}

#[tokio::test]
async fn nobody_else_is_served() {
    let bed = Bed::new();
    let label = bed.allow("web").await;
    let cookie = bed.log_in(&label).await;
    let fields = format!("Cookie: {cookie}\r\n");
    // A rule of another keeps the host known.
    bed.allow_account("web", OTHER_ACCOUNT).await;
    bed.face.rules.0.remove_face_rule(&label, ACCOUNT).await.unwrap().unwrap();
    assert_eq!(status(&bed.get(&label, "/", &fields).await), "403");
    let host = format!("{label}.{DOMAIN}");
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(status(&bed.ask(&host, &post).await), "401");
}

#[tokio::test]
async fn bodies_stream_both_ways_on_one_connection() {
    let bed = Bed::new();
    let label = bed.allow("web").await;
    let cookie = bed.log_in(&label).await;
    let host = format!("{label}.{DOMAIN}");
    let body = "x".repeat(BIG_LEN);
    let sum = format!(
        "POST /sum HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: {BIG_LEN}\
         \r\n\r\n{body}"
    );
    let mut stream = bed.connect(&host).await;
    stream.write_all(sum.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(BIG_LEN.to_string().as_bytes()) {
        let read = stream.read_buf(&mut came);
        assert_ne!(tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap(), 0);
    }
    let big = format!(
        "GET /big HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(big.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    let read = stream.read_to_end(&mut came);
    let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert!(came.ends_with(&vec![b'b'; BIG_LEN]));
}

#[tokio::test]
async fn a_protocol_is_changed_and_ends_with_the_session() {
    let bed = Bed::new();
    let label = bed.allow("web").await;
    let cookie = bed.log_in(&label).await;
    let host = format!("{label}.{DOMAIN}");
    let mut stream = bed.connect(&host).await;
    let ask = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nOrigin: https://{host}\r\n\
         Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut came).await.unwrap(), 0);
    }
    let head = String::from_utf8(came).unwrap();
    assert_eq!(status(&head), "101", "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    for text in ["hello", "again"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }
    bed.face.forget(&bed.device.key, &[]);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
}

#[tokio::test]
async fn a_device_that_allows_it_no_more_is_not_reached() {
    let bed = Bed::new();
    let label = bed.allow("web").await;
    let fields = format!("Cookie: {}\r\n", bed.log_in(&label).await);
    assert_eq!(status(&bed.get(&label, "/", &fields).await), "200");
    bed.device.is_forbidden.store(true, Ordering::Relaxed);
    let answer = loop {
        let answer = bed.get(&label, "/", &fields).await;
        if status(&answer) != "200" {
            break answer;
        }
    };
    assert!(["403", "502", "504"].contains(&status(&answer)), "{answer}");
}
