//! A fixed number of jobs going round: filled by one thread, worked on by several, emptied in order.
//!
//! Jobs own their buffers and are used again, so memory is bounded and nothing is allocated while
//! it runs. Whatever stage fails first, the others see their channel close and end; the caller gets
//! that first cause.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Jobs that may be filled while all workers are busy: 16 MiB of read-ahead with 4 MiB each.
const AHEAD: usize = 4;

/// A job with the place its result is waited for.
type Ticket<J> = (J, SyncSender<io::Result<J>>);

/// Runs jobs until `fill` returns `false` or something fails.
///
/// `fill` and the `work` that `worker` makes run on threads of their own, `empty` on the caller's.
pub(super) fn run<J, F, W, M, E>(workers: usize, fill: F, worker: M, mut empty: E) -> io::Result<()>
where
    J: Default + Send,
    F: FnMut(&mut J) -> io::Result<bool> + Send,
    M: Fn() -> io::Result<W> + Sync,
    W: FnMut(&mut J) -> io::Result<()>,
    E: FnMut(&J) -> io::Result<()>,
{
    let workers = workers.max(1);
    let count = workers + AHEAD;
    let (free, free_jobs) = sync_channel::<J>(count);
    let (to_do, to_do_jobs) = sync_channel::<Ticket<J>>(count);
    let (in_order, results) = sync_channel::<Receiver<io::Result<J>>>(count);
    for _ in 0..count {
        free.try_send(J::default()).expect("the channel holds as many as there are jobs");
    }
    let to_do_jobs = Mutex::new(to_do_jobs);
    thread::scope(|scope| {
        let filler = scope.spawn(move || fill_all(fill, &free_jobs, &to_do, &in_order));
        for _ in 0..workers {
            scope.spawn(|| work_all(&worker, &to_do_jobs));
        }
        let emptied = empty_all(results, &free, &mut empty);
        // Without this, the filler would wait for a free job for ever when emptying failed.
        drop(free);
        let all_filled = filler
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread of the pipeline ended by a fault of this program")));
        // When emptying failed first, filling ended without an error of its own.
        all_filled.and(emptied)
    })
}

/// Fills jobs until there are no more, or until nobody wants them any more.
fn fill_all<J>(
    mut fill: impl FnMut(&mut J) -> io::Result<bool>,
    free: &Receiver<J>,
    to_do: &SyncSender<Ticket<J>>,
    in_order: &SyncSender<Receiver<io::Result<J>>>,
) -> io::Result<()> {
    while let Ok(mut job) = free.recv() {
        if !fill(&mut job)? {
            return Ok(());
        }
        let (done, result) = sync_channel(1);
        if in_order.send(result).is_err() || to_do.send((job, done)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn work_all<J, W>(worker: impl Fn() -> io::Result<W>, to_do: &Mutex<Receiver<Ticket<J>>>)
where
    W: FnMut(&mut J) -> io::Result<()>,
{
    let mut work = worker();
    // The lock is held while waiting, never while working.
    while let Ok((mut job, done)) = next(to_do) {
        let result = match &mut work {
            Ok(work) => work(&mut job),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Nobody waits for it when emptying failed meanwhile.
        let _unwanted = done.send(result.map(|()| job));
    }
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Result<T, std::sync::mpsc::RecvError> {
    queue.lock().map_err(|_| std::sync::mpsc::RecvError)?.recv()
}

fn empty_all<J>(
    results: Receiver<Receiver<io::Result<J>>>,
    free: &SyncSender<J>,
    empty: &mut impl FnMut(&J) -> io::Result<()>,
) -> io::Result<()> {
    for result in results {
        let broken = |_| io::Error::other("a worker of the pipeline ended by a fault of this program");
        let job = result.recv().map_err(broken)??;
        empty(&job)?;
        // Nobody fills it when the end was reached.
        let _unwanted = free.send(job);
    }
    Ok(())
}
