//! Objects on their way into the cache, far ahead of the one that is routed and many at a time.
//!
//! They get their places in the manifest's order, so that whoever holds a place never waits for an object
//! that has none.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::spool::{Spool, Spooled};
use super::work::AbortOnDrop;
use crate::error::Error;

/// Objects that are spooled ahead of the one that is routed.
const OBJECTS_AHEAD: usize = 1_024;

/// Objects in the order in which they were asked for. When this is dropped, what is under way ends.
pub struct Ahead {
    objects: mpsc::Receiver<AbortOnDrop<Result<Spooled, Error>>>,
    _dispatcher: AbortOnDrop<()>,
}

impl Ahead {
    /// Begins to spool `numbers`, which ascend.
    pub fn start(spool: Arc<Spool>, numbers: Vec<u32>) -> Self {
        let (sender, objects) = mpsc::channel(OBJECTS_AHEAD);
        let dispatch = async move {
            for number in numbers {
                let Ok(place) = spool.place().await else { return };
                let spool = spool.clone();
                let object = tokio::spawn(async move { spool.object_in(place, number).await });
                if sender.send(AbortOnDrop(object)).await.is_err() {
                    return;
                }
            }
        };
        Self { objects, _dispatcher: AbortOnDrop(tokio::spawn(dispatch)) }
    }

    /// The next object, once it is there; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<Spooled, Error>> {
        let mut object = self.objects.recv().await?;
        Some((&mut object.0).await.unwrap_or_else(|_| Err(Error::internal("a task of the spool failed"))))
    }
}
