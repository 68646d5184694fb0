//! The end of a child: waits for it, tells what it used, and turns its status into an error. In: a process that has
//! closed its pipe or is to be killed. Out: `Usage` and the class of its end.

#![expect(unsafe_code, reason = "the standard library does not tell what a process used")]

use std::io::Error;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use mcsp_child::JobLimits;
use tokio::process::Child;

use crate::SandboxError;

/// What a child used, known when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// The most memory it held at once.
    pub memory_peak_bytes: u64,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct End {
    /// Its status; `None` when the system did not tell.
    pub(crate) status: Option<ExitStatus>,
    /// What it used; `None` when the system did not tell.
    pub(crate) usage: Option<Usage>,
}

/// Waits until the child has ended, kills it when it has not after `grace`, and reaps it.
pub(crate) async fn reap(child: &mut Child, grace: Duration) -> End {
    let Some(id) = child.id().and_then(|id| libc::id_t::try_from(id).ok()) else {
        return End { status: child.wait().await.ok(), usage: None };
    };
    let mut ended = tokio::task::spawn_blocking(move || wait_unreaped(id));
    let in_time = tokio::time::timeout(grace, &mut ended).await;
    let usage = match in_time {
        Ok(usage) => usage,
        Err(_) => {
            // An error says that it has ended meanwhile.
            let _ = child.start_kill();
            ended.await
        }
    };
    End { status: child.wait().await.ok(), usage: usage.ok().and_then(Result::ok) }
}

/// Waits for the end of a process and leaves it to be reaped; the system call tells the usage, its C wrapper does not.
fn wait_unreaped(id: libc::id_t) -> Result<Usage, Error> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let options = libc::WEXITED | libc::WNOWAIT;
    loop {
        // SAFETY: both buffers are writable and of the kernel's types.
        let answer =
            unsafe { libc::syscall(libc::SYS_waitid, libc::P_PID, id, info.as_mut_ptr(), options, usage.as_mut_ptr()) };
        if answer == 0 {
            break;
        }
        let error = Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: the buffer was zeroed, which is a value of `rusage`, and then filled.
    let usage = unsafe { usage.assume_init() };
    let cpu = duration(usage.ru_utime).saturating_add(duration(usage.ru_stime));
    let memory_peak_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024);
    Ok(Usage { cpu, memory_peak_bytes })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds.saturating_add(Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0)))
}

/// Returns the class of an end that came before `Done`; `stderr` is the end of what the child printed.
pub(crate) fn early_end(end: &End, limits: &JobLimits, stderr: &str) -> SandboxError {
    let Some(status) = end.status else { return SandboxError::Exited { code: -1 } };
    let Some(signal) = status.signal() else {
        return SandboxError::Exited { code: status.code().unwrap_or(-1) };
    };
    let cpu_seconds = limits.cpu_seconds;
    let spent = end.usage.is_some_and(|usage| usage.cpu.as_secs() >= cpu_seconds);
    match signal {
        libc::SIGSYS => SandboxError::ForbiddenCall,
        libc::SIGXCPU => SandboxError::CpuLimit { cpu_seconds },
        // A child that blocks SIGXCPU is killed a second later.
        libc::SIGKILL if spent => SandboxError::CpuLimit { cpu_seconds },
        libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT => SandboxError::Killed { signal },
        // What Rust's allocator prints before it aborts.
        libc::SIGABRT if stderr.contains("memory allocation of") => {
            SandboxError::OutOfMemory { memory_bytes: limits.memory_bytes }
        }
        _ => SandboxError::Crashed { signal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(wait_status: i32, cpu_seconds: u64, stderr: &str) -> String {
        let limits =
            JobLimits { memory_bytes: 7, cpu_seconds: 5, output_bytes: 0, pixels: 0, streams: 0, duration_seconds: 0 };
        let usage = Usage { cpu: Duration::from_secs(cpu_seconds), memory_peak_bytes: 0 };
        let end = End { status: Some(ExitStatus::from_raw(wait_status)), usage: Some(usage) };
        let error = early_end(&end, &limits, stderr);
        format!("{error}; {:?}", error.retry())
    }

    #[test]
    fn ends_have_their_classes() {
        let rows = [
            (libc::SIGSYS, 0, "", "media process was killed for a forbidden system call; Once"),
            (libc::SIGXCPU, 5, "", "media process passed its bound of 5 s of processor time; Once"),
            (libc::SIGKILL, 6, "", "media process passed its bound of 5 s of processor time; Once"),
            (libc::SIGKILL, 2, "", "media process was killed by signal 9; Again"),
            (libc::SIGTERM, 2, "", "media process was killed by signal 15; Again"),
            (libc::SIGSEGV, 2, "", "media process crashed by signal 11; Once"),
            (libc::SIGABRT, 2, "assertion", "media process crashed by signal 6; Once"),
            (
                libc::SIGABRT,
                2,
                "memory allocation of 9 bytes failed",
                "media process passed its memory bound of 7 bytes; Again",
            ),
            (0x0300, 2, "", "media process ended early with code 3; Once"),
            (0, 2, "", "media process ended early with code 0; Once"),
        ];
        for (status, cpu_seconds, stderr, expected) in rows {
            assert_eq!(ended(status, cpu_seconds, stderr), expected);
        }
    }
}
