//! The header tells the truth: bindings made from it by bindgen have the sizes, offsets, constants
//! and functions of the crate that implements it.
//!
//! bindgen asks libclang what the header means to a C compiler. Its layout assertions are read here
//! as text and compared, both ways, so that no field is forgotten. Needs libclang.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use std::collections::{BTreeMap, BTreeSet};
use std::mem::{offset_of, size_of};
use std::path::Path;

/// `struct` or `struct::field`, and its size or offset.
type Layout = BTreeMap<String, usize>;

macro_rules! layout {
    ($layout:ident, $($name:ident { $($field:ident)* })*) => {$(
        $layout.insert(stringify!($name).into(), size_of::<rit::$name>());
        $($layout.insert(
            concat!(stringify!($name), "::", stringify!($field)).replace("r#type", "type_"),
            offset_of!(rit::$name, $field),
        );)*
    )*};
}

fn rust_layout() -> Layout {
    let mut layout = Layout::new();
    layout! { layout,
        rit_path { struct_size ifindex ip port socket ecn reserved }
        rit_io {
            struct_size sockets ctx now_us entropy send recv set_timer load store log send_batch
            tcp_write tcp_close multicast reserved crypto attest check_attestation
        }
        rit_bytes { data len }
        rit_crypto {
            struct_size flags ctx aes_gcm_seal aes_gcm_open chacha_seal chacha_open aes_block
            chacha_block sha256 x25519 public_key sign key_kind reserved
        }
        rit_config {
            struct_size abi_version max_sessions max_services max_peers max_streams stream_window
            session_window stream_send_buffer max_datagram idle_timeout_ms keep_alive_ms max_flows
            datagram_queue datagram_send_buffer datagram_recv_buffer reserved
        }
        rit_stats {
            struct_size reserved0 datagrams_received datagrams_sent bytes_received bytes_sent
            datagrams_dropped packets_lost sessions streams buffered_bytes buffer_memory flows
            messages_unsent messages_unread reserved
        }
        rit_heap_info { struct_size size live peak largest refused reserved }
        rit_event {
            struct_size r#type error is_initiator session stream service code peer flow request
            reserved
        }
        rit_broker { struct_size reserved key paths path_count enrol_code }
        rit_service { struct_size kind port name flow_idle_ms must_be_fresh }
        rit_service_info { struct_size kind port name }
        rit_selftest_config {
            struct_size cpu_mhz echo max_datagram heap is_after_reset reserved
        }
        rit_finding { struct_size code value wanted }
        rit_target { struct_size reserved device chain chain_len }
        rit_ownership { struct_size is_claimed owner epoch reserved list }
        rit_grant {
            struct_size rights device subject id issued_s not_before_s expires_s epoch depth
            must_be_fresh service_count services reserved
        }
        rit_revoked {
            struct_size epoch device number issued_s floor_s ids id_count keys key_count
        }
        rit_cloak { struct_size epoch device number issued_s for_s reserved }
        rit_path_info {
            struct_size kind path asked state rtt_us silent_us datagrams_sent bytes_sent
            datagrams_received bytes_received reserved
        }
        rit_pipe {
            struct_size reserved0 queued_bytes in_flight_bytes drain_rate queueing_delay_us delay_us
            forecast_bytes reserved
        }
        rit_session_info {
            struct_size is_initiator is_up service_count peer path path_kind path_count rtt_us
            reserved
        }
    }
    layout
}

fn bindings() -> String {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/rit.h");
    let bindings = bindgen::Builder::default()
        .header(header.to_string_lossy())
        .allowlist_item("(rit|RIT)_.*")
        .layout_tests(true)
        .generate()
        .expect("libclang reads the header");
    bindings.to_string()
}

/// Reads `["Size of rit_x"][size_of::<rit_x>() - 8usize];` and the like.
fn c_layout(bindings: &str) -> Layout {
    let words: Vec<&str> = bindings.split_whitespace().collect();
    let text = words.join(" ");
    let mut layout = Layout::new();
    for assertion in text.split("[\"").skip(1) {
        let Some((title, rest)) = assertion.split_once("\"]") else { continue };
        let Some(name) =
            title.strip_prefix("Size of ").or_else(|| title.strip_prefix("Offset of field: "))
        else {
            continue;
        };
        let number = rest.split_once("- ").and_then(|(_, number)| number.split_once("usize"));
        let (number, _) = number.unwrap_or_else(|| panic!("no number: {assertion}"));
        layout.insert(name.to_owned(), number.parse().unwrap());
    }
    layout
}

#[test]
fn sizes_and_offsets_are_those_of_rust() {
    let c = c_layout(&bindings());
    let rust = rust_layout();
    assert!(rust.len() > 70, "the macro lists nothing");
    assert_eq!(c, rust);
}

#[test]
fn functions_are_those_listed() {
    let text = bindings();
    let declared: BTreeSet<&str> = text
        .split("pub fn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .filter(|name| name.starts_with("rit_"))
        .collect();
    let list = include_str!("../../ffi/symbols.txt");
    assert_eq!(declared, list.lines().collect());
}

#[test]
fn constants_have_their_values() {
    let text = bindings();
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("pub const {name}:")).expect(name);
        let (value, _) = rest.split_once(';').expect(name);
        value.split_once('=').expect(name).1.trim().parse::<i64>().expect(name)
    };
    assert_eq!(value("RIT_ABI_VERSION"), i64::from(rit::RIT_ABI_VERSION));
    assert_eq!(value("RIT_OK"), 0);
    assert_eq!(value("RIT_ERR_NULL"), i64::from(rit::error::RIT_ERR_NULL));
    assert_eq!(value("RIT_ERR_AGAIN"), i64::from(rit::error::RIT_ERR_AGAIN));
    assert_eq!(value("RIT_ERR_INTERNAL"), i64::from(rit::error::RIT_ERR_INTERNAL));
    assert_eq!(value("RIT_EVENT_STREAM_STOPPED"), i64::from(rit::event::RIT_EVENT_STREAM_STOPPED));
    assert_eq!(value("RIT_CODE_DEADLINE"), rit::stream::RIT_CODE_DEADLINE as i64);
    // Numbers are never used twice.
    let errors = text.split("pub const RIT_ERR_").skip(1);
    let values: Vec<&str> =
        errors.map(|rest| rest.split(['=', ';']).nth(1).unwrap().trim()).collect();
    assert_eq!(values.len(), 32);
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len());
}
