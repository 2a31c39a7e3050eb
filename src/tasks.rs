//! The long-running tasks of a process. One that ends before it is told to is an error of the whole
//! process: half a server is worse than one that is started again.
use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub struct Tasks {
    running: JoinSet<&'static str>,
    cancel: CancellationToken,
}

/// A task ended, or panicked, that should have gone on.
#[derive(Debug, thiserror::Error)]
#[error("the background task {0} died")]
pub struct Died(String);

impl Tasks {
    /// Told to every task when it is time to end.
    #[must_use]
    pub fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            task.await;
            name
        });
    }

    /// Returns when a task has ended; never if none does.
    pub async fn died(&mut self) -> Died {
        match self.running.join_next().await {
            Some(Ok(name)) => Died(format!("`{name}`")),
            Some(Err(error)) => Died(format!("({error})")),
            None => std::future::pending().await,
        }
    }

    /// Tells every task to end, and waits until all have.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_noticed_and_one_that_is_told_to_end_does() {
        let mut tasks = Tasks::default();
        let cancel = tasks.cancel();
        tasks.spawn("patient", async move { cancel.cancelled().await });
        tasks.spawn("hasty", async {});
        assert_eq!(tasks.died().await.to_string(), "the background task `hasty` died");
        tasks.spawn("broken", async { panic!("on purpose") });
        assert!(tasks.died().await.to_string().contains("panicked"));
        tasks.stop().await;
    }
}
