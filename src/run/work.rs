//! Where work goes that takes the CPU or may wait for a page of a segment.
//!
//! It goes to a pool of threads, so that the tasks that move data are never held up. In virtual time
//! there is no such thing as a thread that works meanwhile: the clock would run on as fast as it can. So
//! there, and only there, work is done on the spot and takes no time at all.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::Error;

/// Does work. Clones share the threads.
#[derive(Debug, Clone)]
pub enum Work {
    /// On threads of its own, one per core.
    Pool(Arc<rayon::ThreadPool>),
    /// On the spot: for virtual time.
    Inline,
}

impl Work {
    /// A pool whose threads are called `name-0`, `name-1`, …
    pub fn pool(name: &'static str) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(move |index| format!("{name}-{index}"))
            // Whoever waits for the result learns of it; without this the whole process would abort.
            .panic_handler(move |_| tracing::error!("a thread of the pool {name} failed"))
            .build()
            .map_err(|error| {
                Error::incomplete(format!("cannot start the {name} threads")).with_source(error)
            })?;
        Ok(Self::Pool(Arc::new(pool)))
    }

    /// How much is done at once.
    pub fn threads(&self) -> usize {
        match self {
            Self::Pool(pool) => pool.current_num_threads(),
            Self::Inline => 1,
        }
    }

    /// Does `work`. The receiver fails if it panicked on a thread.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            // Nobody waits any more when the run is being ended.
            let _ = sender.send(work());
        };
        match self {
            Self::Pool(pool) => pool.spawn(run),
            Self::Inline => run(),
        }
        receiver
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub struct AbortOnDrop<T>(pub tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_do_it_and_a_panic_is_told() {
        let pool = Work::pool("test").unwrap();
        assert_eq!(pool.run(|| 7).blocking_recv(), Ok(7));
        assert_eq!(Work::Inline.run(|| 7).blocking_recv(), Ok(7));
        assert!(pool.run(|| assert_eq!(1, 2)).blocking_recv().is_err());
        assert_eq!(pool.run(|| 8).blocking_recv(), Ok(8), "the thread goes on");
    }
}
