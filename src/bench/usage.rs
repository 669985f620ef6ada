//! What this process takes of the machine, and which machine that is.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::record::many;
use crate::run::cpu::duration;
pub(super) use crate::run::cpu::{cores, process_cpu};

/// CPU time of this thread so far.
pub(super) fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Anonymous memory (`RssAnon`) in bytes; what the page cache holds of segments is not in it. `None` where the
/// system does not tell.
pub(super) fn anonymous_memory() -> Option<u64> {
    rss_anon(&fs::read_to_string("/proc/self/status").ok()?)
}

fn rss_anon(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

/// Bytes that this process has had read from disk so far, those of mapped files too. `None` where the system does not tell.
pub(super) fn disk_reads() -> Option<u64> {
    read_bytes(&fs::read_to_string("/proc/self/io").ok()?)
}

fn read_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// The machine in a few words, as far as it tells.
pub(super) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
        Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let system = kernel.map(|release| format!(", Linux {}", release.trim())).unwrap_or_default();
    format!(
        "{}, {}{system}",
        many(cores(), "core"),
        cpu.unwrap_or_else(|| "of a kind that is not told".into())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_and_anything_else_is_nothing() {
        let status = "VmRSS:\t   9000 kB\nRssAnon:\t    4096 kB\nRssFile:\t 1 kB\n";
        assert_eq!(rss_anon(status), Some(4_194_304));
        for odd in ["", "RssAnon: many kB", "RssAnon:\t12 MB", "RssAnon: 99999999999999999999 kB"] {
            assert_eq!(rss_anon(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_was_read_from_disk_is_not_what_was_read() {
        assert_eq!(read_bytes("rchar: 9\nwchar: 8\nread_bytes: 4096\nwrite_bytes: 7\n"), Some(4_096));
        for odd in ["", "read_bytes: many", "xread_bytes: 1"] {
            assert_eq!(read_bytes(odd), None, "{odd}");
        }
    }

    #[test]
    fn work_takes_time_of_the_thread_and_of_the_process() {
        let (thread, process) = (thread_cpu(), process_cpu());
        let mut number = 1_u64;
        while thread_cpu() == thread {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(process_cpu() > process);
        assert!(process_cpu() >= thread_cpu());
    }
}
