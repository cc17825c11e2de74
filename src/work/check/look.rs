//! Looking at one store: what can be known without reading, then reading what has to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::digest::{self, Job, UNKNOWN_SUM};
use super::flaw::{Flaw, Flaws};
use super::list;
use super::seal;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Algorithm, Checksum};
use crate::model::order::{Depth, StoreName};
use crate::model::report::Verdict;
use crate::ports::runner::{FileFacts, KeptSum, Store, StorePorts, Volume};
use crate::ports::{PortError, Reason};
use crate::work::parallel;
use crate::work::stop::Stop;
use crate::work::sums;

/// More readers than this gain nothing on one volume.
const MOST_READERS: usize = 8;

/// So many streams of one bucket are read at once, whatever the number of cores: they wait for the network.
const S3_READERS: usize = 4;

/// So many manifests are in memory at once: one with a line for each of very many tables is large.
pub(in crate::work) const MANIFEST_READERS: usize = 2;

/// One store as it is looked at.
pub(in crate::work) struct Side<'a> {
    /// Which it is.
    pub name: StoreName,
    /// The store.
    pub store: &'a dyn Store,
    /// The store again, when it is a volume.
    pub volume: Option<&'a dyn Volume>,
    /// How many files are read at once.
    pub readers: usize,
}

/// How far the reading is, and whether it should end.
pub(in crate::work) struct Pace<'a> {
    /// Bytes read so far.
    pub read: &'a AtomicU64,
    /// Bytes to read in all, as far as is known.
    pub total: &'a AtomicU64,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// A backup that should be in a store, with what the catalogue says of its files.
pub(in crate::work) struct Wanted {
    /// The backup.
    pub backup: BackupId,
    /// What the catalogue says of its files.
    pub expected: BTreeMap<String, Checksum>,
    /// Whether it should be in this store.
    pub here: bool,
}

/// What was found of one backup in one store.
pub(in crate::work) struct Found {
    /// How it is.
    pub verdict: Verdict,
    /// What its files must be, by both witnesses, by path inside the store.
    pub files: BTreeMap<String, Checksum>,
    /// What is wrong.
    pub flaws: Flaws,
    /// The files whose every byte was compared and is right.
    pub read: BTreeSet<String>,
    /// What can be known of its files without reading.
    facts: BTreeMap<String, FileFacts>,
}

/// What was found in one store.
pub(in crate::work) struct Looked {
    /// The backups in it.
    pub present: Vec<BackupId>,
    /// What was found of those asked for, in their order.
    pub found: Vec<Found>,
    /// What the reader should know about the store as a whole.
    pub notes: Vec<String>,
}

impl Found {
    /// What is known of a backup that was not looked at.
    pub(in crate::work) fn unseen() -> Self {
        Self {
            verdict: Verdict::Unseen,
            files: BTreeMap::new(),
            flaws: Flaws::new(),
            read: BTreeSet::new(),
            facts: BTreeMap::new(),
        }
    }
}

impl<'a> Side<'a> {
    /// The volume as it is looked at.
    pub(in crate::work) fn local(volume: &'a dyn Volume) -> Self {
        let readers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_READERS);
        Self { name: StoreName::Local, store: volume, volume: Some(volume), readers }
    }

    /// The bucket as it is looked at.
    pub(in crate::work) fn s3(store: &'a dyn Store) -> Self {
        Self { name: StoreName::S3, store, volume: None, readers: S3_READERS }
    }

    /// Both stores of a runner, those it has.
    pub(in crate::work) fn both(ports: &'a StorePorts) -> (Option<Self>, Option<Self>) {
        (ports.local.as_deref().map(Self::local), ports.s3.as_deref().map(Self::s3))
    }

    /// What an error of the store says about a file. A bucket far away may fail for many reasons; a
    /// volume that does not hand out a file is where the damage is.
    pub(in crate::work) fn flaw_of(&self, error: &PortError) -> Flaw {
        let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        match (error.reason, self.name) {
            (Reason::Missing, _) => Flaw::Missing,
            (_, StoreName::Local) => Flaw::Wrong(format!("cannot be opened{cause}")),
            (_, StoreName::S3) => Flaw::Unread(format!("{error}{cause}")),
        }
    }

    /// The same of an error while it is read.
    pub(in crate::work) fn flaw_of_reading(&self, error: &std::io::Error) -> Flaw {
        self.flaw(format!("cannot be read: {error}"))
    }

    /// The same of a thread that broke off while it read.
    pub(in crate::work) fn flaw_of_panic(&self) -> Flaw {
        self.flaw("reading it ended by a fault of this program".to_owned())
    }

    fn flaw(&self, what: String) -> Flaw {
        if self.name == StoreName::Local { Flaw::Wrong(what) } else { Flaw::Unread(what) }
    }
}

