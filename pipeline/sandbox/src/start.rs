//! Starting a child: the program, its empty surroundings, its first answer. In: a source, the work, its limits. Out: a
//! `Session` whose child is confined as was asked for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mcsp_child::{Hello, Isolation, Job, JobLimits, Work};
use mcsp_domain::limits;
use tokio::process::Command;

use crate::session::{Bounds, Session};
use crate::{SandboxError, Source, starter};

/// The child's file name.
const PROGRAM: &str = "mcsp-media";

/// The layers that a strict child must name as in force (`mcsp-media/src/confine.rs`).
const LAYERS: [&str; 7] =
    ["descriptors", "environment", "no_new_privs", "capabilities", "landlock", "rlimits", "seccomp"];

/// The niceness (nice(2)) of children that nobody waits for: against one that somebody waits for they get a third of a
/// processor's time, and all of what is left over.
const BACKGROUND_NICENESS: i32 = 5;

/// Starts children: where the program lies, and how far it must confine itself.
#[derive(Clone, Debug)]
pub struct Sandbox {
    program: PathBuf,
    isolation: Isolation,
    stall: Duration,
    niceness: i32,
}

impl Sandbox {
    /// Returns how far children must confine themselves.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Takes the program's path.
    pub fn new(program: PathBuf, isolation: Isolation) -> Self {
        Self { program, isolation, stall: Duration::from_secs(limits::CHILD_STALL_S_MAX), niceness: 0 }
    }

    /// Finds the program beside the running executable, and for test executables one folder up.
    ///
    /// # Errors
    /// `Start` when it is not there.
    pub fn beside_current_exe(isolation: Isolation) -> Result<Self, SandboxError> {
        let unknown = |source| SandboxError::Start { program: PROGRAM.into(), source };
        let executable = std::env::current_exe().map_err(unknown)?;
        let folder = executable.parent().unwrap_or(Path::new("/"));
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
        let program = folder.join(PROGRAM);
        match std::fs::metadata(&program) {
            Ok(_) => Ok(Self::new(program, isolation)),
            Err(source) => Err(SandboxError::Start { program, source }),
        }
    }

    /// Bounds the child's silence, instead of `limits::CHILD_STALL_S_MAX`.
    #[must_use]
    pub fn with_stall(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// Has children make way for those that somebody waits for.
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { niceness: BACKGROUND_NICENESS, ..self }
    }

    /// Starts a child for one job and waits until it says how it is confined. The whole session ends within `wall`.
    ///
    /// # Errors
    /// When the program does not start, is less confined than asked for, or ends at once.
    pub async fn start(
        &self,
        source: &Source,
        work: Work,
        limits: JobLimits,
        wall: Duration,
    ) -> Result<Session, SandboxError> {
        let descriptor = source.open_for_child()?;
        let started = starter::start(self.command(), descriptor, self.niceness).await;
        let failed = |source| SandboxError::Start { program: self.program.clone(), source };
        let child = started.map_err(failed)?;
        let traceparent = mcsp_runtime::telemetry::current_traceparent().map(String::from);
        let job = Job { isolation: self.isolation, source: source.access(), limits, work, traceparent };
        let bounds = Bounds::new(limits, wall, self.stall, source.len_bytes());
        let mut session = Session::new(child, source.clone(), bounds).map_err(failed)?;
        session.greet(job).await?;
        if let Err(why) = check_layers(session.hello(), self.isolation) {
            session.stop().await;
            return Err(SandboxError::Confinement(why));
        }
        Ok(session)
    }

    /// A group of its own keeps a terminal's Ctrl-C from the child: this process hears it and decides.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The child says what it did before it read a hostile byte, so its word can be taken.
fn check_layers(hello: &Hello, isolation: Isolation) -> Result<(), String> {
    if isolation == Isolation::Reduced {
        return Ok(());
    }
    for name in LAYERS {
        match hello.layers.iter().find(|layer| layer.name == name) {
            Some(layer) if layer.in_force => {}
            Some(layer) => return Err(format!("confinement layer {name} is not in force: {}", layer.detail)),
            None => return Err(format!("confinement layer {name} is not named by the media process")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_child::Layer;

    fn hello(missing: &[&str], lacking: &[&str]) -> Hello {
        let named = LAYERS.iter().filter(|name| !missing.contains(name));
        let layer = |name: &&str| Layer {
            name: (*name).to_owned(),
            in_force: !lacking.contains(name),
            detail: "detail".to_owned(),
        };
        Hello { engine: "test".to_owned(), layers: named.map(layer).collect() }
    }

    #[test]
    fn strict_asks_for_every_layer() {
        let check = |hello: &Hello| check_layers(hello, Isolation::Strict);
        assert_eq!(check(&hello(&[], &[])), Ok(()));
        let lacking = "confinement layer landlock is not in force: detail".to_owned();
        assert_eq!(check(&hello(&[], &["landlock"])), Err(lacking));
        let missing = "confinement layer seccomp is not named by the media process".to_owned();
        assert_eq!(check(&hello(&["seccomp"], &[])), Err(missing));
    }

    #[test]
    fn reduced_takes_what_there_is() {
        assert_eq!(check_layers(&hello(&["seccomp"], &["landlock"]), Isolation::Reduced), Ok(()));
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let sandbox = Sandbox::new("/nowhere/mcsp-media".into(), Isolation::Strict);
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let source = Source::file_by_requests(file.into()).unwrap();
        let limits = crate::limits_for(&Work::Probe, 0, None);
        let error = sandbox.start(&source, Work::Probe, limits, Duration::from_secs(5)).await.err().unwrap();
        assert_eq!(error.to_string(), "cannot start /nowhere/mcsp-media");
    }
}
