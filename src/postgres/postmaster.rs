//! Tells a cluster's postmaster from any other process that has its number by now, and asks it to stop.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What the process number in `postmaster.pid` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Postmaster {
    Running(Pid),
    /// The postmaster was killed, and another process has its number.
    Stranger,
    None,
}

pub(super) fn find(data: &Path) -> Postmaster {
    let Some(pid) = fs::read_to_string(data.join("postmaster.pid"))
        .ok()
        .and_then(|file| pid_in(&file))
    else {
        return Postmaster::None;
    };
    match fs::exists(format!("/proc/{pid}")) {
        _ if runs(pid, data) => Postmaster::Running(pid),
        Ok(true) => Postmaster::Stranger,
        _ => Postmaster::None,
    }
}

/// Asks for a "fast" shutdown: sessions are ended, everything is written out.
pub(super) fn ask_to_stop(pid: Pid, data: &Path) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    // Looked at again, now that the number can no longer pass to another process.
    match runs(pid, data) {
        true => Ok(pidfd_send_signal(process, Signal::INT)?),
        false => Ok(()),
    }
}

/// The first line; negative for a `postgres --single`, which is nobody's server.
fn pid_in(postmaster_pid: &str) -> Option<Pid> {
    postmaster_pid
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
        .and_then(Pid::from_raw)
}

/// A server works in its data directory; a zombie works nowhere.
pub(super) fn runs(pid: Pid, data: &Path) -> bool {
    let named_postgres = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("postgres"));
    let (Ok(cwd), Ok(data)) = (fs::metadata(format!("/proc/{pid}/cwd")), fs::metadata(data)) else {
        return false;
    };
    named_postgres && (cwd.dev(), cwd.ino()) == (data.dev(), data.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_a_process_only_if_its_first_line_is_a_positive_number() {
        assert_eq!(pid_in("4242\n/data\n"), Pid::from_raw(4242));
        assert_eq!(pid_in("-4242\n/data\n"), None);
        assert_eq!(pid_in(""), None);
        assert_eq!(pid_in("half a l"), None);
    }

    #[test]
    fn a_process_that_is_not_postgres_is_a_stranger_even_in_the_data_directory() {
        let here = std::env::current_dir().unwrap();
        assert!(!runs(rustix::process::getpid(), &here));
    }
}
