//! The word to a runner that waits, over TCP between two pods of one run.
//!
//! The runner connects and says its name; one line back is the word. A connection that ends without it
//! says that nobody is left to give it. Where pods may not talk to each other, no runner ever comes to
//! wait, and the one who ordered it sends another, which does not.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::model::order::GoAheadPlace;
use crate::ports::refill::GoAheadWait;
use crate::ports::restore::{GoAhead, GoAheads};
use crate::ports::{PortError, Reason};

/// The word.
const GO: &[u8] = b"go\n";

/// A name is never longer.
const MOST_NAME_BYTES: u64 = 512;

/// How long a runner tries to be heard, and how long the word may take to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node that is lost ends no connection; longer than this nobody lets a cluster stop.
const LONGEST: Duration = Duration::from_hours(2);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Listens on this pod's address.
pub struct Speaker {
    address: IpAddr,
}

impl Speaker {
    /// Makes one for the pod that is reached at that address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self { address }
    }
}

#[async_trait]
impl GoAheads for Speaker {
    async fn make(&self, runner: &str) -> Result<Box<dyn GoAhead>, PortError> {
        let failed = |error| PortError::new(Reason::Other, "cannot listen for a runner").caused_by(error);
        let listener = TcpListener::bind((self.address, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let (given, heard) = watch::channel(false);
        let (come, has_come) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, runner.to_owned(), heard, come));
        let place = GoAheadPlace { address, name: runner.to_owned() };
        Ok(Box::new(Word { place, given, has_come, serving }))
    }
}

struct Word {
    place: GoAheadPlace,
    given: watch::Sender<bool>,
    has_come: watch::Receiver<bool>,
    serving: JoinHandle<()>,
}

#[async_trait]
impl GoAhead for Word {
    fn place(&self) -> GoAheadPlace {
        self.place.clone()
    }

    async fn give(&mut self) -> Result<bool, PortError> {
        if !*self.has_come.borrow() {
            return Ok(false);
        }
        self.given.send_replace(true);
        // Only once it is written may whoever gave it go: a connection that ends says the opposite.
        let written = tokio::time::timeout(PATIENCE, &mut self.serving).await;
        Ok(matches!(written, Ok(Ok(()))))
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Waits for the runner of that name, then for the word, and passes it on.
async fn serve(listener: TcpListener, runner: String, mut heard: watch::Receiver<bool>, come: watch::Sender<bool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        // Whoever else connects is let go again.
        let Ok(Ok(Some(mut stream))) = tokio::time::timeout(PATIENCE, greeted(stream, &runner)).await else { continue };
        come.send_replace(true);
        if heard.wait_for(|word| *word).await.is_ok() {
            // A runner that is gone meanwhile tells so by its own end.
            let _gone = stream.write_all(GO).await;
            let _gone = stream.shutdown().await;
        }
        return;
    }
}

async fn greeted(mut stream: TcpStream, runner: &str) -> io::Result<Option<TcpStream>> {
    let mut name = String::new();
    BufReader::new((&mut stream).take(MOST_NAME_BYTES)).read_line(&mut name).await?;
    Ok((name.trim_end() == runner).then_some(stream))
}

/// The runner's side.
pub struct Listener;

#[async_trait]
impl GoAheadWait for Listener {
    async fn wait(&self, place: &GoAheadPlace) -> bool {
        let Some(mut stream) = reach(place).await else { return false };
        let mut word = Vec::new();
        let read = tokio::time::timeout(LONGEST, stream.read_to_end(&mut word)).await;
        matches!(read, Ok(Ok(_))) && word == GO
    }
}

/// Connects and says the name; `None` when nobody can be reached.
async fn reach(place: &GoAheadPlace) -> Option<TcpStream> {
    let greet = async {
        loop {
            if let Ok(mut stream) = TcpStream::connect(&place.address).await
                && stream.write_all(format!("{}\n", place.name).as_bytes()).await.is_ok()
            {
                return stream;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, greet).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker() -> Speaker {
        Speaker::new([127, 0, 0, 1].into())
    }

    fn come(word: &dyn GoAhead, name: &str) -> JoinHandle<bool> {
        let place = GoAheadPlace { name: name.to_owned(), ..word.place() };
        tokio::spawn(async move { Listener.wait(&place).await })
    }

    /// Gives the word as soon as somebody has come for it.
    async fn give(word: &mut dyn GoAhead) {
        while !word.give().await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_runner_that_waits_is_told_and_only_the_one_of_that_name() {
        let mut word = speaker().make("run-1").await.unwrap();
        assert!(!word.give().await.unwrap(), "nobody has come yet");
        let other = come(word.as_ref(), "run-2");
        assert!(!other.await.unwrap(), "another one was told");
        let runner = come(word.as_ref(), "run-1");
        give(word.as_mut()).await;
        assert!(runner.await.unwrap());
    }

    #[tokio::test]
    async fn a_runner_whose_conductor_is_gone_is_never_told() {
        let word = speaker().make("run-1").await.unwrap();
        let runner = come(word.as_ref(), "run-1");
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(word);
        assert!(!runner.await.unwrap());
    }
}
