//! The system call filter (seccomp). In: nothing. Out: a calling thread, and those that it starts, that can compute,
//! allocate, start threads and use the descriptors it has.
//!
//! Three programs, of which the kernel obeys the strictest answer. Calls that no media library makes (sockets, programs,
//! processes, tracing, changes to files) kill the process, so that an attack is seen as one. `clone3` answers `ENOSYS`,
//! because its flags lie in memory that a filter cannot read; the C library then uses `clone`. Whatever is not on the
//! allow-list answers `EPERM`: libraries probe for files and processors and do without.

use std::collections::BTreeMap;
use std::io::Error;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Fault;

/// System call numbers and the rules under which each matches; no rule matches always.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// What the C library's `pthread_create` gives to `clone`: a thread, never a process or a namespace.
const THREAD_FLAGS: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// Allowed with any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Bytes of open descriptors.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads and their waits; `HOSTILE` keeps `clone` and `tgkill` to this process.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_tgkill,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals to itself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Clocks, chance and facts about itself.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Kills the process, with any arguments.
const HOSTILE: &[libc::c_long] = &[
    // The network.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Programs and namespaces.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // Changes to files.
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_open_by_handle_at,
    // The kernel's widest doors.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_capset,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
];

/// Puts the filter on the calling thread and those that it starts.
pub(super) fn enforce() -> Result<String, Fault> {
    let build = |error: BackendError| Fault::Prevented(format!("filter does not build: {error}"));
    let not_there = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let not_allowed = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let programs = [
        program(hostile_calls().map_err(build)?, SeccompAction::Allow, SeccompAction::KillProcess),
        program(every(&[libc::SYS_clone3]), SeccompAction::Allow, not_there),
        program(allowed_calls().map_err(build)?, not_allowed, SeccompAction::Allow),
    ];
    for program in programs {
        install(&program.map_err(build)?)?;
    }
    Ok(format!("{} calls allowed, {} kill", ALLOWED.len() + 4, HOSTILE.len() + 2))
}

fn allowed_calls() -> Result<Calls, BackendError> {
    let no_execution = || is(2, SeccompCmpOp::MaskedEq(argument(libc::PROT_EXEC)), 0);
    let own_name = is(0, SeccompCmpOp::Eq, argument(libc::PR_SET_NAME))?;
    let own_process = is(0, SeccompCmpOp::Eq, 0)?;
    let read_alone = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    let flags_of_descriptor = |command| Ok(vec![is(1, SeccompCmpOp::Eq, argument(command))?]);
    let mut calls = every(ALLOWED);
    calls.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![no_execution()?])?]);
    calls.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![no_execution()?])?]);
    calls.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![own_name])?]);
    calls.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own_process, read_alone])?]);
    let shown = [libc::F_GETFD, libc::F_GETFL];
    let rules: Result<Vec<SeccompRule>, BackendError> =
        shown.into_iter().map(|command| SeccompRule::new(flags_of_descriptor(command)?)).collect();
    calls.insert(libc::SYS_fcntl, rules?);
    Ok(calls)
}

fn hostile_calls() -> Result<Calls, BackendError> {
    let not_a_thread = is(0, SeccompCmpOp::Ne, argument(THREAD_FLAGS))?;
    let another_process = is(0, SeccompCmpOp::Ne, u64::from(std::process::id()))?;
    let mut calls = every(HOSTILE);
    calls.insert(libc::SYS_clone, vec![SeccompRule::new(vec![not_a_thread])?]);
    calls.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![another_process])?]);
    Ok(calls)
}

fn every(numbers: &[libc::c_long]) -> Calls {
    numbers.iter().map(|&number| (number, Vec::new())).collect()
}

/// A condition on the low 32 bits of an argument.
fn is(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

fn argument(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

fn program(calls: Calls, otherwise: SeccompAction, on_match: SeccompAction) -> Result<BpfProgram, BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(calls, otherwise, on_match, machine)?.try_into()
}

fn install(program: &BpfProgram) -> Result<(), Fault> {
    let lacking = |error: &Error| matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP));
    match seccompiler::apply_filter(program) {
        Ok(()) => Ok(()),
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error)) if lacking(&error) => {
            Err(Fault::Lacking(format!("seccomp: {error}")))
        }
        Err(error) => Err(Fault::Prevented(format!("seccomp: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `act` on a thread under the filter alone; acts that kill would end the whole test.
    fn under_filter<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            enforce().unwrap();
            act()
        });
        thread.join().unwrap()
    }

    #[test]
    fn no_call_is_both_allowed_and_hostile() {
        for call in ALLOWED {
            assert!(!HOSTILE.contains(call), "call {call} is on both lists");
        }
    }

    #[test]
    fn files_and_executable_memory_answer_permission_denied() {
        let errors = under_filter(|| {
            let file = std::fs::File::open("/etc/passwd").map_err(|error| error.raw_os_error());
            let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh private mapping overlaps nothing.
            let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
            let mapping = if mapped == libc::MAP_FAILED { Error::last_os_error().raw_os_error() } else { None };
            (file.err().flatten(), mapping)
        });
        assert_eq!(errors, (Some(libc::EPERM), Some(libc::EPERM)));
    }

    #[test]
    fn threads_memory_clocks_and_signals_to_itself_go_on() {
        let sum = under_filter(|| {
            let threads: Vec<_> = (0..4_u64)
                .map(|n| {
                    std::thread::Builder::new().name(format!("worker-{n}")).spawn(move || {
                        let block = vec![1_u64; 1 << 20];
                        std::thread::park_timeout(std::time::Duration::from_millis(1));
                        block.iter().sum::<u64>() + n
                    })
                })
                .collect();
            let sums = threads.into_iter().map(|thread| thread.unwrap().join().unwrap());
            let sum: u64 = sums.sum();
            // SAFETY: `SIGURG` is ignored by default.
            let raised = unsafe { libc::raise(libc::SIGURG) };
            (sum, raised, std::time::Instant::now().elapsed().is_zero())
        });
        assert_eq!((sum.0, sum.1), ((4 << 20) + 6, 0));
    }
}
