//! Sessions: one running child. In: its pipe. Out: its messages one by one, and one clear end. Read requests are answered
//! here and do not show.
//!
//! The caller pulls: while nobody asks for the next message, the pipe fills and the child waits.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use mcsp_child::{FailureKind, FromChild, Hello, Job, JobLimits, ToChild, WireError, wire};
use mcsp_domain::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::watch::{self, Usage};
use crate::{SandboxError, Source};

/// How long a child that has said its last word may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes read from the pipe at once.
const PIPE_BUFFER_BYTES: usize = 64 << 10;

/// Bounds that are held from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    job: JobLimits,
    wall: Duration,
    stall: Duration,
    reads_max: u64,
}

impl Bounds {
    /// Takes bounds, and cuts those of time to what a clock can hold.
    pub(crate) fn new(job: JobLimits, wall: Duration, stall: Duration, source_len_bytes: u64) -> Self {
        let longest = Duration::from_secs(limits::CHILD_CPU_S_MAX * limits::CHILD_WALL_PER_CPU);
        let (wall, stall) = (wall.min(longest), stall.min(longest));
        let reads_max = limits::CHILD_READS_BASE_MAX + source_len_bytes / limits::CHILD_READ_BYTES_MEAN_MIN;
        Self { job, wall, stall, reads_max }
    }
}

/// One child at its job. Dropping it kills the child.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The end of what the child printed, when it has ended.
    stderr: Option<JoinHandle<String>>,
    source: Source,
    bounds: Bounds,
    deadline: Instant,
    hello: Hello,
    output_bytes: u64,
    reads: u64,
    usage: Option<Usage>,
    over: bool,
}

/// Why no message came.
enum Silence {
    /// The pipe has ended: the child's status tells more.
    Closed,
    /// An error of this side's making.
    Error(SandboxError),
}

impl From<SandboxError> for Silence {
    fn from(error: SandboxError) -> Self {
        Self::Error(error)
    }
}

