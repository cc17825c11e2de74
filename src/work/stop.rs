//! The wish to stop, as the signal handler hands it to the work.

use tokio::sync::watch;

/// Told to stop; kept by whoever catches signals.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Knows whether to stop; as many copies as needed.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Makes a connected pair.
#[must_use]
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks for the stop; again means nothing new.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is asked for; never when nobody is left to ask.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
