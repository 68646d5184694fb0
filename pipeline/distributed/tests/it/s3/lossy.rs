//! Stands before a server and loses what it is told to lose: an answer after the server has acted, or half of a body.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The whole answer.
    Answer,
    /// What comes behind the first byte of the body.
    HalfABody,
}

#[derive(Default)]
struct Plan {
    next: Mutex<Option<(Loss, &'static str)>>,
    lost: AtomicUsize,
}

pub(super) struct Lossy {
    port: u16,
    plan: Arc<Plan>,
    serving: JoinHandle<()>,
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.close();
    }
}

impl Lossy {
    /// Stands before the server at `endpoint`, on a port of its own.
    pub(super) async fn before(endpoint: &str) -> Self {
        let server = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Plan::default());
        let shared = Arc::clone(&plan);
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, plan) = (TcpStream::connect(&server).await.unwrap(), Arc::clone(&shared));
                open.spawn(async move { pass(client, server, &plan).await });
            }
        });
        Self { port, plan, serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Loses once, at the next call with this method.
    pub(super) fn lose_next(&self, loss: Loss, method: &'static str) {
        *self.plan.next.lock().unwrap() = Some((loss, method));
    }

    /// How often something was lost.
    pub(super) fn lost(&self) -> usize {
        self.plan.lost.load(Ordering::SeqCst)
    }

    /// Answers nobody any more.
    pub(super) fn close(&self) {
        self.serving.abort();
    }
}

/// Carries one connection. It ends with a loss, as it does when a server dies.
async fn pass(mut client: TcpStream, mut server: TcpStream, plan: &Plan) -> Option<()> {
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut losing = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let read = read.ok().filter(|read| *read > 0)?;
                let next = *plan.next.lock().unwrap();
                if let Some((loss, method)) = next
                    && up[..read].starts_with(method.as_bytes())
                {
                    *plan.next.lock().unwrap() = None;
                    losing = Some(loss);
                }
                server.write_all(&up[..read]).await.ok()?;
            }
            read = server.read(&mut down) => {
                let read = read.ok().filter(|read| *read > 0)?;
                let answer = &down[..read];
                let head_len = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
                // What says no more than that the server waits for the body is no answer.
                match losing.filter(|_| !answer.starts_with(b"HTTP/1.1 100")) {
                    None => client.write_all(answer).await.ok()?,
                    Some(loss) => {
                        plan.lost.fetch_add(1, Ordering::SeqCst);
                        if loss == Loss::HalfABody {
                            client.write_all(&answer[..(head_len + 1).min(read)]).await.ok()?;
                        }
                        return None;
                    }
                }
            }
        }
    }
}
