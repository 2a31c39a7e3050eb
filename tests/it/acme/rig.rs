//! What the test's own servers run on, so that they answer whatever the test itself waits for; and how a test waits.
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

/// Ends with the process: each test has one of its own.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        built.unwrap()
    })
}

/// Waits until `condition` holds. What it waits for involves a CA that takes its time, and a machine that is busy.
#[track_caller]
pub fn within<F>(seconds: u64, what: &str, mut condition: impl FnMut() -> F) -> impl Future<Output = Duration>
where
    F: Future<Output = bool>,
{
    let place = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !condition().await {
            assert!(
                began.elapsed() < Duration::from_secs(seconds),
                "{place}: {what}: not within {seconds} s"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }
}
