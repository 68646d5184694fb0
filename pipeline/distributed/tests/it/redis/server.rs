//! A Redis of a test's own, to be killed, stopped and wiped, in a temp folder. It ends with the test.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::engine;

pub(super) struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts a server with an append-only file, where Redis is to be tested.
    pub(super) async fn start(arguments: &[&str]) -> Option<Self> {
        engine::address("redis")?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("redis.conf"), "appendonly yes\nsave \"\"\n").unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let port = free_port();
        let child = spawn(&folder, port, &arguments);
        let server = Self { child, folder, port, arguments };
        server.serving().await;
        Some(server)
    }

    /// Runs it again, on the same port and files.
    pub(super) async fn run(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.arguments);
        self.serving().await;
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// Makes a call of the server's own client and returns its answer.
    pub(super) async fn command(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let answer = tokio::process::Command::new("redis-cli").args(["-p", &port]).args(arguments).output().await;
        String::from_utf8(answer.unwrap().stdout).unwrap().trim().to_owned()
    }

    async fn serving(&self) {
        let begin = Instant::now();
        loop {
            let connected = TcpStream::connect(self.address()).await.is_ok();
            if connected && !self.command(&["PING"]).await.contains("LOADING") {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "redis does not serve at {}", self.address());
            tokio::task::yield_now().await;
        }
    }
}

fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.arg(folder.path().join("redis.conf")).arg("--port").arg(port.to_string());
    command.arg("--dir").arg(folder.path()).args(["--bind", "127.0.0.1"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
