//! The words and options of `rit gateway`.
//!
//! Owns what `--help` and the man pages say of it. Does not own what they do.

use clap::{Args, Subcommand};

use crate::args::Broker;

const AFTER_HELP: &str = "\
The configuration may have the same, and is read at the start. The broker is named there or by \
--broker: a login does not count here, as a gateway is a device of its own.

    broker = \"rit://KEY@HOST\"

    [gateway]
    allow = [\"192.168.1.20:80=web.hvac\", \"192.168.1.0/24:80,443\"]
    offer = [\"dns.hvac=udp:192.168.1.20:53\"]
    keys = [\"bob\"]          # --allow-key
    connections = 64         # --connections
    rate = 32                # --rate

What is never a neighbour, whatever is allowed: this host's own addresses, loopback, multicast, \
broadcast and IPv4 link-local addresses, and those at which clouds answer their machines.

A gateway that is to run always is one command for the service manager, such as a systemd unit \
with ExecStart=rit gateway and Restart=on-failure. It needs no privileges. Its state folder is its \
own, so it runs beside `rit up`.";

/// What is run or, with a word behind it, asked.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Args)]
pub(crate) struct Run {
    /// Addresses and ports that neighbours' services may be at; with =NAME, offer the one there.
    ///
    /// 192.168.1.20:80=web.hvac, udp:192.168.1.20:53=dns.hvac and [fd00::5]:80=web.attic allow one
    /// and offer it. 192.168.1.0/24:80,443, [fd00::/64]:8000-8099 or 192.168.1.0/24, which is every
    /// port, allow and offer nothing.
    #[arg(long, value_name = "ADDRESS[/BITS][:PORTS][=NAME]")]
    pub(crate) allow: Vec<String>,
    /// Offer a neighbour's service at an address, or by a name, that is allowed.
    #[arg(long, value_name = "NAME=[udp:]HOST:PORT")]
    pub(crate) offer: Vec<String>,
    #[command(flatten)]
    pub(crate) broker: Broker,
    /// Whoever proves to know this secret, of `rit secret new`, becomes the owner (`rit claim`);
    /// "-" reads it from standard input; "code": whoever types the code that is shown.
    ///
    /// Without it a code is shown too, if there is no owner and nobody else is let in.
    #[arg(long, value_name = "SECRET|code")]
    pub(crate) owner: Option<String>,
    /// Let somebody use all services without the owner's grant.
    #[arg(long, value_name = "KEY|NAME")]
    pub(crate) allow_key: Vec<String>,
    /// Connections to each neighbour's service at once [default: 64].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: Option<u32>,
    /// New connections to each neighbour's service in a second [default: 32].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) rate: Option<u32>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List hosts and services of the networks here, with what they likely are; publishes nothing.
    ///
    /// Hosts come from the kernel's neighbour table and from mDNS. Ports are connected to only
    /// where a rule allows it (--allow, or the configuration), at most ten in a second and four at
    /// once; nothing is sent to them. What others tell of themselves by mDNS need not be true.
    Scan(Scan),
    /// Offer a neighbour's service from now on, by the gateway that runs and after a restart.
    Publish {
        /// 192.168.1.20:80=web.hvac, udp:192.168.1.20:53=dns.hvac; an address is allowed by this, a
        /// name of a host has to lead to where a rule allows it.
        #[arg(value_name = "[udp:]HOST:PORT=NAME")]
        service: String,
    },
    /// Offer a service that was published no more; its connections end.
    Unpublish {
        /// Its name.
        name: String,
    },
    /// List what is published and, if the gateway runs, all that it offers.
    List,
}

#[derive(Args)]
pub(crate) struct Scan {
    /// Addresses and ports that may be connected to, beside those of the configuration.
    #[arg(long, value_name = "ADDRESS[/BITS][:PORTS]")]
    pub(crate) allow: Vec<String>,
    /// Connect to each allowed address first, to learn which hosts are there; of networks with up
    /// to 256 addresses.
    #[arg(long)]
    pub(crate) sweep: bool,
    /// Send nothing by mDNS.
    #[arg(long)]
    pub(crate) no_mdns: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn what_is_run_and_what_is_asked() {
        let parse = |line: &str| crate::args::Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parse("rit gateway") && parse("rit gateway --allow 192.168.1.20:80=web.hvac"));
        assert!(parse("rit gateway --offer web=h:80 --owner code --connections 4096 --rate 1"));
        assert!(parse("rit --json gateway list") && parse("rit gateway list --json"));
        assert!(parse("rit gateway scan --allow 192.168.1.0/24 --sweep --no-mdns"));
        assert!(parse("rit gateway publish 192.168.1.20:80=web.hvac"));
        assert!(!parse("rit gateway publish") && !parse("rit gateway unpublish"));
        assert!(!parse("rit gateway unpublish --all") && !parse("rit gateway publish a=b c=d"));
        assert!(!parse("rit gateway --rate 0") && !parse("rit gateway --connections 4097"));
        assert!(!parse("rit gateway --owner code list"));
    }
}
