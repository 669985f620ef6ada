//! A listing under way: carries out a [`walk`](super::walk), several prefixes at once, page by page.
//!
//! What a page brings is a [`Part`]. It is noted in the log, where there is one, before anything follows from it, and
//! then taken in by a [`Standing`].
//!
//! Within a prefix a listing goes on by the bucket's own token for the next page. A bucket that takes it no longer is
//! asked for that prefix from its beginning, and what was known of it is void.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};

use super::fault::{ServiceFault, Verdict};
use super::listing_log::ListingLog;
use super::standing::{Part, Standing, Then};
use super::walk::{Below, Depth, Walk};
use super::{ArchiveCall, ArchiveError, BoxFuture, DefectReason, Listing, ObjectEntry, Selection};

/// Prefixes that are listed at the same time.
const LISTINGS_MAX: usize = 16;

/// One page of a prefix, as a bucket gives it.
pub(super) struct Page {
    pub(super) objects: Vec<ObjectEntry>,
    pub(super) dirs: Vec<String>,
    /// The token for the next one.
    pub(super) next: Option<String>,
}

/// A bucket, asked page by page.
pub(super) trait Pages: Send + Sync {
    /// The first page of `step`, or the one that `token` is for.
    fn page<'a>(
        &'a self,
        step: &'a Walk,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, ServiceFault>>;
}

/// What is listed.
#[derive(Clone)]
pub(super) struct Lister {
    pub(super) pages: Arc<dyn Pages>,
    pub(super) prefix: Arc<str>,
    pub(super) selection: Arc<Selection>,
    /// Where it is noted how far the listing has come.
    pub(super) log: Option<Arc<ListingLog>>,
    /// What a message calls the bucket.
    pub(super) what: Arc<str>,
}

impl Lister {
    /// Lists what is selected.
    pub(super) async fn list(self) -> Result<Listing, ArchiveError> {
        let known = self.log.as_ref().and_then(|log| log.take_known());
        let mut standing = known.unwrap_or_else(|| Standing::at_the_beginning(&self.prefix));
        let mut waiting = standing.left();
        let mut running = JoinSet::new();
        let (parts, mut arrived) = mpsc::channel(LISTINGS_MAX);
        let lost = || io::Error::other("a page came of a prefix that is not being listed");
        loop {
            while running.len() < LISTINGS_MAX
                && let Some(step) = waiting.pop()
            {
                let begun = standing.begun(&step);
                running.spawn(self.clone().list_step(step, begun, parts.clone()));
            }
            let ended = tokio::select! {
                biased;
                Some(part) = arrived.recv() => {
                    waiting.extend(standing.take(part).ok_or_else(lost)?);
                    continue;
                }
                ended = running.join_next() => ended,
            };
            match ended {
                Some(ended) => ended.map_err(io::Error::other)??,
                // A channel may hold something and yet not give it, when its task has had its share of time.
                None => match arrived.try_recv() {
                    Ok(part) => waiting.extend(standing.take(part).ok_or_else(lost)?),
                    Err(_) if standing.left().is_empty() => return Ok(standing.into_listing()),
                    Err(_) => return Err(io::Error::other("a page of the list was lost").into()),
                },
            }
        }
    }

    /// Lists one prefix, from where it had begun; what its pages bring goes to `parts`.
    async fn list_step(
        self,
        step: Walk,
        (mut token, dirs): (Option<String>, Vec<String>),
        parts: mpsc::Sender<Part>,
    ) -> Result<(), ArchiveError> {
        let mut below = Below::new(&step, &self.selection);
        below.add(dirs);
        let mut is_old = token.is_some();
        loop {
            let page = match self.pages.page(&step, token.as_deref()).await {
                Err(fault) if is_old && is_refusal_of_token(&fault) => {
                    tracing::warn!(%fault, "a prefix is listed from its beginning");
                    let then = Then::Instead(step.clone());
                    let part = Part { step, found: Listing::default(), dirs: Vec::new(), then };
                    return self.hand_over(part, &parts).await;
                }
                page => page.map_err(|fault| fault.of_archive(&self.what, ArchiveCall::List))?,
            };
            is_old = false;
            let mut found = Listing::default();
            for object in page.objects {
                let key = object.key.clone();
                found.sort_in(object, self.below(&key), &self.selection);
            }
            let counts = |dir: &String| self.selection.may_hold(self.below(dir)) && below.heeds(dir);
            let dirs: Vec<String> = page.dirs.into_iter().filter(counts).collect();
            below.add(dirs.iter().cloned());
            token = page.next.filter(|_| !below.is_flood());
            let Some(next) = token.clone() else {
                let whole = || Walk { depth: Depth::Whole, ..step.clone() };
                let then = below.next().map_or_else(|| Then::Instead(whole()), Then::Below);
                return self.hand_over(Part { step, found, dirs, then }, &parts).await;
            };
            let part = Part { step: step.clone(), found, dirs, then: Then::Page(next) };
            self.hand_over(part, &parts).await?;
        }
    }

    /// Notes a part, and then lets it count.
    async fn hand_over(&self, part: Part, parts: &mpsc::Sender<Part>) -> Result<(), ArchiveError> {
        let part = match self.log.clone() {
            None => part,
            Some(log) => {
                let noted = spawn_blocking(move || {
                    log.note(&part);
                    part
                });
                noted.await.map_err(io::Error::other)?
            }
        };
        // Whoever listens no more has failed elsewhere.
        let _ = parts.send(part).await;
        Ok(())
    }

    /// What of a key follows the archive's prefix.
    fn below<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(&*self.prefix).unwrap_or_default()
    }
}

/// Whether a token may be what is refused, since nothing else is known to be wrong: S3 says 400, others that there is
/// nothing, or that it has changed. Who may not list at all is told so without a token as well.
fn is_refusal_of_token(fault: &ServiceFault) -> bool {
    match fault.verdict() {
        Verdict::Defect(DefectReason::Deleted | DefectReason::Changed) => true,
        Verdict::Defect(_) => fault.status == Some(400),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
