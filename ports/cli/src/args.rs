//! The command line, and by it the manual: doc comments here are what `--help` and the man pages
//! say.
//!
//! Owns words and options. Does not own what they do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::text::duration_s;

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong command line, 3 not logged in, 4 no such device, grant or \
service, 5 not permitted, 6 server or device cannot be reached, 7 another process has the state \
folder.

Files: ~/.config/rit/config.toml (broker, gateway, names of people and devices, connections that \
`rit up` keeps), ~/.local/state/rit (identity, login, what you own); XDG_CONFIG_HOME and \
XDG_STATE_HOME move them. NO_COLOR switches colours off.";

/// Reaches the services of your devices, and lets others reach them.
///
/// A device is named by its key, by a name of the configuration, or by the name that the server has
/// for it. The first use of a server's name fixes which device it is.
#[derive(Parser)]
#[command(name = "rit", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Common {
    /// Print JSON: one value, or one line for each event.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The configuration [default: ~/.config/rit/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of identity and login [default: ~/.local/state/rit].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Log in to a server: makes this machine's key one of your account's.
    Login(Login),
    /// Log out: the server forgets this machine's token.
    Logout,
    /// Show key, login and the connections that are up.
    Status,
    /// List your devices and those shared with you.
    Devices(Devices),
    /// List the services of a device.
    Services {
        /// Key or name.
        device: String,
    },
    /// Make services of devices appear at loopback addresses here, until interrupted.
    Connect(Connect),
    /// Reach a device or a service no more, in the `rit` that is running; its connections end.
    ///
    /// Where all services of a device were reached, those of the others that are there stay. What
    /// the configuration has is reached again when `rit up` starts again.
    Disconnect {
        /// DEVICE[/SERVICE]: one service, or the device.
        #[arg(value_name = "DEVICE[/SERVICE]")]
        target: String,
    },
    /// Print names for what is reached as lines of /etc/hosts, or write them there.
    ///
    /// SERVICE.DEVICE.rit is a service, DEVICE.rit all services of a device. A device is called as
    /// the configuration calls it, or by the server's name, with hyphens for what is no letter or
    /// digit; or by its key. Addresses stay the same, so the lines need to be written once, and
    /// again when services are added. See also --resolver of `rit up`.
    Hosts(Hosts),
    /// Keep the connections of the configuration; for a user service (also `rit daemon`).
    #[command(alias = "daemon")]
    Up(Up),
    /// Offer services of hosts of this network that have no librit, each under a name of its own.
    ///
    /// Each is granted as a device's service is (`rit share GATEWAY --services web.hvac`), and
    /// reached as one (`rit connect GATEWAY/web.hvac`, web.hvac.GATEWAY.rit). Whoever uses one says
    /// no address: other hosts and ports stay out of reach, and only what is allowed here can be
    /// offered. Its folder is the gateway's own [default: ~/.local/state/rit/gateway].
    Gateway(Box<crate::gateway::args::Gateway>),
    /// Let somebody use a device or some of its services.
    Share(Share),
    /// List what you share and what is shared with you.
    Grants(Grants),
    /// Take a grant back, all of a key, or all; running sessions end.
    Revoke(Revoke),
    /// Make somebody else the owner of a device.
    Transfer(Transfer),
    /// Become the owner of a device.
    Claim(Claim),
    /// Let a device of yours be found by a scan for a while, or no more.
    ///
    /// A device answers nobody but those who may use it. For an inventory its owner can let it
    /// answer identification probes: a datagram of a known form (core/PROTOCOL.md, section 12) to
    /// UDP port 7485 of the device, which answers with its key. It cloaks itself again when the
    /// time is over, when it restarts and when its owner changes.
    #[command(subcommand)]
    Cloak(Cloak),
    /// A maker's tool: claim secrets for devices to be made.
    #[command(subcommand)]
    Secret(Secret),
    /// Make enrol codes and product keys, or enrol this machine.
    #[command(subcommand)]
    Enrol(Enrol),
    /// Call a device otherwise, for all who see it.
    Rename {
        /// Key or name.
        device: String,
        /// What to call it.
        name: String,
    },
    /// Show what happened at the server.
    Log(Log),
    /// Forget which device a server's name was first used for.
    Forget {
        /// The name.
        name: String,
    },
    /// Print a shell's completions.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the man pages into a folder.
    Man {
        /// The folder; made if it is not there.
        dir: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Login {
    /// The server: rit://KEY@HOST[:PORT]; the last one if left out. PORT is that of its API.
    pub(crate) address: Option<String>,
    /// Your account. The password is asked for, or read from standard input.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The one-time code of your authenticator; asked for where it is needed.
    #[arg(long, value_name = "CODE")]
    pub(crate) totp: Option<String>,
    /// Log in by your organisation's login page, in a browser anywhere.
    #[arg(long, conflicts_with_all = ["user", "totp"])]
    pub(crate) oidc: bool,
    /// Where the API is, if it is elsewhere: a port, or an address.
    #[arg(long, value_name = "PORT|URL")]
    pub(crate) http: Option<String>,
    /// The API has a certificate of a public authority instead of the broker's own.
    #[arg(long)]
    pub(crate) web_pki: bool,
}

#[derive(Args)]
pub(crate) struct Devices {
    /// Show whole keys.
    #[arg(long)]
    pub(crate) keys: bool,
}

#[derive(Args)]
pub(crate) struct Connect {
    /// DEVICE[/SERVICE[@PORT]]: a service, at PORT instead of its own; or all services.
    #[arg(required = true, value_name = "DEVICE[/SERVICE][@PORT]")]
    pub(crate) targets: Vec<String>,
    /// A grant that somebody gave you as a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) grant: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) broker: Broker,
    #[command(flatten)]
    pub(crate) local: Local,
}

#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) broker: Broker,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// Who is served on this machine.
#[derive(Args)]
pub(crate) struct Local {
    /// Answer the names SERVICE.DEVICE.rit and DEVICE.rit there by DNS (port 53 if none is given).
    ///
    /// Only for names that end with `rit`, by UDP, at a loopback address. Have the system ask it
    /// for them: with systemd-resolved by a file /etc/systemd/resolved.conf.d/rit.conf of
    /// `[Resolve]`, `DNS=127.0.0.153` and `Domains=~rit`; with dnsmasq by
    /// `server=/rit/127.0.0.153`. A port other than 53 is written 127.0.0.153:5353 there, for
    /// dnsmasq 127.0.0.153#5353. /etc/resolv.conf alone cannot tell names apart: use `rit hosts`.
    /// Ports below 1024 need root or CAP_NET_BIND_SERVICE. Other users can ask it too.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = crate::resolver::address)]
    pub(crate) resolver: Option<SocketAddr>,
    /// Serve programs of every user of this machine, not only your own and root's.
    ///
    /// Without it, on Linux, other users' TCP connections to your loopback addresses are reset; so
    /// is one whose program closed it at once, as nobody can tell whose it was. UDP does not tell
    /// whose a datagram is: every user can send to a UDP service; where that matters, run `rit` and
    /// its users in a network namespace of their own.
    #[arg(long)]
    pub(crate) share_with_all_users: bool,
}

#[derive(Args)]
pub(crate) struct Hosts {
    /// Write the lines into this file, as a block that is marked; all else in it stays as it is
    /// [default: /etc/hosts].
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "/etc/hosts")]
    pub(crate) write: Option<PathBuf>,
    /// Take the block out of this file [default: /etc/hosts].
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "/etc/hosts",
          conflicts_with = "write")]
    pub(crate) remove: Option<PathBuf>,
    /// Take the lines from standard input: rit hosts | sudo rit hosts --write --stdin.
    #[arg(long, requires = "write")]
    pub(crate) stdin: bool,
}

