//! Work on a data volume that is broken off at every single step, and done again.
//!
//! Real directories, the real work; whoever does it dies before or after any one of its effects. Whatever
//! lies there then, a server that started from it would start from all of the old data or all of the
//! restored ones, and the same order once more, or the one to undo it, ends as if nothing had happened.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mariadb_backup::adapters::data_files::VolumeFiles;
use mariadb_backup::adapters::system_clock::SystemClock;
use mariadb_backup::model::galera::SavedState;
use mariadb_backup::model::order::{DataPlace, RefillAct, RefillOrder};
use mariadb_backup::model::outcome::{End, Outcome};
use mariadb_backup::model::report::VolumeReport;
use mariadb_backup::ports::refill::RefillPorts;
use mariadb_backup::work::refill;
use mariadb_backup::work::stop;

use mortal::{Mortal, Silent};

mod mortal;

const OLD: &str = "01d00000-f1d0-11ef-8a4c-0242ac110002";
const NEW: &str = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002";

/// A volume with old data, and a proven copy beside them or on another file system.
struct Site {
    _directory: tempfile::TempDir,
    root: PathBuf,
    place: DataPlace,
    source: String,
    _elsewhere: Option<tempfile::TempDir>,
}

fn state(uuid: &str, seqno: i64) -> String {
    SavedState { uuid: uuid.to_owned(), seqno, safe_to_bootstrap: false }.to_string()
}

/// As Kubernetes makes a directory in a volume for a group.
const MODE: u32 = 0o2775;

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn fill(data: &Path, uuid: &str) {
    fs::create_dir_all(data.join("mysql")).unwrap();
    fs::create_dir_all(data.join("shop")).unwrap();
    for file in ["ibdata1", "mysql/db.frm", "shop/orders.ibd", ".hidden"] {
        fs::write(data.join(file), uuid).unwrap();
    }
    fs::write(data.join("grastate.dat"), state(uuid, 5)).unwrap();
}

impl Site {
    fn new(directory: &str, elsewhere: bool) -> Self {
        let volume = tempfile::tempdir().unwrap();
        let root = volume.path().to_owned();
        let data = root.join(directory);
        fill(&data, OLD);
        fs::set_permissions(&data, Permissions::from_mode(MODE)).unwrap();
        fs::create_dir(root.join("lost+found")).unwrap();
        fs::write(data.join(".my-healthcheck.cnf"), "probe").unwrap();
        fs::write(data.join("galera.cache"), OLD).unwrap();
        let other = elsewhere.then(|| tempfile::tempdir_in("/dev/shm").unwrap());
        let prepared = match &other {
            Some(other) => other.path().join("base"),
            None => root.join(".mariadb-backup/prepared/base"),
        };
        fill(&prepared, NEW);
        Self {
            _directory: volume,
            root,
            place: DataPlace { directory: directory.to_owned(), is_full: false },
            source: prepared.to_str().unwrap().to_owned(),
            _elsewhere: other,
        }
    }

    /// Without room for a second copy beside the data.
    fn full() -> Self {
        let site = Self::new("mysql", true);
        Self { place: DataPlace { is_full: true, ..site.place.clone() }, ..site }
    }

    fn every() -> [fn() -> Self; 5] {
        [
            || Self::new("mysql", false),
            || Self::new("mysql", true),
            || Self::new("deep/data", false),
            || Self::new("", true),
            Self::full,
        ]
    }

    fn data(&self) -> PathBuf {
        self.root.join(&self.place.directory)
    }

    /// Does it until the given effect, and returns how many effects there were.
    fn act(&self, act: &RefillAct, dies: Option<(usize, bool)>) -> (Outcome<VolumeReport>, usize) {
        let (dies_at, dies_after) = dies.unwrap_or((usize::MAX, false));
        let files = VolumeFiles::new(&self.root);
        let mortal = Arc::new(Mortal { files, done: AtomicUsize::new(0), dies_at, dies_after });
        let ports = RefillPorts {
            volume: mortal.clone(),
            recovery: mortal.clone(),
            waiting: Arc::new(Silent),
            clock: Arc::new(SystemClock),
            events: Arc::new(Silent),
        };
        let order = RefillOrder {
            volume: self.root.to_str().unwrap().to_owned(),
            place: self.place.clone(),
            run: "job".to_owned(),
            act: act.clone(),
            parallel: 2,
            go_ahead: None,
        };
        let (_stopper, stop) = stop::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome = runtime.block_on(refill::run(&order, &ports, stop));
        (outcome, mortal.done.load(Ordering::Relaxed))
    }

