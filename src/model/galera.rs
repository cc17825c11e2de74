//! What a Galera member says about itself, and what follows from it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in a cluster's history: `uuid:seqno`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The history.
    pub uuid: String,
    /// The write-set.
    pub seqno: i64,
}

/// A text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no Galera position (uuid:seqno)")]
pub struct NotAPosition(pub String);

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no = || NotAPosition(text.to_owned());
        let (uuid, seqno) = text.rsplit_once(':').ok_or_else(no)?;
        if !is_uuid(uuid) {
            return Err(no());
        }
        Ok(Self { uuid: uuid.to_owned(), seqno: seqno.parse().map_err(|_| no())? })
    }
}

impl Position {
    /// Reads the position from the tool's file, in which domain ids may follow it.
    #[must_use]
    pub fn find(galera_info: &str) -> Option<Self> {
        galera_info.split_whitespace().next()?.parse().ok()
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl TryFrom<String> for Position {
    type Error = NotAPosition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uuid, self.seqno)
    }
}

/// What Galera keeps of a data directory, in its `grastate.dat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedState {
    /// The history; of zeros when it is none.
    pub uuid: String,
    /// The last write-set; -1 when the server did not end cleanly, or runs.
    pub seqno: i64,
    /// Whether the cluster may be started from here.
    pub safe_to_bootstrap: bool,
}

impl SavedState {
    /// Reads the file; `None` when it makes no sense, which Galera takes for none at all.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.strip_prefix(':').map(str::trim)
        };
        let uuid = value("uuid").filter(|uuid| is_uuid(uuid))?.to_owned();
        let seqno = value("seqno").and_then(|seqno| seqno.parse().ok()).unwrap_or(-1);
        Some(Self { uuid, seqno, safe_to_bootstrap: value("safe_to_bootstrap") == Some("1") })
    }

    /// Whether it names a history at all.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.uuid.bytes().any(|byte| byte != b'0' && byte != b'-')
    }
}

impl fmt::Display for SavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uuid, seqno, safe_to_bootstrap } = self;
        let safe = u8::from(*safe_to_bootstrap);
        writeln!(f, "# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   {seqno}\nsafe_to_bootstrap: {safe}")
    }
}

/// What one member reports: its `wsrep_%` status and the few variables that matter here.
#[expect(clippy::struct_excessive_bools, reason = "each is one of the server's own ON/OFF values")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// `wsrep_ready`: it accepts queries.
    pub ready: bool,
    /// `wsrep_connected`: it is connected to the group.
    pub connected: bool,
    /// `wsrep_cluster_status`: `Primary` where there is a quorum.
    pub cluster_status: String,
    /// `wsrep_local_state_comment`: `Synced`, `Donor/Desynced`, …
    pub state: String,
    /// `wsrep_cluster_size`.
    pub cluster_size: u32,
    /// `wsrep_cluster_state_uuid`: the history it is in.
    pub state_uuid: String,
    /// `wsrep_desync_count`: how many have asked for desync, internal users included. This and the
    /// state are what counts; the variable alone is not (a second ON is lost in it).
    pub desync_count: u32,
    /// `wsrep_local_recv_queue`: write-sets received and not yet applied.
    pub recv_queue: u64,
    /// `wsrep_last_committed`.
    pub last_committed: i64,
    /// `wsrep_replicated`: how many write-sets of its own clients it has sent since it started; `None` where it does not
    /// say.
    pub replicated: Option<u64>,
    /// `wsrep_gcomm_uuid`: its id in the group, new with each start.
    pub gcomm_uuid: String,
    /// `gcs.sync_donor` of `wsrep_provider_options`: a desynced member would still throttle the group.
    pub sync_donor: bool,
    /// `wsrep_mode` has `BF_ABORT_MARIABACKUP`: backups under load deadlock with the applier.
    pub aborts_backups: bool,
    /// `Innodb_lsn_current`: how far its redo is; per server, and meaningless on another one.
    pub lsn: u64,
    /// `wsrep_sst_method` is not `mariabackup`: a state transfer may write into the files that are
    /// there, as rsync does, and leave no trace on them.
    pub sst_keeps_files: bool,
    /// `version`.
    pub version: String,
    /// `datadir`.
    pub datadir: String,
}

/// The state of a member that keeps up with the group.
pub const SYNCED: &str = "Synced";

