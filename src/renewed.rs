//! Clients that hold credentials, and new ones when those are not taken any more.
//!
//! Credentials that a person renews (a file that is written anew, another login) are not seen by a client that has read
//! them once. So whoever meets a refusal that new ones would heal says so here, and they are looked for, every few
//! seconds at most and never for long. How often it is tried again is for the caller to say.

use std::fmt::Display;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Credentials that are not taken are asked for anew this often.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// No longer is waited for where they come from: everybody who has met the refusal waits along.
const RENEWAL_TIME_MAX: Duration = Duration::from_secs(10);

/// The clients of the moment.
#[derive(Debug)]
pub(crate) struct Renewed<T> {
    clients: RwLock<T>,
    asked: Mutex<Option<Instant>>,
}

impl<T: Clone> Renewed<T> {
    pub(crate) fn new(clients: T) -> Self {
        Self { clients: RwLock::new(clients), asked: Mutex::default() }
    }

    pub(crate) fn now(&self) -> T {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what `load` gives instead, unless somebody has asked just now, it fails, or it takes too long.
    pub(crate) async fn renew<E: Display>(&self, load: impl Future<Output = Result<T, E>>) {
        let mut asked = self.asked.lock().await;
        // Whoever has waited for another one's answer has it, good or bad: it has come just now.
        if asked.is_some_and(|at| at.elapsed() < RENEWAL_INTERVAL) {
            return;
        }
        match timeout(RENEWAL_TIME_MAX, load).await {
            Ok(Ok(clients)) => *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients,
            Ok(Err(error)) => tracing::debug!(%error, "no new credentials yet"),
            Err(_) => {
                tracing::warn!("asking for credentials anew takes longer than {RENEWAL_TIME_MAX:?}");
            }
        }
        *asked = Some(Instant::now());
    }
}

/// What to do where no credentials were given to someone who has named `profile`, or none.
pub(crate) fn how_to_have_credentials(profile: Option<&str>) -> String {
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c));
    match profile {
        None => "name a profile with --profile or AWS_PROFILE (one of IAM Identity Center after `aws sso login --profile NAME`), or \
                 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            .to_owned(),
        Some(profile) => format!(
            "if it is one of IAM Identity Center, `aws sso login --profile {}` logs in; --profile names another, and `aws configure \
             list-profiles` lists them",
            Some(profile).filter(plain).unwrap_or("NAME")
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_answers_or_fails_is_waited_for_in_bounds_and_asked_again() {
        let (renewed, start) = (Renewed::new(1), Instant::now());
        renewed.renew(pending::<Result<i32, &str>>()).await;
        assert_eq!((renewed.now(), start.elapsed()), (1, RENEWAL_TIME_MAX));
        tokio::time::advance(RENEWAL_INTERVAL).await;
        renewed.renew(ready(Err::<i32, _>("nothing there"))).await;
        assert_eq!(renewed.now(), 1);
        renewed.renew(ready(Ok::<_, &str>(2))).await;
        assert_eq!(renewed.now(), 1, "asked too soon");
        tokio::time::advance(RENEWAL_INTERVAL).await;
        renewed.renew(ready(Ok::<_, &str>(3))).await;
        assert_eq!(renewed.now(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_another_one_s_question_does_not_ask_it_again() {
        let (renewed, start) = (Renewed::new(1), Instant::now());
        let ask = || renewed.renew(pending::<Result<i32, &str>>());
        tokio::join!(ask(), ask(), ask());
        assert_eq!(start.elapsed(), RENEWAL_TIME_MAX);
    }
}