    #[track_caller]
    fn must(&self, act: &RefillAct) -> VolumeReport {
        match self.act(act, None).0.end {
            End::Done(report) => report,
            End::Failed(failure) => panic!("{act:?}: {failure:?}"),
        }
    }

    fn switch(&self) -> RefillAct {
        RefillAct::Switch { source: self.source.clone(), history: NEW.to_owned() }
    }

    /// The files of the data directory with what is in them, but for those of no history.
    fn content(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        read(&self.data(), "", &mut found);
        found.retain(|name, _| {
            let of_nobody = ["lost+found", ".my-healthcheck.cnf", ".mariadb-backup"];
            !of_nobody.iter().any(|ours| name.starts_with(ours))
        });
        found
    }

    /// What a server would be started from, and whether all of it belongs together.
    fn startable(&self) -> Option<(String, bool)> {
        let history = SavedState::parse(&fs::read_to_string(self.data().join("grastate.dat")).ok()?)?.uuid;
        let mut content = self.content();
        content.remove("grastate.dat");
        content.remove("galera.cache");
        let whole = content.len() == 4 && content.values().all(|text| *text == history);
        Some((history, whole))
    }
}

fn read(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Breaks the act off at every effect, and hands what is left to `check`.
fn broken_off(
    make: fn() -> Site,
    before: &[fn(&Site) -> RefillAct],
    act: fn(&Site) -> RefillAct,
    check: impl Fn(&Site, &str),
) {
    let quiet = make();
    for first in before {
        quiet.must(&first(&quiet));
    }
    let (_, effects) = quiet.act(&act(&quiet), None);
    assert!(effects > 1);
    for at in 0..effects {
        for dies_after in [false, true] {
            let site = make();
            for first in before {
                site.must(&first(&site));
            }
            site.act(&act(&site), Some((at, dies_after)));
            let case = format!("in \"{}\", dead at effect {at}, after it: {dies_after}", site.place.directory);
            if let Some((history, whole)) = site.startable() {
                assert!(whole, "{case}: a server would start from half of {history}: {:?}", site.content());
            }
            check(&site, &case);
        }
    }
}

fn restored(site: &Site, case: &str) {
    assert_eq!(site.startable(), Some((NEW.to_owned(), true)), "{case}: {:?}", site.content());
    let state = SavedState::parse(&fs::read_to_string(site.data().join("grastate.dat")).unwrap()).unwrap();
    assert!(state.safe_to_bootstrap && state.seqno == 5, "{case}: {state:?}");
    assert!(!site.data().join("galera.cache").exists(), "{case}: old write-sets could come back");
    assert_eq!(fs::read_to_string(site.data().join(".my-healthcheck.cnf")).unwrap(), "probe", "{case}");
    assert!(site.root.join("lost+found").exists(), "{case}");
    assert_eq!(mode_of(&site.data()), MODE, "{case}: a state transfer by rsync would set it where it may not");
}

#[test]
fn a_switch_that_is_broken_off_anywhere_ends_well_the_second_time() {
    for make in Site::every() {
        broken_off(make, &[], Site::switch, |site, case| {
            site.must(&site.switch());
            restored(site, case);
            let report = site.must(&RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: false });
            assert!(report.has_data && !report.set_aside);
            assert!(!site.root.join(".mariadb-backup").exists(), "{case}: something is left");
        });
    }
}

#[test]
fn a_switch_that_is_broken_off_anywhere_can_be_undone_where_the_old_data_were_set_aside() {
    let back = RefillAct::PutBack { history: Some(NEW.to_owned()) };
    for make in Site::every() {
        broken_off(make, &[], Site::switch, |site, case| {
            site.must(&back);
            match site.startable() {
                Some(found) => assert_eq!(found, (OLD.to_owned(), true), "{case}"),
                // Without room beside the data they are gone, and nothing of either is left.
                None => assert_eq!((site.place.has_room_beside(), site.content().len()), (false, 0), "{case}"),
            }
        });
    }
}

#[test]
fn a_way_back_that_is_broken_off_anywhere_ends_well_the_second_time() {
    let back = |_: &Site| RefillAct::PutBack { history: Some(NEW.to_owned()) };
    for make in Site::every() {
        broken_off(make, &[Site::switch], back, |site, case| {
            site.must(&back(site));
            if site.place.has_room_beside() {
                assert_eq!(site.startable(), Some((OLD.to_owned(), true)), "{case}");
            } else {
                assert_eq!((site.content().len(), site.data().is_dir()), (0, true), "{case}");
            }
        });
    }
}