impl Session {
    pub(crate) fn new(mut child: Child, source: Source, bounds: Bounds) -> Result<Self, Error> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Error::other("a pipe to the media process is missing"));
        };
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::with_capacity(PIPE_BUFFER_BYTES, stdout),
            stderr: Some(tokio::spawn(last_words(stderr))),
            source,
            bounds,
            deadline: Instant::now() + bounds.wall,
            hello: Hello { engine: String::new(), layers: Vec::new() },
            output_bytes: 0,
            reads: 0,
            usage: None,
            over: false,
        })
    }

    /// Returns what the child is and how it is confined.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Returns the child's process id while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns what the child used, once `next` has returned `None` or an error.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns the child's next message; `None` when the job is done. Answers reads of the source meanwhile.
    ///
    /// A session whose `next` was dropped before it returned has lost its place in the pipe and must be dropped too.
    ///
    /// # Errors
    /// When the child fails, is killed, breaks a bound or the protocol; it has ended then.
    pub async fn next(&mut self) -> Result<Option<FromChild>, SandboxError> {
        while !self.over {
            let message = match self.receive().await {
                Ok(message) => message,
                Err(silence) => return Err(self.give_up(silence).await),
            };
            match message {
                FromChild::Read { offset_bytes, len_bytes } => {
                    if let Err(silence) = self.answer(offset_bytes, len_bytes).await {
                        return Err(self.give_up(silence).await);
                    }
                }
                FromChild::Done => self.finish(GRACE).await,
                FromChild::Failed(failure) => {
                    self.finish(GRACE).await;
                    return Err(match failure.kind {
                        FailureKind::Confinement => SandboxError::Confinement(failure.message),
                        _ => SandboxError::Rejected(failure),
                    });
                }
                FromChild::Hello(_) => {
                    let error = SandboxError::OutOfTurn { what: "a second hello" };
                    return Err(self.give_up(error.into()).await);
                }
                message => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Sends the job and takes the child's first answer.
    pub(crate) async fn greet(&mut self, job: Job) -> Result<(), SandboxError> {
        let sent = self.send(&ToChild::Job(Box::new(job))).await;
        let answer = match sent {
            Ok(()) => self.receive().await,
            Err(silence) => Err(silence),
        };
        match answer {
            Ok(FromChild::Hello(hello)) => {
                self.hello = hello;
                Ok(())
            }
            Ok(FromChild::Failed(failure)) => {
                self.stop().await;
                Err(match failure.kind {
                    FailureKind::Confinement => SandboxError::Confinement(failure.message),
                    _ => SandboxError::Rejected(failure),
                })
            }
            Ok(_) => {
                let error = SandboxError::OutOfTurn { what: "an answer before its hello" };
                Err(self.give_up(error.into()).await)
            }
            Err(silence) => Err(self.give_up(silence).await),
        }
    }

    /// Kills the child and waits until it is gone.
    pub async fn stop(&mut self) {
        self.finish(Duration::ZERO).await;
    }

    /// Reads one message within the bounds of time and output.
    async fn receive(&mut self) -> Result<FromChild, Silence> {
        let read = tokio::time::timeout_at(self.patience(), read_frame(&mut self.stdout)).await;
        let (kind, payload) = match read {
            Ok(Ok(frame)) => frame,
            Ok(Err(WireError::Io(_))) => return Err(Silence::Closed),
            Ok(Err(error)) => return Err(SandboxError::Message(error).into()),
            Err(_) => return Err(self.too_late().into()),
        };
        let len_bytes = (wire::HEADER_BYTES + payload.len()) as u64;
        let message = FromChild::decode(kind, payload).map_err(SandboxError::Message)?;
        if !matches!(message, FromChild::Read { .. }) {
            self.output_bytes = self.output_bytes.saturating_add(len_bytes);
        }
        let output_bytes = self.bounds.job.output_bytes;
        if self.output_bytes > output_bytes {
            return Err(SandboxError::OutputLimit { output_bytes }.into());
        }
        Ok(message)
    }

    /// Sends the bytes that a read asks for.
    async fn answer(&mut self, offset_bytes: u64, len_bytes: u32) -> Result<(), Silence> {
        self.reads += 1;
        let reads_max = self.bounds.reads_max;
        if self.reads > reads_max {
            return Err(SandboxError::ReadLimit { reads_max }.into());
        }
        let read = tokio::time::timeout_at(self.deadline, self.source.read(offset_bytes, len_bytes)).await;
        let bytes = read.unwrap_or_else(|_| Err(self.too_late()))?;
        self.send(&ToChild::Bytes(bytes)).await
    }

    async fn send(&mut self, message: &ToChild) -> Result<(), Silence> {
        let (kind, payload) = message.encode();
        let header = wire::header(kind, payload.len());
        let patience = self.patience();
        let pipe = &mut self.stdin;
        let write = async {
            pipe.write_all(&header).await?;
            pipe.write_all(&payload).await?;
            pipe.flush().await
        };
        match tokio::time::timeout_at(patience, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Silence::Closed),
            Err(_) => Err(self.too_late().into()),
        }
    }

    /// Returns until when the child may neither speak nor listen.
    fn patience(&self) -> Instant {
        self.deadline.min(Instant::now() + self.bounds.stall)
    }

    /// Returns which bound of time has passed.
    fn too_late(&self) -> SandboxError {
        if Instant::now() >= self.deadline {
            return SandboxError::TimedOut { wall_seconds: self.bounds.wall.as_secs() };
        }
        SandboxError::Stalled { stall_seconds: self.bounds.stall.as_secs() }
    }

    /// Ends the child and returns why, from its status where the pipe has just ended.
    async fn give_up(&mut self, silence: Silence) -> SandboxError {
        let (grace, known) = match silence {
            Silence::Closed => (GRACE, None),
            Silence::Error(error) => (Duration::ZERO, Some(error)),
        };
        let end = watch::reap(&mut self.child, grace).await;
        let stderr = self.close(&end).await;
        known.unwrap_or_else(|| watch::early_end(&end, &self.bounds.job, &stderr))
    }

    /// Lets a child end that has nothing left to say.
    async fn finish(&mut self, grace: Duration) {
        let end = watch::reap(&mut self.child, grace).await;
        self.close(&end).await;
    }

    /// Notes the end and returns what the child printed last. That may quote the source, so it goes to the log alone.
    async fn close(&mut self, end: &watch::End) -> String {
        self.over = true;
        self.usage = end.usage.or(self.usage);
        let Some(printed) = self.stderr.take() else { return String::new() };
        let text = tokio::time::timeout(GRACE, printed).await.ok().and_then(Result::ok).unwrap_or_default();
        if !text.is_empty() {
            tracing::debug!(stderr = ?text, status = ?end.status, "media process printed");
        }
        text
    }
}

/// Reads one frame; memory follows what has really arrived, not what a header claims.
async fn read_frame(pipe: &mut BufReader<ChildStdout>) -> Result<(u8, Vec<u8>), WireError> {
    let mut header = [0; wire::HEADER_BYTES];
    pipe.read_exact(&mut header).await?;
    let (kind, len_bytes) = wire::parse_header(header)?;
    let mut payload = Vec::new();
    let got_bytes = pipe.take(len_bytes as u64).read_to_end(&mut payload).await?;
    if got_bytes < len_bytes {
        return Err(WireError::Io(ErrorKind::UnexpectedEof.into()));
    }
    Ok((kind, payload))
}

/// Reads all that the child prints and returns the end of it.
async fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut block = [0; 4096];
    while let Ok(len_bytes @ 1..) = stderr.read(&mut block).await {
        kept.extend_from_slice(block.get(..len_bytes).unwrap_or_default());
        let surplus_bytes = kept.len().saturating_sub(limits::CHILD_STDERR_BYTES_MAX);
        kept.drain(..surplus_bytes);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
