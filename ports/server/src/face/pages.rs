//! What the face itself answers: refusals, in words for the person at the browser.
//!
//! Pure functions. Invariant: nothing of a request is repeated in a page, and no cache keeps one.

use std::fmt::Display;

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::proxy::{Answer, whole};

/// Nothing but the page's own text is shown.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// An answer with a line of text.
pub(super) fn plain(status: StatusCode, text: &str) -> Answer {
    let page = format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{status}</title><body style='font:1.1em sans-serif;margin:3em auto;max-width:34em'>\
         <p>{text}</p>\n"
    );
    let mut answer = Response::new(whole(page));
    *answer.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fields {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refusal(status: StatusCode, text: &str) -> Box<Answer> {
    Box::new(plain(status, text))
}

/// RFC 9110 §15.5.20: the browser may come again by a connection of its own.
pub(super) fn wrong_host() -> Box<Answer> {
    refusal(StatusCode::MISDIRECTED_REQUEST, "There is no such service here.")
}

pub(super) fn not_logged_in() -> Box<Answer> {
    refusal(StatusCode::UNAUTHORIZED, "You are not logged in. Open the page anew.")
}

pub(super) fn from_elsewhere() -> Box<Answer> {
    refusal(StatusCode::FORBIDDEN, "A page of another service may not do that here.")
}

pub(super) fn not_allowed() -> Box<Answer> {
    refusal(
        StatusCode::FORBIDDEN,
        "The owner of the device does not allow you to use this service, or not any more.",
    )
}

pub(super) fn code_is_over() -> Box<Answer> {
    refusal(StatusCode::FORBIDDEN, "The login took too long. <a href='/'>Once more</a>.")
}

/// `why` is of ours, not of a peer's.
pub(super) fn bad_gateway(why: &str) -> Box<Answer> {
    refusal(StatusCode::BAD_GATEWAY, &format!("The service is not reached: {why}."))
}

pub(super) fn timed_out() -> Box<Answer> {
    refusal(StatusCode::GATEWAY_TIMEOUT, "The device does not answer.")
}

/// Ours, and for the log alone.
pub(super) fn failed(error: impl Display) -> Box<Answer> {
    tracing::error!(%error, "the face failed");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "That failed here. Try again later.")
}

/// A field of a query, its percent-encoding undone; none if it is not there, or not UTF-8.
pub(super) fn query(query: &str, name: &str) -> Option<String> {
    let mut fields = query.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(field, _)| *field == name)?;
    decode(value)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A value for a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_query_comes_out() {
        for text in ["/", "/a?b=c&d=%20+ü", ""] {
            let line = format!("x=1&path={}&y=2", encode(text));
            assert_eq!(query(&line, "path").as_deref(), Some(text));
        }
        assert_eq!(query("path=%zz", "path"), None);
        assert_eq!(query("path=%2", "path"), None);
        assert_eq!(query("path=%ff", "path"), None, "not UTF-8");
        assert_eq!(query("xpath=1", "path"), None);
    }
}