impl Member {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { uuid: self.state_uuid.clone(), seqno: self.last_committed }
    }

    /// Reads a member from its status and variables, by name.
    ///
    /// What is missing reads as "not": a server without Galera is then neither ready nor Synced.
    #[must_use]
    pub fn read(status: &BTreeMap<String, String>, variables: &BTreeMap<String, String>) -> Self {
        let text = |map: &BTreeMap<String, String>, name: &str| map.get(name).cloned().unwrap_or_default();
        let number = |name: &str| text(status, name).parse::<i64>().unwrap_or_default();
        let on = |name: &str| text(status, name).eq_ignore_ascii_case("ON");
        let options = text(variables, "wsrep_provider_options");
        Self {
            ready: on("wsrep_ready"),
            connected: on("wsrep_connected"),
            cluster_status: text(status, "wsrep_cluster_status"),
            state: text(status, "wsrep_local_state_comment"),
            cluster_size: u32::try_from(number("wsrep_cluster_size")).unwrap_or_default(),
            state_uuid: text(status, "wsrep_cluster_state_uuid"),
            desync_count: u32::try_from(number("wsrep_desync_count")).unwrap_or_default(),
            recv_queue: u64::try_from(number("wsrep_local_recv_queue")).unwrap_or_default(),
            last_committed: number("wsrep_last_committed"),
            replicated: text(status, "wsrep_replicated").parse().ok(),
            gcomm_uuid: text(status, "wsrep_gcomm_uuid"),
            sync_donor: provider_option(&options, "gcs.sync_donor")
                .is_some_and(|value| ["yes", "on", "true", "1"].contains(&value.to_ascii_lowercase().as_str())),
            aborts_backups: text(variables, "wsrep_mode").contains("BF_ABORT_MARIABACKUP"),
            lsn: text(status, "Innodb_lsn_current").parse().unwrap_or_default(),
            sst_keeps_files: text(variables, "wsrep_sst_method") != "mariabackup",
            version: text(variables, "version"),
            datadir: text(variables, "datadir"),
        }
    }

    /// Whether it answers queries, and is in a group with a majority.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.ready && self.cluster_status == "Primary"
    }

    /// Whether it keeps up with the group and nothing holds it back from doing so.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.state == SYNCED && self.desync_count == 0
    }
}

/// Finds one option in `wsrep_provider_options` (`name = value; name = value; …`).
fn provider_option<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = options.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// Finds the member id in a `gvwstate.dat`, the file in which a running member keeps its view.
///
/// It equals `wsrep_gcomm_uuid` of the server that owns the files, and of no other.
#[must_use]
pub fn gvwstate_my_uuid(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("my_uuid:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_position_is_read_back_as_written() {
        let text = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711";
        assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        for wrong in ["", "x:1", "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002", "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:x"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_saved_state_is_read_back_as_written() {
        let uuid = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002".to_owned();
        let state = SavedState { uuid, seqno: 4711, safe_to_bootstrap: true };
        assert_eq!(SavedState::parse(&state.to_string()), Some(state.clone()));
        assert!(state.has_history());
        let none = "uuid:    00000000-0000-0000-0000-000000000000\nseqno:   -1\n";
        assert!(!SavedState::parse(none).unwrap().has_history());
        assert_eq!(SavedState::parse("uuid: \nseqno: 5"), None);
    }

    #[test]
    fn a_server_without_galera_is_neither_ready_nor_synced() {
        let member = Member::read(&map(&[]), &map(&[("version", "10.11.19-MariaDB")]));
        assert!(!member.ready && !member.is_synced());
    }

    #[test]
    fn a_desync_that_only_the_count_shows_counts() {
        let status = map(&[("wsrep_local_state_comment", "Synced"), ("wsrep_desync_count", "1")]);
        assert!(!Member::read(&status, &map(&[])).is_synced());
    }

    #[test]
    fn the_options_that_matter_are_found() {
        let variables = map(&[
            ("wsrep_provider_options", "gcs.max_throttle = 0.25; gcs.sync_donor = YES; x = y"),
            ("wsrep_mode", "REPLICATE_MYISAM,BF_ABORT_MARIABACKUP"),
        ]);
        let member = Member::read(&map(&[]), &variables);
        assert!(member.sync_donor && member.aborts_backups);
    }

    #[test]
    fn a_gvwstate_names_its_server() {
        let text = "my_uuid: 0a1b2c3d-f1d0-11ef-8a4c-0242ac110002\n#vwbeg\nview_id: 3 0a1b 5\nbootstrap: 0\n#vwend\n";
        assert_eq!(gvwstate_my_uuid(text), Some("0a1b2c3d-f1d0-11ef-8a4c-0242ac110002"));
        assert_eq!(gvwstate_my_uuid(""), None);
    }
}
