//! A second store that follows the first one while its file grows.
//!
//! The pipeline writes into the first store and only counts; a thread of its own reads the file back,
//! out of the page cache as long as it keeps up, and sends it on. It may lag by any amount, holds one
//! block in memory, and nothing that happens to it reaches the first store. Whether what was sent
//! becomes a backup is told by the one who signs the first copy off: [`Follower::complete`] or
//! [`Follower::give_up`]. What was begun and not completed stays where the store can resume it.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::model::backup_id::BackupId;
use crate::model::manifest::{MANIFEST_FILE, STREAM_FILE, StoredFile, hex};
use crate::ports::runner::{PendingBackup, Store, StoreFile};
use crate::ports::{PortError, Reason};

/// What is read and sent at a time.
const BLOCK: usize = 1 << 20;

/// What makes the bytes that were sent a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOff {
    /// The stream, as the first store took it.
    pub stream: StoredFile,
    /// The small files, by name.
    pub small_files: Vec<(String, Vec<u8>)>,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
}

/// Why the second store does not have the backup.
#[derive(Debug)]
pub struct NotFollowed {
    /// Whether something of it is there that a later run can go on with.
    pub begun: bool,
    /// What failed.
    pub error: PortError,
}

/// How far the first copy is.
enum Stage {
    /// It grows.
    Growing,
    /// It is whole and signed off.
    Whole(Arc<SignedOff>),
    /// It came to nothing.
    GivenUp,
    /// Nobody waits any longer; what is there stays for a later run.
    Left,
}

