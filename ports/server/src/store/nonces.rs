//! Nonces that are good once, at whichever instance.

use super::Db;
use super::sql::args;

impl Db {
    /// Gives a nonce out, and forgets those that are too old.
    pub(crate) async fn add_nonce(
        &self,
        nonce: &[u8],
        expires_unix_s: u64,
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let forget = "DELETE FROM nonce WHERE expires_unix_s <= $1";
        self.execute(forget, args![now_unix_s]).await?;
        let add = "INSERT INTO nonce (nonce, expires_unix_s) VALUES ($1, $2)";
        self.execute(add, args![nonce, expires_unix_s]).await.map(|_| ())
    }

    /// Notes that a nonce was used, and forgets those that are too old to be used again; whether it
    /// was the first time.
    pub(crate) async fn use_nonce(
        &self,
        nonce: &[u8],
        expires_unix_s: u64,
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let forget = "DELETE FROM nonce WHERE expires_unix_s <= $1";
        self.execute(forget, args![now_unix_s]).await?;
        let add =
            "INSERT INTO nonce (nonce, expires_unix_s) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        Ok(self.execute(add, args![nonce, expires_unix_s]).await? == 1)
    }

    /// Takes a nonce back: whether it was given out, has not come back before, and is not too old.
    pub(crate) async fn take_nonce(
        &self,
        nonce: &[u8],
        now_unix_s: u64,
    ) -> Result<bool, sqlx::Error> {
        let take = "DELETE FROM nonce WHERE nonce = $1 RETURNING expires_unix_s";
        let row = self.fetch_optional(take, args![nonce]).await?;
        row.map_or(Ok(false), |row| Ok(row.uint(0)? > now_unix_s))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, on_both};

    #[tokio::test]
    async fn a_nonce_is_good_once_and_for_a_while() {
        on_both(|db| async move {
            for nonce in [[1; 16], [2; 16], [3; 16]] {
                db.add_nonce(&nonce, NOW + 120, NOW).await.unwrap();
            }
            assert!(!db.take_nonce(&[9; 16], NOW).await.unwrap());
            assert!(db.take_nonce(&[1; 16], NOW + 119).await.unwrap());
            assert!(!db.take_nonce(&[1; 16], NOW + 119).await.unwrap());
            assert!(!db.take_nonce(&[2; 16], NOW + 120).await.unwrap());
            db.add_nonce(&[4; 16], NOW + 240, NOW + 120).await.unwrap();
            assert!(!db.take_nonce(&[3; 16], NOW).await.unwrap(), "it was too old");
        })
        .await;
    }
}
