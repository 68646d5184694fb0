//! Confinement: what the child takes from itself before it reads the first byte of a source. In: the job. Out: the layers
//! in force, or why the job is refused.
//!
//! The order matters: descriptors and threads are looked at while `/proc` can still be read, Landlock needs one free
//! descriptor, the resource limits then leave none, and the system call filter comes last because it forbids all the
//! rest. Nothing here can be undone by the process itself, and threads started later inherit all of it.

#![expect(unsafe_code, reason = "confinement is made of system calls that the standard library does not wrap")]

mod filter;
mod ruleset;

use std::io::Error;
use std::time::{Duration, Instant};

use mcsp_child::{Isolation, Job, JobLimits, Layer, SourceAccess};

/// Memory arenas of the allocator: each reserves 64 MiB of address space, which counts against the bound.
const ALLOCATOR_ARENAS_MAX: libc::c_int = 8;

/// How long a thread that was joined may take to leave the process.
const THREAD_END_MAX: Duration = Duration::from_millis(500);

/// Why a layer is not in force.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// This system does not have it: refused by `Isolation::Strict` only.
    Lacking(String),
    /// It was prevented: always refused.
    Prevented(String),
}

/// Confines the process, once, before any thread is started and after every library is loaded.
///
/// # Errors
/// When a layer cannot be put in force; `Isolation::Reduced` goes on without those that this system lacks.
pub(crate) fn confine(job: &Job) -> Result<Vec<Layer>, String> {
    let descriptor_wanted = matches!(job.source, SourceAccess::Descriptor { .. });
    let layers = [
        ("environment", wipe_environment as fn() -> Result<String, Fault>),
        ("no_new_privs", hold_privileges),
        ("capabilities", drop_capabilities),
    ];
    require_one_thread()?;
    let mut reached = vec![settle(job.isolation, "descriptors", close_descriptors(descriptor_wanted))?];
    for (name, enforce) in layers {
        reached.push(settle(job.isolation, name, enforce())?);
    }
    reached.push(settle(job.isolation, "landlock", ruleset::enforce())?);
    reached.push(settle(job.isolation, "rlimits", limit_resources(&job.limits, descriptor_wanted))?);
    reached.push(settle(job.isolation, "seccomp", filter::enforce())?);
    Ok(reached)
}

/// Decides whether the job goes on after one layer was tried.
fn settle(isolation: Isolation, name: &str, outcome: Result<String, Fault>) -> Result<Layer, String> {
    match (outcome, isolation) {
        (Ok(detail), _) => Ok(Layer { name: name.to_owned(), in_force: true, detail }),
        (Err(Fault::Lacking(detail)), Isolation::Reduced) => {
            Ok(Layer { name: name.to_owned(), in_force: false, detail })
        }
        (Err(Fault::Lacking(why) | Fault::Prevented(why)), _) => {
            Err(format!("confinement layer {name} is not in force: {why}"))
        }
    }
}

/// A thread that already runs would escape Landlock, capabilities and the filter. One that was joined may show for a
/// moment longer, since its memory is given back before its entry.
fn require_one_thread() -> Result<(), String> {
    let deadline = Instant::now() + THREAD_END_MAX;
    loop {
        let tasks = std::fs::read_dir("/proc/self/task");
        let count = tasks.map_err(|error| format!("/proc/self/task is unreadable: {error}"))?.count();
        if count == 1 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{count} threads run before confinement, 1 allowed"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Keeps the three pipes and, where the job reads by it, the source.
fn close_descriptors(source_wanted: bool) -> Result<String, Fault> {
    let source = SourceAccess::DESCRIPTOR;
    if source_wanted {
        check_source(source)?;
    }
    let first_closed = source.unsigned_abs() + u32::from(source_wanted);
    // SAFETY: closing descriptors touches no memory; none of those from `first_closed` on is used afterwards.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first_closed, libc::c_uint::MAX, 0) };
    match closed {
        0 => Ok(format!("{first_closed} open")),
        _ => Err(lacking("close_range")),
    }
}

/// The source must be a regular file that was opened for reading alone.
fn check_source(descriptor: libc::c_int) -> Result<(), Fault> {
    // SAFETY: `F_GETFL` takes no pointer.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    if flags < 0 {
        return Err(prevented("source descriptor"));
    }
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Err(Fault::Prevented("the source descriptor is open for writing".to_owned()));
    }
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is writable and as large as `fstat` needs.
    if unsafe { libc::fstat(descriptor, status.as_mut_ptr()) } != 0 {
        return Err(prevented("fstat of the source"));
    }
    // SAFETY: `fstat` returned 0, so it has filled `status`.
    let mode = unsafe { status.assume_init() }.st_mode;
    match mode & libc::S_IFMT {
        libc::S_IFREG => Ok(()),
        kind => Err(Fault::Prevented(format!("the source descriptor is no regular file but of type {kind:#o}"))),
    }
}

unsafe extern "C" {
    /// The C library's list of variables, `environ(7)`.
    static mut environ: *mut *mut libc::c_char;
}

/// Variables may hold credentials. The sandbox gives none; those of a hand-made start are overwritten, since a mere
/// removal would leave them in memory.
fn wipe_environment() -> Result<String, Fault> {
    let mut count = 0;
    // SAFETY: one thread runs; the list ends in a null pointer, and its strings are the process's own writable memory.
    let cleared = unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            std::ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            entry = entry.add(1);
            count += 1;
        }
        libc::clearenv()
    };
    match (cleared, count) {
        (0, 0) => Ok("empty".to_owned()),
        (0, _) => Ok(format!("wiped of {count} variables")),
        _ => Err(prevented("clearenv")),
    }
}

