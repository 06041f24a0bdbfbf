//! The stable loopback address of a remote service: the same on every machine, run after run.

use crate::base::PublicKey;
use crate::crypto::Provider;

/// The address in 127.0.0.0/8 for `service` of `device`: SHA-256 over key, name and `attempt`
/// (0 first; count up where something else listens there already). Never 127.0.x.y, where local
/// services live, and never .0 or .255.
pub fn loopback_address(
    provider: &dyn Provider,
    device: &PublicKey,
    service: &str,
    attempt: u32,
) -> [u8; 4] {
    let label = b"rit/1 loopback address";
    let hash = provider.sha256(&[label, &device.0, service.as_bytes(), &attempt.to_be_bytes()]);
    [127, 1 + hash[0] % 254, hash[1], 1 + hash[2] % 254]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::default_provider;

    #[test]
    fn stable_and_apart() {
        let p = default_provider();
        let address =
            |key, name, attempt| loopback_address(p, &PublicKey([key; 32]), name, attempt);
        assert_eq!(address(1, "www", 0), address(1, "www", 0));
        assert_ne!(address(1, "www", 0), address(1, "ssh", 0));
        assert_ne!(address(1, "www", 0), address(2, "www", 0));
        assert_ne!(address(1, "www", 0), address(1, "www", 1));
        for attempt in 0..2000 {
            let [a, b, _, d] = address(3, "x", attempt);
            assert!(a == 127 && (1..=254).contains(&b) && (1..=254).contains(&d));
        }
    }
}