/// Looks at every backup that should be in a store.
///
/// # Errors
/// The store cannot be reached at all.
pub(in crate::work) fn look(
    wanted: &[Wanted],
    depth: Depth,
    side: &Side<'_>,
    pace: &Pace<'_>,
) -> Result<Looked, PortError> {
    let present = side.store.backups()?;
    let mut found: Vec<Found> = survey_all(wanted, side, pace);
    let mut notes = sizes_only(&found, depth, side).into_iter().collect::<Vec<_>>();
    read_what_must_be(wanted, &mut found, depth, side, pace);
    for (wanted, found) in wanted.iter().zip(&mut found).filter(|(wanted, _)| wanted.here) {
        judge(&wanted.backup, found, side.store);
        if found.verdict == Verdict::Read
            && let Some(volume) = side.volume
            && let Err(error) = seal::renew(&wanted.backup, &found.files, &found.facts, volume)
        {
            notes.push(format!("{error}: {} is read again next time", wanted.backup));
        }
    }
    Ok(Looked { present, found, notes })
}

fn survey_all(wanted: &[Wanted], side: &Side<'_>, pace: &Pace<'_>) -> Vec<Found> {
    let found = parallel::each(wanted, MANIFEST_READERS, || {
        |wanted: &Wanted| {
            if wanted.here && !pace.stop.is_requested() { survey(wanted, side) } else { Found::unseen() }
        }
    });
    let broke_off = |wanted: &Wanted| {
        let flaws = Flaws::from([(wanted.backup.directory(), side.flaw_of_panic())]);
        Found { flaws, ..Found::unseen() }
    };
    found.into_iter().zip(wanted).map(|(found, wanted)| found.unwrap_or_else(|| broke_off(wanted))).collect()
}

/// Finds out about one backup what can be known without reading more than its manifest.
pub(in crate::work) fn survey(wanted: &Wanted, side: &Side<'_>) -> Found {
    let list = list::make(&wanted.backup, &wanted.expected, side);
    let mut found = Found { files: list.files, flaws: list.flaws, read: list.read, ..Found::unseen() };
    for (path, sum) in &found.files {
        if found.flaws.contains_key(path) || (found.read.contains(path) && side.volume.is_none()) {
            continue;
        }
        let facts = side.store.facts(path).map_err(|error| side.flaw_of(&error));
        match facts.and_then(|facts| compare_facts(&facts, sum).map(|()| facts)) {
            Ok(facts) => drop(found.facts.insert(path.clone(), facts)),
            Err(flaw) => drop(found.flaws.insert(path.clone(), flaw)),
        }
    }
    found
}

fn compare_facts(facts: &FileFacts, expected: &Checksum) -> Result<(), Flaw> {
    let algorithm = match expected.algorithm() {
        None if !expected.checksum.is_empty() => return Err(Flaw::Wrong(UNKNOWN_SUM.to_owned())),
        algorithm => algorithm,
    };
    if let Some(expected) = expected.size.filter(|expected| *expected != facts.size) {
        return Err(Flaw::Wrong(format!("is {} bytes long, not {expected}", facts.size)));
    }
    match (&facts.kept, algorithm) {
        (KeptSum::Sha256(found), Some(Algorithm::Sha256)) => sums::compare(found, expected).map_err(Flaw::Wrong),
        (KeptSum::Parts { equal: false }, _) => {
            Err(Flaw::Wrong("the sums of its parts are not the ones that were sent".to_owned()))
        }
        (KeptSum::Parts { equal: true } | KeptSum::None | KeptSum::Sha256(_), _) => Ok(()),
    }
}

