//! A Temporal server of a test's own, which it can kill.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A server on a free port with its state in a folder. Dropped, it is killed.
pub(super) struct Server {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts a server; nothing where its program is not named.
    pub(super) fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("MCSP_TEMPORAL_SERVER").map(PathBuf::from) else {
            eprintln!("skipped: MCSP_TEMPORAL_SERVER names no program");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(&program, folder.path(), port);
        Some(Self { program, folder, port, child })
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the server as a power cut does.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its state.
    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.program, self.folder.path(), self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &std::path::Path, folder: &std::path::Path, port: u16) -> Child {
    Command::new(program)
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"])
        .args(["--dynamic-config-value", "system.enableNexus=false", "--port", &port.to_string()])
        .arg("--db-filename")
        .arg(folder.join("temporal.db"))
        .env("HOME", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
