//! What must be true before a replica is touched: looked at once, judged without the world.

use std::sync::Arc;
use std::time::Duration;

use super::error::{CopyError, Refusal};
use super::grants;
use super::increment::{self, FoundParent, Kind, NoIncrement};
use crate::model::backup_id::BackupId;
use crate::model::galera::{Member, SYNCED};
use crate::model::order::CopyOrder;
use crate::model::space::{self, Room};
use crate::model::version::Series;
use crate::ports::PortError;
use crate::ports::runner::{Account, Incarnation, RunnerPorts};
use crate::work::blocking::blocking;

/// How long the server may take to answer `wsrep_desync=ON` and to become a donor.
const DESYNC_LIMIT: Duration = Duration::from_mins(1);

/// mariadb-backup sends nothing while it waits for the server's lock; this much more is a hang.
const STALL_BEYOND_LOCK: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The server.
    pub member: Member,
    /// `SHOW GRANTS` of both accounts.
    pub operator_grants: Vec<String>,
    /// See above.
    pub backup_grants: Vec<String>,
    /// The tool's sentence about its version.
    pub tool_version: String,
    /// Bytes a copy would read.
    pub data_bytes: u64,
    /// Member id in the files.
    pub files_member_id: Option<String>,
    /// Which files they are.
    pub incarnation: Incarnation,
    /// Room on the volume; `None` when nothing goes there.
    pub free_bytes: Option<u64>,
    /// Room on the data volume.
    pub data_free_bytes: u64,
    /// What an incremental backup would build on; `None` when nothing was named.
    pub parent: Option<Result<FoundParent, NoIncrement>>,
}

/// What a copy goes by once it was found possible.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyPlan {
    /// The backup to make: the ordered one, or a full one in its stead.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// The server, as found.
    pub member: Member,
    /// The tool's version, as it says it.
    pub tool_version: String,
    /// Which files are copied.
    pub incarnation: Incarnation,
    /// Bytes expected.
    pub data_bytes: u64,
    /// zstd level.
    pub compression_level: i32,
    /// For the go-ahead.
    pub go_ahead_limit: Duration,
    /// For the desync.
    pub desync_limit: Duration,
    /// For traffic to leave the replica; `None` when nobody waits for that.
    pub drain_limit: Option<Duration>,
    /// Bytes that must stay free on the data volume.
    pub data_free_bytes: u64,
    /// For the whole copy.
    pub copy_limit: Duration,
    /// For a byte.
    pub stall_limit: Duration,
    /// For the queue to drain, and again for the replica to be Synced.
    pub resync_limit: Duration,
}

/// Looks at everything the plan needs.
pub(super) async fn observe(order: &CopyOrder, ports: &RunnerPorts) -> Result<Observed, CopyError> {
    let look = async {
        Ok(Observed {
            tool_version: ports.engine.version().await?,
            member: ports.server.member().await?,
            operator_grants: ports.server.grants(Account::Operator).await?,
            backup_grants: ports.server.grants(Account::Backup).await?,
            data_bytes: ports.data.data_bytes()?,
            files_member_id: ports.data.member_id()?,
            incarnation: ports.data.incarnation()?,
            free_bytes: ports.volume.as_ref().map(|volume| volume.room()).transpose()?.map(|(free, _)| free),
            data_free_bytes: ports.data.free_bytes()?,
            parent: find_parent(order, ports).await?,
        })
    };
    look.await.map_err(CopyError::Check)
}

/// Reads what is known of the backup to build on. Where it cannot be read, that is a finding as well.
async fn find_parent(
    order: &CopyOrder,
    ports: &RunnerPorts,
) -> Result<Option<Result<FoundParent, NoIncrement>>, PortError> {
    let Some(parent) = order.parent.clone() else { return Ok(None) };
    let recorded = order.parent_sha256.clone();
    let mut stores = vec![Arc::clone(&ports.store)];
    stores.extend(ports.follower.clone());
    blocking(move || Ok(Some(increment::find(&parent, recorded.as_deref(), &stores)))).await
}

/// Decides whether and how to copy.
pub fn plan(order: &CopyOrder, found: &Observed) -> Result<CopyPlan, Refusal> {
    let series = check_series(&found.tool_version, &found.member.version)?;
    check_grants(found, series)?;
    check_files(order, found)?;
    check_member(&found.member)?;
    if found.data_free_bytes < order.data_free_bytes {
        let (free_bytes, least_bytes) = (found.data_free_bytes, order.data_free_bytes);
        return Err(Refusal::DataVolume { free_bytes, least_bytes });
    }
    if let Some(free_bytes) = found.free_bytes {
        let room = Room { free_bytes, data_bytes: found.data_bytes };
        space::check(room, order.required_space_ratio).map_err(Refusal::Room)?;
    }
    let lock_wait = Duration::from_secs(order.ftwrl_wait_secs);
    let (backup, kind) = increment::decide(order, found, series);
    Ok(CopyPlan {
        backup,
        kind,
        member: found.member.clone(),
        tool_version: found.tool_version.clone(),
        incarnation: found.incarnation,
        data_bytes: found.data_bytes,
        compression_level: order.compression_level,
        go_ahead_limit: Duration::from_secs(order.go_ahead_timeout_secs),
        desync_limit: DESYNC_LIMIT,
        drain_limit: Some(order.drain_secs).filter(|secs| *secs > 0).map(Duration::from_secs),
        data_free_bytes: order.data_free_bytes,
        copy_limit: Duration::from_secs(order.copy_timeout_secs),
        stall_limit: Duration::from_secs(order.stall_timeout_secs).max(lock_wait + STALL_BEYOND_LOCK),
        resync_limit: Duration::from_secs(order.resync_timeout_secs),
    })
}

