//! Forbidden acts, tried by raw calls so that nothing between hides or softens them. In: the act. Out: what came of it.
//!
//! Tests of the confinement start a child whose only work is one of these. An act that the filter answers by killing the
//! process never returns. Acts that would succeed without confinement do no harm: the signal is one that is ignored, the
//! traced parent is not stopped, the file is removed again.

#![expect(unsafe_code, reason = "the acts are raw system calls")]

use std::ffi::CStr;
use std::io::{Error, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use mcsp_child::{Act, ActOutcome, FromChild, wire};

/// The file that `Act::CreateFile` tries to make.
const CREATED: &CStr = c"/tmp/mcsp-media-attempt";
/// The program that `Act::Execute` tries to run.
const PROGRAM: &CStr = c"/bin/true";
/// What one step of `Act::Allocate` asks for.
const ALLOCATION_BYTES: usize = 64 << 20;
/// `Act::Allocate` counts as managed past this: 1 TiB, more than any bound.
const ALLOCATION_STEPS_MAX: usize = 16 << 10;
/// Bytes of one access unit of `Act::Flood`.
const FLOOD_UNIT_BYTES: usize = 1 << 20;

/// Tries one forbidden act.
pub(crate) fn attempt(act: Act) -> ActOutcome {
    let outcome = match act {
        Act::OpenFile => open(c"/etc/passwd", libc::O_RDONLY),
        Act::CreateFile => create(),
        Act::Connect => connect(),
        Act::Execute => execute(),
        Act::Fork => fork(),
        Act::Trace => trace(),
        Act::Kill => kill(),
        Act::MapExecutable => map_executable(),
        Act::Allocate => allocate(),
        Act::Spin => spin(),
        Act::Hang => hang(),
        Act::Flood => flood(),
        Act::Crash => crash(),
    };
    match outcome {
        Ok(detail) => ActOutcome { managed: true, detail },
        Err(error) => ActOutcome { managed: false, detail: error.to_string() },
    }
}

/// Turns the answer of a call into the outcome: not negative means that the act was managed.
fn managed(answer: i64, what: &str) -> Result<String, Error> {
    if answer < 0 { Err(Error::last_os_error()) } else { Ok(format!("{what} answered {answer}")) }
}

fn open(path: &CStr, flags: libc::c_int) -> Result<String, Error> {
    // SAFETY: `path` ends in a zero byte; the mode is given because `flags` may ask for creation.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o600) };
    managed(descriptor.into(), "open")
}

fn create() -> Result<String, Error> {
    let outcome = open(CREATED, libc::O_WRONLY | libc::O_CREAT);
    if outcome.is_ok() {
        // SAFETY: `CREATED` ends in a zero byte.
        unsafe { libc::unlink(CREATED.as_ptr()) };
    }
    outcome
}

fn connect() -> Result<String, Error> {
    // SAFETY: `socket` takes integers alone.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    if socket < 0 {
        return Err(Error::last_os_error());
    }
    let mut address = std::mem::MaybeUninit::<libc::sockaddr_in>::zeroed();
    // SAFETY: `sockaddr_in` is made of integers, for which zero is a value.
    let address = unsafe { address.assume_init_mut() };
    address.sin_family = libc::AF_INET.unsigned_abs().try_into().unwrap_or(0);
    address.sin_port = 9_u16.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    let len_bytes = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
    // SAFETY: `address` is a whole `sockaddr_in` of `len_bytes`, only read.
    let answer = unsafe { libc::connect(socket, (&raw const *address).cast(), len_bytes) };
    match Error::last_os_error() {
        error if answer != 0 && error.raw_os_error() == Some(libc::ECONNREFUSED) => {
            Ok("connect reached 127.0.0.1 and was refused there".to_owned())
        }
        error if answer != 0 => Err(error),
        _ => Ok("connect reached 127.0.0.1".to_owned()),
    }
}

fn execute() -> Result<String, Error> {
    let arguments = [PROGRAM.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both lists end in a null pointer and all strings in a zero byte.
    let answer = unsafe { libc::execve(PROGRAM.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    managed(answer.into(), "execve")
}

fn fork() -> Result<String, Error> {
    // SAFETY: the new process calls `_exit` and nothing else.
    let process = unsafe { libc::fork() };
    if process == 0 {
        // SAFETY: `_exit` does not return and runs no handler.
        unsafe { libc::_exit(0) };
    }
    managed(process.into(), "fork")
}

fn trace() -> Result<String, Error> {
    let parent = parent()?;
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: `PTRACE_SEIZE` takes no address, and does not stop the parent.
    let answer = unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, nothing, nothing) };
    managed(answer, "ptrace")
}

fn kill() -> Result<String, Error> {
    let parent = parent()?;
    // SAFETY: `kill` takes integers alone; the signal is ignored by default.
    let answer = unsafe { libc::kill(parent, libc::SIGURG) };
    managed(answer.into(), "kill")
}

/// Returns the parent's process id, and refuses ids that `kill` reads as groups.
fn parent() -> Result<libc::pid_t, Error> {
    // SAFETY: `getppid` has no arguments and cannot fail.
    let parent = unsafe { libc::getppid() };
    if parent > 0 { Ok(parent) } else { Err(Error::other("the parent is not known")) }
}

/// Asks for memory that is writable and executable at once, then for execution of memory that was writable.
fn map_executable() -> Result<String, Error> {
    let both = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    if map(4096, both).is_ok() {
        return Ok("mmap gave writable and executable memory".to_owned());
    }
    let block = map(4096, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: `block` is a mapping of 4096 bytes that nothing else uses.
    let answer = unsafe { libc::mprotect(block, 4096, libc::PROT_READ | libc::PROT_EXEC) };
    managed(answer.into(), "mprotect")
}

fn map(len_bytes: usize, protection: libc::c_int) -> Result<*mut libc::c_void, Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh private mapping overlaps nothing.
    let block = unsafe { libc::mmap(std::ptr::null_mut(), len_bytes, protection, flags, -1, 0) };
    if block == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(block) }
}

/// Asks for address space alone: the pages are never touched, so a machine without the bound keeps its memory.
fn allocate() -> Result<String, Error> {
    for step in 0..ALLOCATION_STEPS_MAX {
        if let Err(error) = map(ALLOCATION_BYTES, libc::PROT_READ | libc::PROT_WRITE) {
            let got_mib = step * (ALLOCATION_BYTES >> 20);
            return Err(Error::new(error.kind(), format!("stopped after {got_mib} MiB: {error}")));
        }
    }
    Ok(format!("mapped {ALLOCATION_STEPS_MAX} times {ALLOCATION_BYTES} bytes"))
}

fn spin() -> Result<String, Error> {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn hang() -> Result<String, Error> {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

fn flood() -> Result<String, Error> {
    // SAFETY: descriptor 1 is open as long as the process; `ManuallyDrop` never closes it.
    let mut out = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(libc::STDOUT_FILENO) });
    let unit = FromChild::AccessUnit { track: 0, key: true, pts: 0, bytes: vec![0; FLOOD_UNIT_BYTES] };
    let (kind, payload) = unit.encode();
    loop {
        wire::write(&mut *out, kind, &payload).map_err(Error::other)?;
        out.flush()?;
    }
}

fn crash() -> Result<String, Error> {
    let nowhere = std::ptr::without_provenance::<u8>(8);
    // SAFETY: none; the read is invalid on purpose, since the first page is never mapped.
    let byte = unsafe { std::ptr::read_volatile(nowhere) };
    Ok(format!("read {byte} from address 8"))
}
