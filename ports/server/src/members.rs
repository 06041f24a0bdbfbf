//! `rit-server members`: nodes that are let in by their keys, by who runs the server.
//!
//! Owns the command. A member is an enrolled node like any other, without a code: for a LAN's
//! gateway, whose members are known beforehand. Does not own what a member may do: its peers decide
//! that.

use clap::{Args, Subcommand};
use rit_core::base::PublicKey;
use rit_core::wire::text::{key_from_text, key_to_text};

use crate::error::Error;
use crate::store::Db;
use crate::{CommonArgs, say, state, wall_unix_s};

/// The command's arguments.
#[derive(Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    command: MembersCommand,
}

#[derive(Subcommand)]
enum MembersCommand {
    /// Let these nodes in, whose keys `device` and `rit status` print; the server need not have
    /// run.
    Add {
        #[arg(required = true, value_name = "KEY", value_parser = key)]
        keys: Vec<PublicKey>,
    },
    /// Make these nodes strangers: no other node is introduced to them any more, and they are not
    /// let in when they come again.
    Remove {
        #[arg(required = true, value_name = "KEY", value_parser = key)]
        keys: Vec<PublicKey>,
    },
    /// Print the keys of all nodes that are let in, with the name of each that has one.
    List,
}

fn key(text: &str) -> Result<PublicKey, String> {
    key_from_text(text).map_err(|error| error.to_string())
}

/// Does what the command says.
pub(crate) async fn run(args: MembersArgs) -> Result<(), Error> {
    let location = args.common.location()?;
    // So that a gateway's members are there before its first start.
    let made = match &args.command {
        MembersCommand::Add { .. } if !location.exists() => {
            Some(state::State::open(args.common.state_dir()?)?)
        }
        _ => None,
    };
    let db = match made {
        Some(_) => Db::open(&location).await?,
        None => crate::open_existing(&args.common).await?,
    };
    let result = act(&db, args.command).await;
    db.close().await;
    drop(made);
    result
}

async fn act(db: &Db, command: MembersCommand) -> Result<(), Error> {
    let failed = |error| db.failed(error);
    match command {
        MembersCommand::Add { keys } => {
            db.let_in(&keys, wall_unix_s()).await.map_err(failed)?;
            keys.iter().try_for_each(|key| say("member", &key_to_text(key)))
        }
        MembersCommand::Remove { keys } => {
            for key in &keys {
                if !db.forget_node(key).await.map_err(failed)? {
                    return Err(Error::NoMember(key_to_text(key)));
                }
            }
            Ok(())
        }
        MembersCommand::List => {
            let all = db.members().await.map_err(failed)?;
            all.iter()
                .try_for_each(|(key, name)| say("member", &format!("{} {name}", key_to_text(key))))
        }
    }
}