/// No program gives privileges back, no core or `ptrace` of another process shows the memory, and the child dies with
/// the thread that started it.
fn hold_privileges() -> Result<String, Fault> {
    let settings = [
        (libc::PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS"),
        (libc::PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE"),
        (libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGKILL.unsigned_abs()), "PR_SET_PDEATHSIG"),
    ];
    for (option, value, name) in settings {
        let unused: libc::c_ulong = 0;
        // SAFETY: these options of `prctl` take integers alone.
        if unsafe { libc::prctl(option, value, unused, unused, unused) } != 0 {
            return Err(prevented(name));
        }
    }
    Ok("set, with no dumps and death with the parent".to_owned())
}

/// `linux/capability.h`: version 3 of the header, two sets of three words.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// A child that runs as root keeps none of root's rights.
fn drop_capabilities() -> Result<String, Fault> {
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: `header` and `none` have the layout of `cap_user_header_t` and of two `cap_user_data_t`, and are only read.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) } {
        0 => Ok("none".to_owned()),
        _ => Err(prevented("capset")),
    }
}

fn limit_resources(limits: &JobLimits, descriptor_wanted: bool) -> Result<String, Fault> {
    limit_arenas();
    let descriptors = if descriptor_wanted { 4 } else { 3 };
    let cpu_kill_seconds = limits.cpu_seconds.saturating_add(1);
    let bounds = [
        (libc::RLIMIT_AS, limits.memory_bytes, limits.memory_bytes, "RLIMIT_AS"),
        (libc::RLIMIT_CPU, limits.cpu_seconds, cpu_kill_seconds, "RLIMIT_CPU"),
        (libc::RLIMIT_FSIZE, 0, 0, "RLIMIT_FSIZE"),
        (libc::RLIMIT_CORE, 0, 0, "RLIMIT_CORE"),
        (libc::RLIMIT_NOFILE, descriptors, descriptors, "RLIMIT_NOFILE"),
    ];
    for (resource, soft, hard, name) in bounds {
        let bound = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: `bound` is a whole `rlimit` that is only read.
        if unsafe { libc::setrlimit(resource, &raw const bound) } != 0 {
            return Err(prevented(&format!("{name} of {hard}")));
        }
    }
    let memory_mib = limits.memory_bytes >> 20;
    Ok(format!("{memory_mib} MiB of memory, {} s of processor time, no file, no core", limits.cpu_seconds))
}

#[cfg(target_env = "gnu")]
fn limit_arenas() {
    // SAFETY: `mallopt` takes integers alone; no other thread runs.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, ALLOCATOR_ARENAS_MAX) };
}

#[cfg(not(target_env = "gnu"))]
fn limit_arenas() {}

/// A call that this system may not have: `ENOSYS`, `EOPNOTSUPP` and `EINVAL` say so, all else is a prevention.
fn lacking(call: &str) -> Fault {
    let error = Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL) => Fault::Lacking(format!("{call}: {error}")),
        _ => Fault::Prevented(format!("{call}: {error}")),
    }
}

fn prevented(call: &str) -> Fault {
    Fault::Prevented(format!("{call}: {}", Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(isolation: Isolation, outcome: Result<String, Fault>) -> String {
        match settle(isolation, "landlock", outcome) {
            Ok(layer) => format!("{} {}: {}", layer.name, layer.in_force, layer.detail),
            Err(message) => message,
        }
    }

    #[test]
    fn strict_refuses_what_reduced_reports() {
        let lacking = || Err(Fault::Lacking("the kernel has none".to_owned()));
        let prevented = || Err(Fault::Prevented("descriptor 3 is a pipe".to_owned()));
        let refused = "confinement layer landlock is not in force: the kernel has none";
        assert_eq!(verdict(Isolation::Strict, lacking()), refused);
        assert_eq!(verdict(Isolation::Reduced, lacking()), "landlock false: the kernel has none");
        let refused = "confinement layer landlock is not in force: descriptor 3 is a pipe";
        assert_eq!(verdict(Isolation::Strict, prevented()), refused);
        assert_eq!(verdict(Isolation::Reduced, prevented()), refused);
        assert_eq!(verdict(Isolation::Strict, Ok("ABI 7".to_owned())), "landlock true: ABI 7");
    }

    #[test]
    fn threads_before_confinement_are_refused() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || held.recv());
        let message = require_one_thread().unwrap_err();
        assert!(message.ends_with("threads run before confinement, 1 allowed"), "{message}");
        drop(hold);
        assert!(other.join().unwrap().is_err());
    }

    #[test]
    fn a_source_open_for_writing_or_no_file_is_refused() {
        use std::os::fd::AsRawFd;
        let folder = mcsp_fixtures::temp_dir();
        let path = folder.path().join("source");
        let writable = std::fs::File::create(&path).unwrap();
        let wrong = Fault::Prevented("the source descriptor is open for writing".to_owned());
        assert_eq!(check_source(writable.as_raw_fd()), Err(wrong));
        let readable = std::fs::File::open(&path).unwrap();
        assert_eq!(check_source(readable.as_raw_fd()), Ok(()));
        let folder = std::fs::File::open(folder.path()).unwrap();
        let wrong = Fault::Prevented("the source descriptor is no regular file but of type 0o40000".to_owned());
        assert_eq!(check_source(folder.as_raw_fd()), Err(wrong));
    }
}