fn check_series(tool_text: &str, server_text: &str) -> Result<Series, Refusal> {
    let unknown = |text: &str, of| Refusal::UnknownVersion { text: text.to_owned(), of };
    let tool = Series::find(tool_text).ok_or_else(|| unknown(tool_text, "mariadb-backup"))?;
    let server = Series::find(server_text).ok_or_else(|| unknown(server_text, "the server"))?;
    if tool == server { Ok(server) } else { Err(Refusal::OtherSeries { tool, server }) }
}

fn check_grants(found: &Observed, series: Series) -> Result<(), Refusal> {
    for (account, held) in [(Account::Operator, &found.operator_grants), (Account::Backup, &found.backup_grants)] {
        let missing = grants::missing(account, held, series);
        if !missing.is_empty() {
            return Err(Refusal::MissingGrants {
                account: grants::name(account),
                grantee: grants::grantee(account, held),
                missing: missing.join(", "),
            });
        }
    }
    Ok(())
}

/// The tool does not notice when it locks one server and reads another one's files; this does.
fn check_files(order: &CopyOrder, found: &Observed) -> Result<(), Refusal> {
    let same_path = |path: &str| path.trim_end_matches('/').to_owned();
    if same_path(&found.member.datadir) != same_path(&order.datadir) {
        return Err(Refusal::OtherPath { server: found.member.datadir.clone(), here: order.datadir.clone() });
    }
    let datadir = order.datadir.clone();
    match &found.files_member_id {
        None => Err(Refusal::NoMember { datadir }),
        Some(files) if *files != found.member.gcomm_uuid => {
            let server = found.member.gcomm_uuid.clone();
            Err(Refusal::OtherServersFiles { datadir, files: files.clone(), server })
        }
        Some(_) => Ok(()),
    }
}

/// Judges the member; again right before the desync, since time has passed until then.
pub(super) fn check_member(member: &Member) -> Result<(), Refusal> {
    if member.aborts_backups {
        return Err(Refusal::AbortsBackups);
    }
    if member.sync_donor {
        return Err(Refusal::SyncDonor);
    }
    if member.desync_count > 0 {
        return Err(Refusal::AlreadyDesynced { count: member.desync_count });
    }
    if member.state != SYNCED {
        return Err(Refusal::NotSynced { state: member.state.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{healthy, order};
    use super::*;

    fn refused(change: impl FnOnce(&mut Observed)) -> Refusal {
        let mut found = healthy();
        change(&mut found);
        plan(&order(), &found).unwrap_err()
    }

    #[test]
    fn a_healthy_replica_may_be_copied() {
        let plan = plan(&order(), &healthy()).unwrap();
        assert_eq!(plan.data_bytes, healthy().data_bytes);
        assert_eq!(plan.stall_limit, Duration::from_secs(order().ftwrl_wait_secs) + STALL_BEYOND_LOCK);
    }

    #[test]
    fn every_wrong_thing_is_refused_by_name() {
        let other = "ffffffff-f1d0-11ef-8a4c-0242ac110002".to_owned();
        let (files, server) = (other.clone(), healthy().member.gcomm_uuid);
        let datadir = order().datadir;
        let found = [
            refused(|found| found.tool_version = "based on MariaDB server 11.8.9-MariaDB".to_owned()),
            refused(|found| found.backup_grants.clear()),
            refused(|found| found.operator_grants.clear()),
            refused(|found| found.member.datadir = "/elsewhere/".to_owned()),
            refused(|found| found.files_member_id = None),
            refused(|found| found.files_member_id = Some(other)),
            refused(|found| found.member.aborts_backups = true),
            refused(|found| found.member.sync_donor = true),
            refused(|found| found.member.desync_count = 1),
            refused(|found| found.member.state = "Joined".to_owned()),
            refused(|found| found.data_free_bytes = 99),
            refused(|found| found.free_bytes = Some(1199)),
        ];
        let series = |minor, major| Series { major, minor };
        let missing = |account, missing: &str| Refusal::MissingGrants {
            account,
            grantee: format!("'<the {account} account>'"),
            missing: missing.to_owned(),
        };
        let room = Room { free_bytes: 1199, data_bytes: 1000 };
        let expected = [
            Refusal::OtherSeries { tool: series(8, 11), server: series(11, 10) },
            missing("backup", "RELOAD, PROCESS, BINLOG MONITOR"),
            missing("operator", "SUPER"),
            Refusal::OtherPath { server: "/elsewhere/".to_owned(), here: datadir.clone() },
            Refusal::NoMember { datadir: datadir.clone() },
            Refusal::OtherServersFiles { datadir, files, server },
            Refusal::AbortsBackups,
            Refusal::SyncDonor,
            Refusal::AlreadyDesynced { count: 1 },
            Refusal::NotSynced { state: "Joined".to_owned() },
            Refusal::DataVolume { free_bytes: 99, least_bytes: 100 },
            Refusal::Room(space::check(room, 1.2).unwrap_err()),
        ];
        assert_eq!(found, expected);
    }
}
