//! What is changed in the heads of requests and answers that pass: RFC 9110 §7.6.1, RFC 7239.
//!
//! Pure functions. Owns which fields end here, which are made here, and which cookies pass.
//! Invariants: what says who the client is comes from us alone; our own cookies never reach a
//! service, and a service's cookies never reach another.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Cookies of ours begin so; browsers take them only for this very host (RFC 6265bis).
pub(crate) const COOKIE_PREFIX: &str = "__Host-rit-";
/// Tells programs what the page before the login tells people.
const NOTICE: (&str, &str) = ("rit-relay", "this server can read what passes; not end to end");

/// Fields of one connection. `Upgrade` is put back where a protocol is changed.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Says who asks, and so is ours to say.
const IDENTITY: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];

/// Takes out what is of one connection, what `Connection` names included.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A request would lose its host, or its cookies, by naming them.
        .filter(|name| *name != header::HOST && *name != header::COOKIE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The protocol that a head asks or agrees to change to.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_asked = headers.get_all(header::CONNECTION).iter().any(|value| {
        let names = value.to_str().unwrap_or_default().split(',');
        names.into_iter().any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
    });
    headers.get(header::UPGRADE).filter(|_| is_asked).cloned()
}

pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Makes a browser's request one for the service.
pub(crate) fn forward_request(headers: &mut HeaderMap, host: &str, client: IpAddr) {
    remove_hop_by_hop(headers);
    for name in IDENTITY {
        headers.remove(name);
    }
    let client = client.to_canonical();
    let node = match client {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let forwarded = format!("for={node};host={host};proto=https");
    let made = [
        ("forwarded", forwarded),
        ("x-forwarded-for", client.to_string()),
        ("x-forwarded-host", host.to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ];
    for (name, value) in made {
        // Addresses and host names have no character that a field may not have.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let cookies: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for value in cookies.iter().filter_map(without_ours) {
        headers.append(header::COOKIE, value);
    }
}

/// The cookies of a `Cookie` field that are not ours; none if there are none.
fn without_ours(value: &HeaderValue) -> Option<HeaderValue> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for cookie in value.as_bytes().split(|byte| *byte == b';') {
        let cookie = cookie.trim_ascii();
        if !cookie.is_empty() && !is_ours(cookie) {
            kept.push(cookie);
        }
    }
    let kept = kept.join(&b"; "[..]);
    HeaderValue::from_bytes(&kept).ok().filter(|value| !value.is_empty())
}

fn is_ours(cookie: &[u8]) -> bool {
    let prefix = COOKIE_PREFIX.as_bytes();
    cookie.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// One of our own cookies.
pub(crate) fn own_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = fields.flat_map(|value| value.split(';')).map(str::trim);
    cookies.find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='))
}

/// Makes a service's answer one for the browser.
pub(crate) fn forward_response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    // It would lead around this server, to where the browser cannot go.
    headers.remove(header::ALT_SVC);
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in cookies.iter().filter_map(host_only) {
        headers.append(header::SET_COOKIE, value);
    }
    headers.insert(HeaderName::from_static(NOTICE.0), HeaderValue::from_static(NOTICE.1));
}

/// A cookie without its domain, so that no other service gets it; none if it would be ours.
fn host_only(value: &HeaderValue) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    if is_ours(bytes.trim_ascii()) {
        return None;
    }
    let is_domain = |part: &[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"domain")
    };
    let mut parts = bytes.split(|byte| *byte == b';');
    let mut kept = vec![parts.next().unwrap_or_default()];
    kept.extend(parts.filter(|part| !is_domain(part)));
    HeaderValue::from_bytes(&kept.join(&b";"[..])).ok()
}

