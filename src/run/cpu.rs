//! The CPU time that this process takes, of what it may take.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Who takes this part of all cores is limited by them.
const FULL: f64 = 0.9;

/// CPU time of all threads so far.
pub(crate) fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// A clock's time.
pub(crate) fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether `cpu` of `time` by the clock is what `cores` can give.
#[expect(clippy::cast_precision_loss, reason = "a number of cores")]
pub(crate) fn is_full(cpu: Duration, time: Duration, cores: usize) -> bool {
    !time.is_zero() && cpu.as_secs_f64() >= FULL * cores as f64 * time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_of_all_cores_are_full() {
        let seconds = Duration::from_secs;
        assert!(is_full(seconds(18), seconds(10), 2) && !is_full(seconds(17), seconds(10), 2));
        assert!(is_full(seconds(9), seconds(10), 1) && !is_full(Duration::ZERO, Duration::ZERO, 1));
    }
}