#[derive(Args, Default)]
pub(crate) struct Broker {
    /// The broker, if nobody is logged in: rit://KEY@HOST[:PORT].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) broker: Option<String>,
    /// A one-time code, if this machine is not enrolled yet.
    #[arg(long, value_name = "CODE")]
    pub(crate) enrol: Option<String>,
    /// The LAN's gateway, which is broker there (`rit-server --lan`), for when the broker cannot be
    /// reached: rit://KEY@HOST[:PORT], or rit://KEY@_rit._udp.local, to have it found.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Option<String>,
    /// A one-time code of the gateway, if it does not know this machine yet.
    #[arg(long, value_name = "CODE")]
    pub(crate) gateway_enrol: Option<String>,
}

#[derive(Args)]
pub(crate) struct Share {
    /// Key or name.
    pub(crate) device: String,
    /// With whom: a key (`rit status` shows one's own) or a name of the configuration.
    #[arg(long, value_name = "KEY|NAME")]
    pub(crate) to: String,
    /// These services only.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) services: Vec<String>,
    /// All services, also later ones.
    #[arg(long, conflicts_with = "services", required_unless_present = "services")]
    pub(crate) all: bool,
    /// For how long: 30d, 12h, 45m; without it, until it is revoked.
    #[arg(long = "for", value_name = "TIME", value_parser = duration_s)]
    pub(crate) valid_s: Option<u64>,
    /// They may share it on, so many times in a row.
    #[arg(long, value_name = "DEPTH", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) can_share: u8,
    /// A session needs the server's word that the grant is not revoked.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Write the grant to a file too, to be handed over without the server ("-": print it).
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A chain that lets you share somebody else's device.
    #[arg(long, value_name = "FILE")]
    pub(crate) grant: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Grants {
    /// Of this device only.
    pub(crate) device: Option<String>,
}

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "key", "all"])))]
pub(crate) struct Revoke {
    /// The grant, as `rit grants` shows it; its beginning is enough.
    pub(crate) id: Option<String>,
    /// Everything that is granted to this key, or through it.
    #[arg(long, value_name = "KEY|NAME")]
    pub(crate) key: Option<String>,
    /// Every grant of the device given until now.
    #[arg(long)]
    pub(crate) all: bool,
    /// The device; without it, the one that the grant is for.
    #[arg(long, value_name = "DEVICE", required_unless_present = "id")]
    pub(crate) device: Option<String>,
}

