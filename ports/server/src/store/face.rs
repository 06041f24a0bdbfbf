//! The rules of the browser face: which account may use which service, with which grants.

use rit_core::base::PublicKey;

use super::Db;
use super::sql::args;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaceRule {
    pub(crate) label: String,
    pub(crate) account: i64,
    pub(crate) device: PublicKey,
    pub(crate) service: String,
    pub(crate) chain: Vec<u8>,
}

impl Db {
    /// The service that has this label, if there is a rule for anyone.
    pub(crate) async fn face_service(
        &self,
        label: &str,
    ) -> Result<Option<(PublicKey, String)>, sqlx::Error> {
        let sql = "SELECT device, service FROM face_rule WHERE label = $1 LIMIT 1";
        let row = self.fetch_optional(sql, args![label]).await?;
        row.map(|row| Ok((row.key(0)?, row.text(1)?))).transpose()
    }

    /// The grants with which an account that is not disabled uses a service.
    pub(crate) async fn face_chain(
        &self,
        label: &str,
        account: i64,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let sql = "SELECT chain FROM face_rule JOIN account ON account.id = face_rule.account
                   WHERE label = $1 AND account = $2 AND is_disabled = 0";
        let row = self.fetch_optional(sql, args![label, account]).await?;
        row.map(|row| row.bytes(0)).transpose()
    }

    /// Stores a rule, in place of one for the same account.
    pub(crate) async fn set_face_rule(
        &self,
        rule: &FaceRule,
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO face_rule (label, account, device, service, chain, created_unix_s)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (label, account) DO UPDATE
                   SET chain = excluded.chain, created_unix_s = excluded.created_unix_s";
        let (label, service) = (rule.label.as_str(), rule.service.as_str());
        let chain = rule.chain.as_slice();
        let args = args![label, rule.account, &rule.device, service, chain, now_unix_s];
        self.execute(sql, args).await.map(|_| ())
    }

    /// All rules for the services of a device.
    pub(crate) async fn face_rules(
        &self,
        device: &PublicKey,
    ) -> Result<Vec<FaceRule>, sqlx::Error> {
        let sql = "SELECT label, account, device, service, chain FROM face_rule
                   WHERE device = $1 ORDER BY service, account";
        let rows = self.fetch_all(sql, args![device]).await?;
        let rule = |row: &super::sql::Row| {
            let (label, account, device) = (row.text(0)?, row.int(1)?, row.key(2)?);
            Ok(FaceRule { label, account, device, service: row.text(3)?, chain: row.bytes(4)? })
        };
        rows.iter().map(rule).collect()
    }

    /// Removes a rule; the grants it had, if it was there.
    pub(crate) async fn remove_face_rule(
        &self,
        label: &str,
        account: i64,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let sql = "DELETE FROM face_rule WHERE label = $1 AND account = $2 RETURNING chain";
        let row = self.fetch_optional(sql, args![label, account]).await?;
        row.map(|row| row.bytes(0)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{enrol_all, key, on_both};
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn rule(label: &str, account: i64) -> FaceRule {
        let (device, service) = (key(1), "web".to_owned());
        FaceRule { label: label.into(), account, device, service, chain: vec![1, 2] }
    }

    #[tokio::test]
    async fn a_rule_is_of_one_account() {
        on_both(|db| async move {
            enrol_all(&db, 1..2).await;
            for id in 1..3_i64 {
                let sql = "INSERT INTO account (id, name, role, created_unix_s)
                           VALUES ($1, $2, 'user', 0)";
                let name = id.to_string();
                db.execute(sql, args![id, name.as_str()]).await.unwrap();
            }
            assert_eq!(db.face_service("a").await.unwrap(), None);
            db.set_face_rule(&rule("a", 1), NOW).await.unwrap();
            db.set_face_rule(&rule("b", 2), NOW).await.unwrap();
            assert_eq!(db.face_service("a").await.unwrap(), Some((key(1), "web".into())));
            assert_eq!(db.face_chain("a", 1).await.unwrap(), Some(vec![1, 2]));
            assert_eq!(db.face_chain("a", 2).await.unwrap(), None);
            let newer = FaceRule { chain: vec![3], ..rule("a", 1) };
            db.set_face_rule(&newer, NOW).await.unwrap();
            assert_eq!(db.face_rules(&key(1)).await.unwrap(), [newer, rule("b", 2)]);
            db.execute("UPDATE account SET is_disabled = 1 WHERE id = $1", args![2_i64])
                .await
                .unwrap();
            assert_eq!(db.face_chain("b", 2).await.unwrap(), None, "disabled");
            assert_eq!(db.remove_face_rule("a", 1).await.unwrap(), Some(vec![3]));
            assert_eq!(db.remove_face_rule("a", 1).await.unwrap(), None);
            assert_eq!(db.face_service("a").await.unwrap(), None);
        })
        .await;
    }
}