/// Says it when nothing but sizes could be compared of a file that has a sum.
fn sizes_only(found: &[Found], depth: Depth, side: &Side<'_>) -> Option<String> {
    let unproven = |found: &Found| {
        let has_sum = |path| found.files.get(path).and_then(Checksum::algorithm) == Some(Algorithm::Sha256);
        let mut facts = found.facts.iter();
        facts.any(|(path, facts)| facts.kept == KeptSum::None && has_sum(path))
    };
    let is_told = side.name == StoreName::S3 && depth != Depth::Full && found.iter().any(unproven);
    is_told.then(|| format!("{} keeps no sums of some files; only their sizes were compared", side.store.place()))
}

fn read_what_must_be(wanted: &[Wanted], found: &mut [Found], depth: Depth, side: &Side<'_>, pace: &Pace<'_>) {
    let mut jobs = Vec::new();
    for (index, (wanted, found)) in wanted.iter().zip(found.iter()).enumerate() {
        let is_read = match (depth, side.volume) {
            (Depth::Quick, _) | (Depth::Changed, None) => false,
            (Depth::Changed, Some(volume)) => !is_sealed(wanted, found, volume),
            (Depth::Full, _) => true,
        };
        // Without a sum, as in a catalogue made again from a store of the original's, reading tells nothing.
        let open = |path: &String, sum: &Checksum| {
            !found.flaws.contains_key(path) && !found.read.contains(path) && !sum.checksum.is_empty()
        };
        let paths = found.files.iter().filter(|(path, sum)| is_read && open(path, sum));
        jobs.extend(paths.map(|(path, sum)| Job { backup: index, path: path.clone(), sum: sum.clone() }));
    }
    // Sizes the original did not record are those found.
    let bytes = |job: &Job| found[job.backup].facts.get(&job.path).map_or(0, |facts| facts.size);
    pace.total.fetch_add(jobs.iter().map(bytes).sum(), Ordering::Relaxed);
    for (job, result) in digest::compare_all(jobs, side, pace) {
        let found = &mut found[job.backup];
        match result {
            Ok(()) => drop(found.read.insert(job.path)),
            Err(flaw) => drop(found.flaws.insert(job.path, flaw)),
        }
    }
}

fn is_sealed(wanted: &Wanted, found: &Found, volume: &dyn Volume) -> bool {
    found.flaws.is_empty() && seal::holds(&wanted.backup, &found.files, &found.facts, volume)
}

/// Reads every byte of one backup; the error names the first file that is not right.
pub(in crate::work) fn prove(
    backup: &BackupId,
    expected: &BTreeMap<String, Checksum>,
    side: &Side<'_>,
    pace: &Pace<'_>,
) -> Result<(), (String, Flaw)> {
    let wanted = [Wanted { backup: backup.clone(), expected: expected.clone(), here: true }];
    let mut found = wanted.each_ref().map(|wanted| survey(wanted, side));
    read_what_must_be(&wanted, &mut found, Depth::Full, side, pace);
    found.into_iter().flat_map(|found| found.flaws).next().map_or(Ok(()), Err)
}

/// Gives the verdict on a backup of which everything is known that shall be.
fn judge(backup: &BackupId, found: &mut Found, store: &dyn Store) {
    let flaws = || found.flaws.values();
    let nothing_there = !found.flaws.is_empty()
        && found.files.keys().all(|path| found.flaws.get(path) == Some(&Flaw::Missing))
        && store.files(backup).is_ok_and(|files| files.is_empty());
    found.verdict = if nothing_there {
        Verdict::Missing
    } else if flaws().any(Flaw::is_damage) {
        Verdict::Damaged
    } else if !found.flaws.is_empty() || found.files.is_empty() {
        Verdict::Unseen
    } else if found.files.keys().all(|path| found.read.contains(path)) {
        Verdict::Read
    } else {
        Verdict::Good
    };
    if nothing_there {
        found.flaws = BTreeMap::from([(backup.directory(), Flaw::Missing)]);
    }
}
