//! The shell: joins the stages with bounded queues, starts them, brings them to an end.
//!
//! ```text
//!  replay ─► open ─► Session ┬─ Spool   archive ► decode ► cache        (tokio + the decode pool)
//!                            ├─ Feed    cache ► route ► Fed             (tokio + the route pool)
//!                            ├─ Shell   Fed ► Engine ► PutRecords       (one task owns the engine)
//!                            └─ Journal checkpoints, quarantine, ledger (one thread)
//! ```
//!
//! Decisions are made in `write`; here data is moved and time passes. Every queue is bounded, and every
//! wait ends when the session does.

pub mod absent;
pub mod ahead;
pub mod anew;
pub mod at_hand;
pub mod begun;
pub mod cache_command;
pub mod checkpoint_log;
pub mod console;
pub(crate) mod cpu;
pub mod directory;
mod encode;
pub mod estimate;
mod failures;
pub mod feed;
pub mod flood;
pub mod forbidden;
pub mod forecast;
mod in_flight;
pub mod inspect;
pub mod journal;
pub mod key_fields;
pub mod late;
pub mod ledger;
pub mod listing;
pub mod loops;
pub mod next;
pub mod open;
pub mod pace;
pub mod permission;
pub mod progress;
pub mod quarantine;
mod refused;
mod remedy;
pub mod replay;
pub mod report;
pub mod resume;
pub mod segments;
pub mod select;
pub mod session;
pub mod set_aside;
pub mod shares;
pub mod shell;
pub mod signals;
pub mod space;
pub mod spool;
pub mod summary;
pub mod timeline;
mod twice;
pub mod unchanged;
pub mod warm;
pub mod work;

/// Files that a process asks to have open.
const OPEN_FILES: u64 = 8_192;
const _: () = assert!(OPEN_FILES >= 2 * in_flight::REQUESTS_MAX as u64);

/// No core dump of this process is written: it would hold the users' records.
pub fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // Where that is not allowed, a dump is the operator's own wish.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

/// The process may have open what its many connections need, as far as the machine lets it: often only 1,024 files are allowed,
/// and a process may ask for more itself.
pub fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        // Where that is refused, fewer requests are under way together.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// What the calendar says. Looked at when a command begins, and when a session does; everything that lasts is measured otherwise.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
