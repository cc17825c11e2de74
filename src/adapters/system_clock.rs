//! The machine's clock.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::ports::Clock;

/// What elapsed time is counted from, the same for every clock of this process.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The machine's clock.
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        START.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
