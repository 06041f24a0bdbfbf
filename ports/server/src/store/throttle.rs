//! Failed logins by account name and by address, and how long the next one must wait.
//!
//! Owns the rows `login_try`, so waits hold on every instance and over a restart. A try is counted
//! before it is decided, and given back when it was right: many at once gain nothing. Invariant: a
//! name that nobody has is counted as any other.

use std::fmt::Write as _;

use super::Db;
use super::sql::args;

/// How many tries are free, and what comes after.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    free: u32,
}

/// One account: a person mistypes.
pub(crate) const OF_ACCOUNT: Allowance = Allowance { free: 5 };
/// One address: an office is behind it.
pub(crate) const OF_ADDRESS: Allowance = Allowance { free: 30 };

/// Seconds to wait after the first, second, … failure beyond the free ones; the last one goes on.
const WAITS_S: [u64; 10] = [1, 2, 4, 8, 15, 30, 60, 120, 300, 900];
/// After so long without a failure all is forgotten.
const FORGOTTEN_S: u64 = 24 * 3600;

impl Db {
    /// Counts a try. If it must wait, says how long, in seconds.
    pub(crate) async fn enter_try(
        &self,
        subject: &[u8; 32],
        allowance: Allowance,
        now_unix_s: u64,
    ) -> Result<Result<(), u64>, sqlx::Error> {
        let sql = enter_sql(allowance);
        let old = now_unix_s.saturating_sub(FORGOTTEN_S);
        for _ in 0..2 {
            if self.execute(&sql, args![subject, now_unix_s, old]).await? == 1 {
                return Ok(Ok(()));
            }
            let sql = "SELECT until_unix_s FROM login_try WHERE subject = $1";
            if let Some(row) = self.fetch_optional(sql, args![subject]).await? {
                return Ok(Err(row.uint(0)?.saturating_sub(now_unix_s).max(1)));
            }
        }
        Ok(Err(1))
    }

    /// A try was right: it is not counted, and of an account nothing is.
    pub(crate) async fn leave_try(
        &self,
        account: &[u8; 32],
        address: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM login_try WHERE subject = $1 OR last_unix_s < $2";
        let old = now_unix_s.saturating_sub(FORGOTTEN_S);
        tx.execute(sql, args![account, old]).await?;
        let sql = "UPDATE login_try SET failures = failures - 1, until_unix_s = 0
                   WHERE subject = $1 AND failures > 0";
        tx.execute(sql, args![address]).await?;
        tx.commit().await
    }
}

/// One statement, so that of many at once each is counted.
fn enter_sql(allowance: Allowance) -> String {
    let free = allowance.free as usize;
    let mut waits = format!(" WHEN login_try.failures < {} THEN 0", free - 1);
    for (at, wait_s) in WAITS_S.iter().enumerate() {
        let _ = write!(waits, " WHEN login_try.failures < {} THEN {wait_s}", free + at);
    }
    let last = WAITS_S[WAITS_S.len() - 1];
    format!(
        "INSERT INTO login_try (subject, failures, last_unix_s, until_unix_s)
         VALUES ($1, 1, $2, 0)
         ON CONFLICT (subject) DO UPDATE SET
             failures = CASE WHEN login_try.last_unix_s < $3 THEN 1
                 ELSE login_try.failures + 1 END,
             last_unix_s = $2,
             until_unix_s = $2 + CASE WHEN login_try.last_unix_s < $3 THEN 0{waits}
                 ELSE {last} END
         WHERE login_try.until_unix_s <= $2"
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, on_both};
    use super::*;

    #[tokio::test]
    async fn waits_grow_and_the_right_password_ends_them() {
        on_both(|db| async move {
            let (account, address) = ([1; 32], [2; 32]);
            let allowance = Allowance { free: 3 };
            let enter = |at| db.enter_try(&account, allowance, at);
            for _ in 0..3 {
                assert_eq!(enter(NOW).await.unwrap(), Ok(()));
            }
            let mut now = NOW;
            for wait_s in WAITS_S.iter().chain(&[900, 900]) {
                assert_eq!(enter(now).await.unwrap(), Err(*wait_s));
                assert_eq!(enter(now + wait_s - 1).await.unwrap(), Err(1));
                now += wait_s;
                assert_eq!(enter(now).await.unwrap(), Ok(()), "{wait_s}");
            }
            assert_eq!(db.enter_try(&address, allowance, now).await.unwrap(), Ok(()));
            db.leave_try(&account, &address, now).await.unwrap();
            assert_eq!(enter(now).await.unwrap(), Ok(()));
        })
        .await;
    }

    #[tokio::test]
    async fn a_day_later_all_is_forgotten() {
        on_both(|db| async move {
            let allowance = Allowance { free: 1 };
            assert_eq!(db.enter_try(&[1; 32], allowance, NOW).await.unwrap(), Ok(()));
            let mut now = NOW + 1;
            assert_eq!(db.enter_try(&[1; 32], allowance, now).await.unwrap(), Ok(()));
            now += FORGOTTEN_S + 1;
            assert_eq!(db.enter_try(&[1; 32], allowance, now).await.unwrap(), Ok(()));
            assert_eq!(db.enter_try(&[1; 32], allowance, now).await.unwrap(), Ok(()));
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_at_once_no_more_get_through() {
        on_both(|db| async move {
            let tries = (0..20).map(|_| {
                let db = db.clone();
                let allowance = Allowance { free: 4 };
                tokio::spawn(async move { db.enter_try(&[1; 32], allowance, NOW).await.unwrap() })
            });
            let mut through = 0;
            for a_try in tries.collect::<Vec<_>>() {
                through += u32::from(a_try.await.unwrap().is_ok());
            }
            assert_eq!(through, 4);
        })
        .await;
    }
}