/// Whether a page of another host asks, by other means than that a person goes to us. Other
/// services' hosts are the same site to browsers, and `SameSite` does not keep them apart.
pub(crate) fn is_from_elsewhere(method: &hyper::Method, headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_visit = (method == hyper::Method::GET || method == hyper::Method::HEAD)
        && text("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
        && upgrade(headers).is_none();
    let own = format!("https://{host}");
    let is_others_origin = text("origin").is_some_and(|origin| !origin.eq_ignore_ascii_case(&own));
    let is_others_fetch =
        text("sec-fetch-site").is_some_and(|site| site == "same-site" || site == "cross-site");
    (is_others_origin || is_others_fetch) && !is_visit
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Method;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_is_of_one_connection_ends_here() {
        let mut sent = headers(&[
            ("connection", "keep-alive, X-Once,host"),
            ("connection", "cookie"),
            ("x-once", "1"),
            ("host", "a"),
            ("cookie", "a=b"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut sent);
        let mut left: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "cookie", "host"]);
    }

    #[test]
    fn who_asks_is_said_here_alone() {
        let mut sent = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
        ]);
        forward_request(&mut sent, "h.example", "::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(all(&sent, "forwarded"), ["for=192.0.2.1;host=h.example;proto=https"]);
        assert_eq!(all(&sent, "x-forwarded-for"), ["192.0.2.1"]);
        assert!(!sent.contains_key("x-real-ip"));
        forward_request(&mut sent, "h.example", "2001:db8::1".parse().unwrap());
        assert_eq!(all(&sent, "forwarded"), ["for=\"[2001:db8::1]\";host=h.example;proto=https"]);
    }

    #[test]
    fn our_cookies_do_not_pass() {
        let mut sent = headers(&[
            ("cookie", "a=1; __Host-rit-face=secret;b=2"),
            ("cookie", "__host-rit-state=secret"),
        ]);
        assert_eq!(own_cookie(&sent, "__Host-rit-face"), Some("secret"));
        assert_eq!(own_cookie(&sent, "__Host-rit"), None);
        forward_request(&mut sent, "h", "192.0.2.1".parse().unwrap());
        assert_eq!(all(&sent, "cookie"), ["a=1; b=2"]);
    }

    #[test]
    fn a_services_cookies_stay_its_own() {
        let mut came = headers(&[
            ("set-cookie", "a=1; Domain=face.example; Path=/; Secure"),
            ("set-cookie", "b=2; domain = .face.example"),
            ("set-cookie", "domain=3"),
            ("set-cookie", "__Host-rit-face=stolen; Path=/"),
            ("set-cookie", " __HOST-RIT-face=stolen; Path=/"),
        ]);
        forward_response(&mut came);
        assert_eq!(all(&came, "set-cookie"), ["a=1; Path=/; Secure", "b=2", "domain=3"]);
        assert!(came.contains_key("rit-relay"));
    }

    #[test]
    fn other_hosts_pages_are_kept_out() {
        let is_elsewhere = |method: Method, fields: &[(&'static str, &'static str)]| {
            is_from_elsewhere(&method, &headers(fields), "h.example")
        };
        let own = ("origin", "https://h.example");
        let other = ("origin", "https://i.example");
        assert!(!is_elsewhere(Method::GET, &[]));
        assert!(!is_elsewhere(Method::POST, &[]), "no browser");
        assert!(!is_elsewhere(Method::POST, &[own, ("sec-fetch-site", "same-origin")]));
        assert!(is_elsewhere(Method::POST, &[other]));
        assert!(is_elsewhere(Method::POST, &[("origin", "null")]));
        let visit = ("sec-fetch-mode", "navigate");
        let site = ("sec-fetch-site", "same-site");
        assert!(!is_elsewhere(Method::GET, &[visit, site]), "a link");
        assert!(is_elsewhere(Method::POST, &[visit, site]), "a form");
        assert!(is_elsewhere(Method::GET, &[("sec-fetch-mode", "no-cors"), site]), "an image");
        let socket = [("connection", "Upgrade"), ("upgrade", "websocket")];
        assert!(is_elsewhere(Method::GET, &[socket[0], socket[1], other]), "a WebSocket");
        assert!(!is_elsewhere(Method::GET, &[socket[0], socket[1], own]));
    }
}
