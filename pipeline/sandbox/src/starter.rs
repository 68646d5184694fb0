//! The starter: one thread that starts every child. In: a command and the source's descriptor. Out: the running child.
//!
//! A child asks the kernel to be killed when its parent dies, and to the kernel the parent is the thread that started it.
//! Threads of an async runtime come and go, so children are started by a thread that stays as long as the process.

#![expect(unsafe_code, reason = "what runs between fork and exec is made of system calls")]

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use mcsp_child::SourceAccess;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Order {
    command: Command,
    source: Option<File>,
    niceness: i32,
    runtime: Handle,
    started: oneshot::Sender<Result<Child, Error>>,
}

static ORDERS: LazyLock<Result<Sender<Order>, ErrorKind>> = LazyLock::new(|| {
    let (orders, taken) = channel();
    let thread = std::thread::Builder::new().name("child-starter".to_owned()).spawn(move || serve(taken));
    thread.map(|_| orders).map_err(|error| error.kind())
});

/// Starts a child that dies with this process, runs with so much more niceness, and finds the source, where one is given, as
/// descriptor 3.
///
/// # Errors
/// When the program cannot be run.
pub(crate) async fn start(command: Command, source: Option<File>, niceness: i32) -> Result<Child, Error> {
    let (started, answer) = oneshot::channel();
    let order = Order { command, source, niceness, runtime: Handle::current(), started };
    let orders = ORDERS.as_ref().map_err(|kind| Error::from(*kind))?;
    orders.send(order).map_err(|_| Error::other("the thread that starts children has ended"))?;
    answer.await.map_err(|_| Error::other("the thread that starts children gave no answer"))?
}

/// Starts one child after the other; a child that nobody waits for any more is dropped, and thereby killed.
fn serve(orders: Receiver<Order>) {
    for mut order in orders {
        let _runtime = order.runtime.enter();
        prepare(&mut order.command, order.source.as_ref().map(AsRawFd::as_raw_fd), order.niceness);
        // The source stays open until the child has its copy, because `order` lives until the end of this turn.
        drop(order.started.send(order.command.spawn()));
    }
}

/// Sets what the new process does before it becomes the program.
fn prepare(command: &mut Command, source: Option<RawFd>, niceness: i32) {
    let parent = std::process::id();
    let become_child = move || {
        die_with(parent)?;
        be_nice(niceness);
        source.map_or(Ok(()), place_source)
    };
    // SAFETY: the closure makes system calls alone, and takes no lock and no memory, so it may run after a fork.
    unsafe { command.pre_exec(become_child) };
}

/// Asks to be killed when the parent dies, and gives up when it has died already.
fn die_with(parent: u32) -> Result<(), Error> {
    let signal = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
    // SAFETY: this option of `prctl` takes an integer.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: `getppid` has no arguments and cannot fail.
    let now = unsafe { libc::getppid() };
    if now.unsigned_abs() == parent { Ok(()) } else { Err(ErrorKind::BrokenPipe.into()) }
}

/// Makes way for others, which everybody may: by so much more than the parent does.
fn be_nice(niceness: i32) {
    // SAFETY: `nice` takes an integer.
    let _ = unsafe { libc::nice(niceness) };
}

/// Copies the source to its place, open across `exec`.
fn place_source(source: RawFd) -> Result<(), Error> {
    let place = SourceAccess::DESCRIPTOR;
    // SAFETY: both calls take integers alone; `dup2` onto itself would leave the close-on-exec flag.
    let answer =
        unsafe { if source == place { libc::fcntl(place, libc::F_SETFD, 0) } else { libc::dup2(source, place) } };
    if answer < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// Returns the niceness of a started child, field 19 of proc_pid_stat(5).
    async fn niceness_of_child(niceness: i32) -> i32 {
        let mut command = Command::new("cut");
        command.args(["-d", " ", "-f", "19", "/proc/self/stat"]).stdout(Stdio::piped());
        let output = start(command, None, niceness).await.unwrap().wait_with_output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    #[tokio::test]
    async fn a_child_in_the_background_makes_way() {
        let ours = niceness_of_child(0).await;
        assert_eq!(niceness_of_child(5).await, (ours + 5).min(19));
    }
}
