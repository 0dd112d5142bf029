//! Processes with all that they have started.

use std::process::ExitStatus;

use async_process::Child;

/// Asks a process that leads a group, and the group, to end.
#[cfg_attr(unix, expect(clippy::needless_pass_by_ref_mut, reason = "where there are no groups it is needed"))]
pub(super) fn ask_to_end(child: &mut Child) {
    #[cfg(unix)]
    signal(child, rustix::process::Signal::TERM);
    #[cfg(not(unix))]
    kill(child);
}

/// Kills a process that leads a group, and the group.
#[cfg_attr(unix, expect(clippy::needless_pass_by_ref_mut, reason = "where there are no groups it is needed"))]
pub(super) fn kill(child: &mut Child) {
    #[cfg(unix)]
    signal(child, rustix::process::Signal::KILL);
    #[cfg(not(unix))]
    let _ = child.kill(); // It fails if the process has ended already.
}

#[cfg(unix)]
fn signal(child: &Child, signal: rustix::process::Signal) {
    let leader = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(leader) = leader {
        // It fails if all of them have ended already.
        let _ = rustix::process::kill_process_group(leader, signal);
    }
}

/// How a process has ended, as `exit status 3` or `signal 11 (SIGSEGV)`.
pub(super) fn describe(status: ExitStatus) -> String {
    status.to_string().replacen(": ", " ", 1)
}
