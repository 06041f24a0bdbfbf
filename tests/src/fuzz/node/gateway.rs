//! What the script does about a gateway: the node is told of the broker as one, or of the liar, at
//! the same time as one of them is its broker, and forgets it again.

use super::{BROKER, LIAR, Stage, path};
use rit_core::node::BrokerAddress;

impl Stage {
    pub(super) fn gateway_command(&mut self, a: u8) {
        if a & 3 == 0 {
            return self.node.gateway_forget(self.now);
        }
        let (key, at) = match a & 4 {
            0 => (self.broker.public_key(), BROKER),
            _ => (self.liar.public_key(), LIAR),
        };
        let address = BrokerAddress { key, paths: vec![path(at); 1 + usize::from(a >> 6)] };
        let code = (a & 8 == 0).then_some("code");
        self.node.gateway_connect(address, code, self.now).expect("there are paths");
    }
}
