//! Children that lie: a script in place of `mcsp-media` sends bytes that no honest child sends.
//!
//! One test for all, so that no other thread forks while a script is being written.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcsp_child::{Failure, FailureKind, FromChild, Hello, Isolation, Layer, Work, wire};
use mcsp_domain::limits;
use mcsp_sandbox::{Sandbox, SandboxError, Source, limits_for};

/// Writes a script that sends `bytes`, reads all answers and stays.
fn liar(folder: &Path, bytes: &[u8]) -> PathBuf {
    script(folder, bytes, "#!/bin/sh\n/bin/cat \"$0.bytes\" &\nexec /bin/cat >/dev/null\n")
}

fn script(folder: &Path, bytes: &[u8], text: &str) -> PathBuf {
    let path = folder.join("child");
    std::fs::write(folder.join("child.bytes"), bytes).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn bytes(messages: &[FromChild]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        wire::write_from_child(&mut bytes, message).unwrap();
    }
    bytes
}

fn hello(names: &[&str]) -> FromChild {
    let layer = |name: &&str| Layer { name: (*name).to_owned(), in_force: true, detail: String::new() };
    FromChild::Hello(Hello { engine: "liar".to_owned(), layers: names.iter().map(layer).collect() })
}

fn honest_hello() -> FromChild {
    hello(&["descriptors", "environment", "no_new_privs", "capabilities", "landlock", "rlimits", "seccomp"])
}

/// Runs a child to its end and returns the messages it sent before, or why it ended.
async fn run(program: PathBuf, folder: &Path) -> Result<Vec<FromChild>, SandboxError> {
    let source = folder.join("source");
    std::fs::write(&source, "source").unwrap();
    let source = Source::file_by_requests(Arc::new(std::fs::File::open(source).unwrap())).unwrap();
    let sandbox = Sandbox::new(program, Isolation::Strict);
    let bounds = limits_for(&Work::Probe, 6, None);
    let mut session = sandbox.start(&source, Work::Probe, bounds, Duration::from_secs(30)).await?;
    let mut messages = Vec::new();
    while let Some(message) = session.next().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// Returns a name for the case, what the child sends, and the error that is expected.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let read = FromChild::Read { offset_bytes: u64::MAX, len_bytes: limits::SOURCE_READ_BYTES_MAX };
    let reads = vec![read; usize::try_from(limits::CHILD_READS_BASE_MAX).unwrap() + 10];
    let failed = Failure { kind: FailureKind::Corrupt, message: "moov is missing".to_owned() };
    let mut greedy = bytes(&[honest_hello()]);
    greedy.extend_from_slice(&[13, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    vec![
        ("a huge claim", vec![0xff, 0xff, 0xff, 0xff, 20], "media process sent a bad message"),
        ("an unknown kind", vec![1, 0, 0, 0, 99], "media process sent a bad message"),
        ("a parent's message", vec![1, 0, 0, 0, 3], "media process sent a bad message"),
        ("a huge read", greedy, "media process sent a bad message"),
        ("no hello", bytes(&[FromChild::Done]), "media process sent an answer before its hello out of turn"),
        ("two hellos", bytes(&[honest_hello(), honest_hello()]), "media process sent a second hello out of turn"),
        (
            "a hello without layers",
            bytes(&[hello(&[])]),
            "confinement layer descriptors is not named by the media process",
        ),
        (
            "endless reads",
            bytes(&[vec![honest_hello()], reads].concat()),
            "media process passed its bound of 100000 reads",
        ),
        ("a failure", bytes(&[honest_hello(), FromChild::Failed(failed)]), "moov is missing"),
    ]
}

#[tokio::test]
async fn lies_end_the_session_with_their_name() {
    for (case, bytes, expected) in cases() {
        let folder = mcsp_fixtures::temp_dir();
        let error = run(liar(folder.path(), &bytes), folder.path()).await.unwrap_err();
        assert_eq!(error.to_string(), expected, "{case}");
    }
    let folder = mcsp_fixtures::temp_dir();
    let silent = script(folder.path(), &[], "#!/bin/sh\nexit 3\n");
    let error = run(silent, folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), "media process ended early with code 3");
    let printer =
        script(folder.path(), &[], "#!/bin/sh\necho memory allocation of 7 bytes failed >&2\nkill -ABRT $$\n");
    let error = run(printer, folder.path()).await.unwrap_err();
    assert!(matches!(error, SandboxError::OutOfMemory { .. }), "{error:?}");
}