#[test]
fn what_dead_restores_left_makes_room_where_there_is_none_and_kept_data_stay() {
    let site = Site::full();
    for left in ["prepared/base", "new-earlier", "old-earlier"] {
        fs::create_dir_all(site.root.join(".mariadb-backup").join(left)).unwrap();
    }
    site.must(&site.switch());
    let left: Vec<_> =
        fs::read_dir(site.root.join(".mariadb-backup")).unwrap().map(|of| of.unwrap().file_name()).collect();
    assert_eq!(left, ["old-earlier"]);
    restored(&site, "full");
}

#[test]
fn an_emptying_that_is_broken_off_anywhere_ends_well_the_second_time() {
    let empty = |_: &Site| RefillAct::Empty { history: Some(NEW.to_owned()) };
    for make in Site::every() {
        broken_off(make, &[], empty, |site, case| {
            site.must(&empty(site));
            assert_eq!(site.content().len(), 0, "{case}");
            assert!(site.root.join("lost+found").exists() && site.data().is_dir(), "{case}");
            let place = site.root.join(".mariadb-backup");
            assert!(!place.exists() || place.read_dir().unwrap().next().is_some(), "{case}: an empty place is left");
        });
    }
}

#[test]
fn a_filling_that_is_broken_off_anywhere_ends_well_the_second_time_and_starts_no_cluster() {
    let fill = |site: &Site| RefillAct::Fill { source: site.source.clone(), history: NEW.to_owned() };
    for make in Site::every() {
        broken_off(make, &[], fill, |site, case| {
            site.must(&fill(site));
            assert_eq!(site.startable(), Some((NEW.to_owned(), true)), "{case}: {:?}", site.content());
            let state = SavedState::parse(&fs::read_to_string(site.data().join("grastate.dat")).unwrap()).unwrap();
            assert!(!state.safe_to_bootstrap && state.seqno == 5, "{case}: {state:?}");
            assert!(!site.data().join("galera.cache").exists(), "{case}: old write-sets could come back");
            assert!(Path::new(&site.source).join("ibdata1").exists(), "{case}: others need it too");
        });
    }
}

#[test]
fn a_lending_that_is_broken_off_anywhere_lends_all_or_nothing() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = elsewhere.path().join(".restore_job/base");
    let lend = |site: &Site| RefillAct::Lend {
        source: site.source.clone(),
        target: target.to_str().unwrap().to_owned(),
        history: NEW.to_owned(),
    };
    for dies_at in 0.. {
        drop(fs::remove_dir_all(elsewhere.path().join(".restore_job")));
        let site = Site::new("mysql", false);
        let before = site.content();
        let (outcome, effects) = site.act(&lend(&site), Some((dies_at, false)));
        assert_eq!(site.content(), before, "the data of the server that runs were touched");
        let is_there = fs::read_to_string(target.join("grastate.dat")).is_ok();
        if matches!(outcome.end, End::Done(_)) {
            assert!(is_there && effects > 4, "{effects}");
            break;
        }
        assert!(!is_there, "dead at effect {dies_at}: half a copy would be taken for a whole one");
    }
    let mut copied = BTreeMap::new();
    read(&target, "", &mut copied);
    copied.remove("grastate.dat");
    assert!(copied.len() == 4 && copied.values().all(|text| text == NEW), "{copied:?}");
}

#[test]
fn a_replica_that_has_joined_already_is_never_emptied() {
    let site = Site::new("mysql", false);
    site.must(&site.switch());
    site.must(&RefillAct::Empty { history: Some(NEW.to_owned()) });
    assert_eq!(site.startable(), Some((NEW.to_owned(), true)));
}

#[test]
fn nothing_is_touched_for_a_copy_that_is_not_the_one_that_was_proven() {
    for make in Site::every() {
        let site = make();
        let before = site.content();
        let other = RefillAct::Switch { source: site.source.clone(), history: OLD.replace('0', "1") };
        let (outcome, _) = site.act(&other, None);
        let End::Failed(failure) = outcome.end else { panic!("it was put into place") };
        assert!(failure.message.contains("is not the copy that was proven"), "{failure:?}");
        assert_eq!(site.content(), before);
    }
}

#[test]
fn old_data_that_were_kept_by_an_earlier_restore_stay_through_the_next() {
    let site = Site::new("mysql", false);
    fs::create_dir_all(site.root.join(".mariadb-backup/old-earlier")).unwrap();
    site.must(&site.switch());
    let report = site.must(&RefillAct::Tidy { scratch: None, keep_old_data: true, keep_failed: false });
    assert!(report.set_aside);
    assert_eq!(fs::read_to_string(site.root.join(".mariadb-backup/old-job/ibdata1")).unwrap(), OLD);
    site.must(&RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: false });
    assert!(site.root.join(".mariadb-backup/old-earlier").exists());
    assert!(!site.root.join(".mariadb-backup/old-job").exists());
}