/// What the two sides share.
struct Shared {
    state: Mutex<(u64, Stage)>,
    changed: Condvar,
    sent: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (u64, Stage)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        self.state().1 = stage;
        self.changed.notify_all();
    }

    /// Waits until there is more to read than `sent`, or no more to come.
    fn next(&self, sent: u64) -> Next {
        let mut state = self.state();
        loop {
            match &state.1 {
                Stage::GivenUp => return Next::Discard,
                Stage::Left => return Next::Leave,
                Stage::Growing | Stage::Whole(_) if state.0 > sent => return Next::Send(state.0 - sent),
                Stage::Whole(signed) => return Next::SignOff(Arc::clone(signed)),
                Stage::Growing => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

enum Next {
    Send(u64),
    SignOff(Arc<SignedOff>),
    Discard,
    Leave,
}

/// A second store at work.
pub struct Follower {
    shared: Arc<Shared>,
    /// Resolves when nothing more will happen in the second store.
    pub finished: oneshot::Receiver<Result<(), NotFollowed>>,
}

/// Begins to follow: `source` reads the stream that is about to grow in the first store.
///
/// Nothing here waits, not even for the second store's first answer. What dead runs left there goes
/// first, but for what is `wanted`.
#[must_use]
pub fn start(
    store: Arc<dyn Store>,
    backup: BackupId,
    expected_bytes: u64,
    wanted: &[BackupId],
    source: Box<dyn Read + Send>,
) -> Follower {
    let state = Mutex::new((0, Stage::Growing));
    let shared = Arc::new(Shared { state, changed: Condvar::new(), sent: AtomicU64::new(0) });
    let (done, finished) = oneshot::channel();
    let work = Work { shared: Arc::clone(&shared), store, backup, expected_bytes, wanted: wanted.to_vec() };
    thread::spawn(move || {
        // Nobody asks for it when the run was given up.
        let _unwanted = done.send(work.run(source));
    });
    Follower { shared, finished }
}

impl Follower {
    /// Wraps the first store's file, so that what is written to it is known here.
    #[must_use]
    pub fn watch(&self, file: Box<dyn StoreFile>) -> Box<dyn StoreFile> {
        Box::new(Watched { file, shared: Arc::clone(&self.shared) })
    }

    /// Lets the second store have the backup, as soon as it has all its bytes.
    pub fn complete(&self, signed: SignedOff) {
        self.shared.set(Stage::Whole(Arc::new(signed)));
    }

    /// Has what was sent removed: the first copy came to nothing.
    pub fn give_up(&self) {
        self.shared.set(Stage::GivenUp);
    }

    /// Stops sending; what was sent stays for a later run.
    pub fn leave(&self) {
        self.shared.set(Stage::Left);
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

/// The first store's file.
struct Watched {
    file: Box<dyn StoreFile>,
    shared: Arc<Shared>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.shared.state().0 += count as u64;
        self.shared.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StoreFile for Watched {
    fn make_durable(&mut self) -> Result<(), PortError> {
        self.file.make_durable()
    }
}

/// The thread's side.
struct Work {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    backup: BackupId,
    expected_bytes: u64,
    wanted: Vec<BackupId>,
}

/// What is under way in the second store.
struct Sending {
    pending: Box<dyn PendingBackup>,
    file: Box<dyn StoreFile>,
    hash: Sha256,
}

impl Work {
    fn run(&self, source: Box<dyn Read + Send>) -> Result<(), NotFollowed> {
        let begin = || {
            // Whether the store works is told by what comes next; a later run sweeps again.
            let _left_for_a_later_run = self.store.sweep(&self.wanted);
            let mut pending = self.store.begin(&self.backup, self.expected_bytes)?;
            let file = pending.create(STREAM_FILE)?;
            Ok(Sending { pending, file, hash: Sha256::new() })
        };
        let mut sending = begin().map_err(|error| NotFollowed { begun: false, error })?;
        match self.send_all(&mut sending, source).map_err(|error| NotFollowed { begun: true, error })? {
            Some(signed) => Self::sign_off(sending, &signed),
            None => self.end_early(sending),
        }
    }

    /// Sends what there is until the first copy is signed off; `None` when it will not be.
    fn send_all(
        &self,
        sending: &mut Sending,
        mut source: Box<dyn Read + Send>,
    ) -> Result<Option<Arc<SignedOff>>, PortError> {
        let mut block = vec![0; BLOCK];
        let mut sent = 0;
        loop {
            match self.shared.next(sent) {
                Next::Send(more) => {
                    let count = usize::try_from(more).map_or(BLOCK, |more| more.min(BLOCK));
                    self.send(sending, source.as_mut(), &mut block[..count], sent)?;
                    sent += count as u64;
                    self.shared.sent.store(sent, Ordering::Relaxed);
                }
                Next::SignOff(signed) => return Ok(Some(signed)),
                Next::Discard | Next::Leave => return Ok(None),
            }
        }
    }

    fn send(
        &self,
        sending: &mut Sending,
        source: &mut (dyn Read + Send),
        block: &mut [u8],
        sent: u64,
    ) -> Result<(), PortError> {
        let failed = |what: &str, error: io::Error| {
            let what = format!("cannot {what} {} after {sent} bytes", self.backup);
            PortError::new(Reason::Other, what).caused_by(error)
        };
        source.read_exact(block).map_err(|error| failed("read back", error))?;
        sending.hash.update(&*block);
        sending.file.write_all(block).map_err(|error| failed("send", error))
    }

    fn end_early(&self, sending: Sending) -> Result<(), NotFollowed> {
        let Sending { pending, file, .. } = sending;
        drop(file);
        if matches!(self.shared.state().1, Stage::Left) {
            let error = PortError::new(Reason::TimedOut, format!("{} was not sent to its end", self.backup));
            return Err(NotFollowed { begun: true, error });
        }
        pending.discard().map_err(|error| NotFollowed { begun: true, error })
    }

    fn sign_off(sending: Sending, signed: &SignedOff) -> Result<(), NotFollowed> {
        let Sending { mut pending, mut file, hash } = sending;
        if hex(&hash.finalize()) != signed.stream.sha256 {
            drop(file);
            let error = PortError::new(Reason::Other, "what was read back is not what was written");
            // Of wrong bytes nothing may stay that a later run would go on with.
            let begun = pending.discard().is_err();
            return Err(NotFollowed { begun, error });
        }
        let mut publish = || -> Result<(), PortError> {
            file.make_durable()?;
            for (name, bytes) in &signed.small_files {
                pending.write(name, bytes)?;
            }
            Ok(())
        };
        let published = publish().and_then(|()| pending.publish(MANIFEST_FILE, &signed.manifest));
        published.map(|_| ()).map_err(|error| NotFollowed { begun: true, error })
    }
}

#[cfg(test)]
pub(in crate::work) mod tests;
