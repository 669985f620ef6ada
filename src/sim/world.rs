//! The model with a clock and a lock: what callers in several tasks share.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::{Service, SimTime};

/// A service whose time passes as tokio's does.
#[derive(Debug)]
pub struct World {
    service: Mutex<Service>,
    start: Instant,
}

impl World {
    /// `service`, whose time begins now.
    pub fn new(service: Service) -> Self {
        Self { service: Mutex::new(service), start: Instant::now() }
    }

    /// Does something to the service at the present moment. Moments never step back.
    pub fn act<T>(&self, action: impl FnOnce(&mut Service, SimTime) -> T) -> T {
        // The model's own asserts are the only panics under this lock.
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SimTime::after(self.start.elapsed());
        action(&mut service, now)
    }
}
