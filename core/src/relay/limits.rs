//! What a relay bears.

/// What one relay bears. Reaching a limit drops that one thing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Channels at once.
    pub channels: usize,
    /// Of these, channels that one node is an end of.
    pub channels_per_node: usize,
    /// Payloads kept for ends that are not bound yet.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // An idle one costs about 400 bytes here.
            channels: 100_000,
            // A device with many users, none of whom finds a direct path.
            channels_per_node: 256,
            // 1.5 MB; each waits for the fraction of a second that the other end is late.
            kept: 1_000,
        }
    }
}
