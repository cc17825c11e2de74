//! Whether an account may do what the copy will need, known before instead of at its end.

use crate::model::version::Series;
use crate::ports::runner::Account;

/// `REPLICATION CLIENT` became `BINLOG MONITOR` with this series; the old word is still understood.
const BINLOG_MONITOR_SINCE: Series = Series { major: 10, minor: 5 };

/// The account's name in messages.
pub(super) fn name(account: Account) -> &'static str {
    match account {
        Account::Operator => "operator",
        Account::Backup => "backup",
    }
}

/// Returns what is missing on `*.*`, as GRANT spells it in that series.
pub(super) fn missing(account: Account, grants: &[String], series: Series) -> Vec<&'static str> {
    let monitor = if series < BINLOG_MONITOR_SINCE { "REPLICATION CLIENT" } else { "BINLOG MONITOR" };
    let needed: &[&str] = match account {
        // Nothing below SUPER may set wsrep_desync.
        Account::Operator => &["SUPER"],
        // The position is asked for at the very end of a copy: without its right, all was in vain.
        Account::Backup => &["RELOAD", "PROCESS", monitor],
    };
    let held: Vec<&str> = grants.iter().flat_map(|grant| global_privileges(grant)).collect();
    let same = |held: &str, wanted: &str| held == wanted || (wanted == monitor && MONITOR_WORDS.contains(&held));
    let holds = |wanted: &str| held.iter().any(|held| *held == "ALL PRIVILEGES" || same(held, wanted));
    needed.iter().copied().filter(|wanted| !holds(wanted)).collect()
}

const MONITOR_WORDS: [&str; 2] = ["REPLICATION CLIENT", "BINLOG MONITOR"];

/// Whom a GRANT has to name for the account, which may be another than the one that was logged in with.
pub(super) fn grantee(account: Account, grants: &[String]) -> String {
    let named = grants.iter().find_map(|grant| {
        let (_, rest) = grant.split_once(EVERYWHERE)?;
        let end = AFTER_GRANTEE.iter().filter_map(|word| rest.find(word)).min().unwrap_or(rest.len());
        Some(rest[..end].to_owned())
    });
    named.unwrap_or_else(|| format!("'<the {} account>'", name(account)))
}

const EVERYWHERE: &str = " ON *.* TO ";

/// What can follow an account's name in a line of `SHOW GRANTS`.
const AFTER_GRANTEE: [&str; 3] = [" IDENTIFIED ", " REQUIRE ", " WITH "];

/// The privileges of one line of `SHOW GRANTS` that hold everywhere.
fn global_privileges(grant: &str) -> Vec<&str> {
    let list = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(EVERYWHERE));
    list.map(|(list, _)| list.split(',').map(str::trim).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Series = Series { major: 10, minor: 11 };
    const OLD: Series = Series { major: 10, minor: 4 };

    #[test]
    fn what_is_missing_is_named_in_the_servers_words() {
        let cases: [(Account, &str, Series, &[&str]); 7] = [
            (Account::Backup, "GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO `b`@`%`", NOW, &[]),
            (Account::Backup, "GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO `b`@`%`", OLD, &[]),
            (Account::Backup, "GRANT RELOAD, PROCESS ON *.* TO `b`@`%`", NOW, &["BINLOG MONITOR"]),
            (Account::Backup, "GRANT PROCESS ON *.* TO `b`@`%`", OLD, &["RELOAD", "REPLICATION CLIENT"]),
            (Account::Backup, "GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION", NOW, &[]),
            (Account::Operator, "GRANT ALL PRIVILEGES ON `shop`.* TO `o`@`%`", NOW, &["SUPER"]),
            (Account::Operator, "GRANT SUPER ON *.* TO `o`@`%` IDENTIFIED BY PASSWORD '*5'", NOW, &[]),
        ];
        for (account, grant, series, expected) in cases {
            assert_eq!(missing(account, &[grant.to_owned()], series), expected, "{grant}");
        }
    }

    #[test]
    fn the_grant_to_type_names_the_account_as_the_server_knows_it() {
        let cases = [
            ("GRANT USAGE ON *.* TO `o`@`%`", "`o`@`%`"),
            ("GRANT USAGE ON *.* TO `o p`@`10.%` IDENTIFIED BY PASSWORD '*5' REQUIRE SSL", "`o p`@`10.%`"),
            ("GRANT RELOAD ON *.* TO 'o'@'%' WITH MAX_USER_CONNECTIONS 5", "'o'@'%'"),
            ("GRANT `role` TO `o`@`%`", "'<the operator account>'"),
        ];
        for (grant, expected) in cases {
            assert_eq!(grantee(Account::Operator, &[grant.to_owned()]), expected, "{grant}");
        }
    }
}