#[test]
fn old_data_that_cannot_be_removed_keep_nothing_else_from_going() {
    let site = Site::new("mysql", false);
    site.must(&site.switch());
    let place = site.root.join(".mariadb-backup");
    fs::write(place.join("old-job/.immutable"), "x").unwrap();
    for other in ["a", "prepared/base", "z"] {
        fs::create_dir_all(place.join(other)).unwrap();
    }
    let tidy = RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: false };
    let End::Failed(failure) = site.act(&tidy, None).0.end else { panic!("it says that all is removed") };
    assert!(failure.message.contains(".immutable"), "{failure:?}");
    let left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["old-job"]);
}

#[test]
fn a_volume_tells_how_it_is_and_asks_the_server_only_where_it_did_not_end_cleanly() {
    let site = Site::new("mysql", false);
    let seqno = |act: &RefillAct| site.must(act).state.unwrap().seqno;
    assert_eq!(seqno(&RefillAct::Position), 5);
    fs::write(site.data().join("grastate.dat"), state(OLD, -1)).unwrap();
    assert_eq!((seqno(&RefillAct::Look), seqno(&RefillAct::Position)), (-1, 7));
    site.must(&RefillAct::Crown { state: None });
    assert!(site.must(&RefillAct::Look).state.unwrap().safe_to_bootstrap);
    assert!(!site.must(&RefillAct::Uncrown).state.unwrap().safe_to_bootstrap);
    let report = site.must(&RefillAct::Look);
    assert!(report.has_data && !report.is_empty && report.data_bytes > 0);
}

#[test]
fn data_whose_server_was_ended_in_a_state_transfer_are_in_doubt_whatever_position_they_claim() {
    let site = Site::new("mysql", false);
    let is_in_doubt = |act: &RefillAct| site.must(act).in_doubt;
    assert!(!is_in_doubt(&RefillAct::Position));
    fs::write(site.data().join("grastate.dat"), state(OLD, -1)).unwrap();
    assert!(!is_in_doubt(&RefillAct::Position), "a crash leaves whole data behind");
    let nothing = "00000000-0000-0000-0000-000000000000";
    fs::write(site.data().join("grastate.dat"), state(nothing, -1)).unwrap();
    let report = site.must(&RefillAct::Position);
    assert!(report.in_doubt);
    let recovered = report.state.unwrap();
    assert_eq!(recovered.seqno, 7, "what it claims is told all the same");
    // Whoever starts from there anyway keeps the history: a file without one begins another.
    site.must(&RefillAct::Crown { state: Some(recovered.clone()) });
    let crowned = site.must(&RefillAct::Look);
    assert!(!crowned.in_doubt);
    assert_eq!(crowned.state.unwrap(), SavedState { safe_to_bootstrap: true, ..recovered });
    fs::write(site.data().join("grastate.dat"), "").unwrap();
    assert!(is_in_doubt(&RefillAct::Position), "as of one that joins with its file gone");
}

#[test]
fn data_that_were_put_back_are_set_aside_again_whole_and_a_second_try_takes_nothing_that_came_since() {
    let site = Site::new("mysql", false);
    site.must(&RefillAct::SetAside);
    let old = site.root.join(".mariadb-backup/old-job");
    let is_kept = || old.join("grastate.dat").exists() && old.join("ibdata1").exists();
    assert!(is_kept() && fs::read_dir(site.data()).unwrap().next().is_none());
    fs::write(site.data().join("grastate.dat"), state(OLD, 9)).unwrap();
    site.must(&RefillAct::SetAside);
    assert!(is_kept() && site.data().join("grastate.dat").exists());
}

#[test]
fn a_volume_with_somebody_s_files_is_not_empty_and_one_with_the_file_system_s_own_is() {
    let site = Site::new("mysql", true);
    fs::remove_dir_all(site.data()).unwrap();
    assert!(site.must(&RefillAct::Look).is_empty);
    fs::create_dir(site.root.join("data")).unwrap();
    assert!(!site.must(&RefillAct::Look).is_empty, "the data may be elsewhere than they are thought to be");
}

#[test]
fn restored_data_that_clients_may_have_written_to_stay_when_they_are_taken_out_again() {
    let site = Site::new("mysql", false);
    site.must(&site.switch());
    site.must(&RefillAct::PutBack { history: Some(NEW.to_owned()) });
    site.must(&RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: true });
    assert_eq!(fs::read_to_string(site.root.join(".mariadb-backup/failed-job/ibdata1")).unwrap(), NEW);
    site.must(&RefillAct::Tidy { scratch: None, keep_old_data: false, keep_failed: false });
    assert!(!site.root.join(".mariadb-backup").exists());
}
