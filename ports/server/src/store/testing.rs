//! The same test on SQLite and on PostgreSQL: `on_both(|db| async move { … }).await`.

#[path = "../../tests/common/postgres.rs"]
mod server;

use std::future::Future;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rit_core::base::PublicKey;

use super::{Db, Location, Owned, args};

pub(crate) use self::server::Postgres;

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn key(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

/// A PostgreSQL server for all tests of this process; `None`, with the reason told, where there
/// can be none.
pub(crate) fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

impl Postgres {
    /// A fresh database of it.
    pub(crate) async fn fresh(&self) -> Db {
        let url = self.fresh_url();
        Db::open(&Location::parse(&url).unwrap()).await.unwrap()
    }
}

/// Runs the test on a fresh database of either kind.
pub(crate) async fn on_both<F: Future<Output = ()>>(test: impl Fn(Db) -> F) {
    let dir = tempfile::tempdir().unwrap();
    test(sqlite_in(dir.path()).await).await;
    if let Some(server) = postgres() {
        test(server.fresh().await).await;
    }
}

pub(crate) async fn sqlite_in(dir: &Path) -> Db {
    Db::open(&Location::Folder(dir.to_owned())).await.unwrap()
}

/// Enrols `key(n)` by the code `[n; 32]` for each of these numbers.
pub(crate) async fn enrol_all(db: &Db, numbers: impl Iterator<Item = u8>) {
    for n in numbers {
        db.add_codes(&[[n; 32]], HOUR, None, NOW).await.unwrap();
        assert!(db.enrol(&key(n), &[n; 32], NOW).await.unwrap());
    }
}

impl Db {
    /// What a device said of its owner, by itself.
    pub(crate) async fn set_owner(
        &self,
        device: &PublicKey,
        owner: Option<&PublicKey>,
        epoch: u32,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin().await?;
        let owned = Owned { device: *device, owner: owner.copied(), epoch };
        let news = tx.set_owners(&[owned]).await?;
        tx.commit().await?;
        Ok(!news.is_empty())
    }

    /// The same database as another process opens it.
    pub(crate) async fn reopened(&self) -> Db {
        let location = match self.postgres() {
            Some(pool) => Location::Postgres(Box::new((*pool.connect_options()).clone())),
            None => {
                let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
                let file = self.fetch_optional(sql, args![]).await.unwrap().unwrap();
                let file = file.text(0).unwrap();
                Location::Folder(Path::new(&file).parent().unwrap().to_owned())
            }
        };
        Db::open(&location).await.unwrap()
    }
}
