//! Nonces that are good once, at whichever instance.

use super::Db;
use super::sql::args;

impl Db {
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
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, on_both};

    #[tokio::test]
    async fn a_nonce_is_good_once() {
        on_both(|db| async move {
            let add = async |byte, now| db.use_nonce(&[byte; 16], NOW + 120, now).await.unwrap();
            assert!(add(1, NOW).await && add(2, NOW).await);
            assert!(!add(1, NOW).await && !add(2, NOW + 119).await);
            assert!(add(3, NOW + 120).await && add(1, NOW + 120).await, "it is forgotten by then");
        })
        .await;
    }
}