#[derive(Args)]
pub(crate) struct Transfer {
    /// Key or name.
    pub(crate) device: String,
    /// The new owner.
    #[arg(long, value_name = "KEY|NAME")]
    pub(crate) to: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct Claim {
    /// The device's secret or the code that it shows; "-" reads it from standard input.
    #[arg(required_unless_present = "nearby")]
    pub(crate) secret: Option<String>,
    /// Key or name; not needed with the text of a QR code.
    pub(crate) device: Option<String>,
    /// List devices without an owner behind this machine's own address, and ask for the code.
    #[arg(long, conflicts_with_all = ["secret", "device"])]
    pub(crate) nearby: bool,
}

#[derive(Subcommand)]
pub(crate) enum Cloak {
    /// Let it answer identification probes.
    Off {
        /// Key or name.
        device: String,
        /// For how long, a day at most: 10m, 2h, 90s.
        #[arg(long = "for", value_name = "TIME", value_parser = crate::cloak::for_s)]
        for_s: u32,
    },
    /// End that at once.
    On {
        /// Key or name.
        device: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Secret {
    /// Make a new secret.
    New {
        #[command(flatten)]
        picture: Picture,
        /// The device's key, to be in the QR code.
        #[arg(long = "for", value_name = "KEY")]
        device: Option<String>,
    },
    /// Derive a device's secret from the maker's, 32 bytes in a file.
    Derive {
        /// The file.
        #[arg(long, value_name = "FILE")]
        maker: PathBuf,
        /// The device's key.
        device: String,
        #[command(flatten)]
        picture: Picture,
    },
    /// Check a secret and show it in its usual form.
    Show {
        /// The secret; "-" reads it from standard input.
        secret: String,
        #[command(flatten)]
        picture: Picture,
        /// The device's key, to be in the QR code.
        #[arg(long = "for", value_name = "KEY")]
        device: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct Picture {
    /// Draw a QR code for `rit claim`.
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Subcommand)]
pub(crate) enum Enrol {
    /// Print one-time codes for nodes (administrators).
    Code {
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// For how long they are good.
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration_s)]
        valid: u64,
    },
    /// Make a product key, by which many devices enrol themselves (administrators).
    Product {
        /// Its name.
        name: String,
        /// How many devices at most.
        #[arg(long)]
        limit: u32,
        /// Tags that they get.
        #[arg(long, value_delimiter = ',')]
        tags: Vec<String>,
    },
    /// List product keys (administrators).
    Products,
    /// Enrol this machine by a code, where there is no account.
    Node {
        /// The code.
        code: String,
        /// The broker: rit://KEY@HOST[:PORT].
        address: String,
    },
}

#[derive(Args)]
pub(crate) struct Log {
    /// Go on with what happens from now on.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many.
    #[arg(short = 'n', long, default_value_t = 50)]
    pub(crate) limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_ones_are_refused() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parse("rit share garage --to bob --services web,ssh --for 30d --can-share 1"));
        assert!(parse("rit revoke --key bob --device garage") && parse("rit revoke abcd"));
        assert!(parse("rit claim --nearby") && parse("rit claim SECRET garage"));
        assert!(!parse("rit share garage --to bob"));
        assert!(!parse("rit share garage --to bob --all --can-share 4"));
        assert!(!parse("rit share garage --to bob --all --for ever"));
        assert!(!parse("rit revoke --key bob") && !parse("rit revoke"));
        assert!(parse("rit disconnect garage/web") && !parse("rit disconnect"));
        assert!(parse("rit hosts --write --stdin") && parse("rit hosts --remove /f"));
        assert!(!parse("rit hosts --stdin") && !parse("rit hosts --write --remove"));
        assert!(parse("rit up --resolver 127.0.0.153") && !parse("rit up --resolver 1.1.1.1"));
        assert!(parse("rit up --gateway rit://k@h --gateway-enrol C"));
        assert!(!parse("rit connect") && !parse("rit claim"));
        assert!(parse("rit cloak off garage --for 10m") && parse("rit cloak on garage"));
        assert!(!parse("rit cloak off garage") && !parse("rit cloak off garage --for 25h"));
    }
}
