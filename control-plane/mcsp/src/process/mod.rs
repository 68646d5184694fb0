//! `mcsp process`: the whole media path into a folder, on embedded engines: analysis, plan, chunks, package.

pub(crate) mod folders;
mod transcoding;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use mcsp_domain::{Digest, Grid, LadderFile, ObjectKey, Plan, PlanId, Policy, Protection, Scheme, TrackClass};
use mcsp_embedded::{Durability, FileStore};
use mcsp_runtime::{ObjectStore, StageError};
use mcsp_sandbox::child::Isolation;
use mcsp_sandbox::{Sandbox, Source};
use mcsp_stages::package::{PackageOrder, PackagedRendition, package};
use mcsp_stages::plan::PlanOrder;
use mcsp_stages::transcode::ChunkReport;
use serde_json::json;

use crate::args::ProcessArgs;
use crate::ids::random_id;
use crate::key_file::KeyFile;
use crate::report::{self, Report, SourceReport, Times};
use crate::reporter::Reporter;
use folders::{Earlier, Found, RunFolders};

/// The longest ladder file: a ladder is a few dozen lines.
const LADDER_FILE_BYTES_MAX: u64 = 64 << 10;

/// Runs `mcsp process`; returns the report's table.
///
/// # Errors
/// When the input, the options or the folders are refused, or a stage fails.
pub(crate) async fn process(args: &ProcessArgs, reporter: &Reporter) -> anyhow::Result<String> {
    let started = Instant::now();
    // Everything that can be refused at once is refused before the folder is touched.
    let order = order(args)?;
    let source = open_source(&args.input)?;
    let isolation = Isolation::from(args.isolation);
    let sandbox = Sandbox::beside_current_exe(isolation)?;
    let keys = args.protection.keys.clone().unwrap_or_else(|| folders::keys_beside(&args.out));
    if order.scheme.is_some() && keys.exists() {
        KeyFile::read(&keys)?;
    }
    let earlier = if args.resume { Earlier::Resume } else { Earlier::Refuse };
    let (folders, found) = RunFolders::take(&args.out, earlier)?;
    if found == Found::Finished {
        return finished_before(args, reporter, &folders);
    }
    let run = Run { args, reporter, source, sandbox, folders };
    let done = run.run(order, found, started).await;
    reporter.clear();
    if done.is_err() && !run.has_plan() {
        // Nothing worth resuming was made.
        run.folders.remove_work()?;
    }
    done
}

/// Tidies up behind a run that was killed after DIR appeared, and tells what it made.
fn finished_before(args: &ProcessArgs, reporter: &Reporter, folders: &RunFolders) -> anyhow::Result<String> {
    let path = folders.out().join(ObjectKey::report().as_str());
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let report: Report = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    if !args.keep_work {
        folders.remove_work()?;
    }
    reporter.event("done", json!({ "out": folders.out().display().to_string(), "report": &report }));
    Ok(format!("{} was complete already\n{}", folders.out().display(), report::table(&report)))
}

/// One invocation of `mcsp process`.
struct Run<'a> {
    args: &'a ProcessArgs,
    reporter: &'a Reporter,
    source: Source,
    sandbox: Sandbox,
    folders: RunFolders,
}

impl Run<'_> {
    async fn run(&self, order: PlanOrder, found: Found, started: Instant) -> anyhow::Result<String> {
        let store = FileStore::open(self.folders.work(), Durability::Object)
            .with_context(|| format!("could not open {}", self.folders.work().display()))?;
        let mut times = Times::default();
        let plan = self.plan(order, found, &store).await?;
        times.analyse_s = started.elapsed().as_secs_f64();
        let protection = self.protection(&plan)?;

        let encoding = Instant::now();
        transcoding::transcode_all(&plan, &self.source, &self.sandbox, &store, self.reporter).await?;
        let (renditions, chunks) = mcsp_stages::assemble::assemble(&plan, &store).await.map_err(failure)?;
        times.transcode_s = encoding.elapsed().as_secs_f64();
        self.reporter.clear();

        let packaging = Instant::now();
        let staging = self.folders.fresh_staging()?;
        let target = FileStore::open(&staging, Durability::Process)?;
        let order = PackageOrder { grid: plan.grid, protection: protection.as_ref() };
        let on = |progress: mcsp_stages::Progress<'_>| self.reporter.progress(progress);
        let variants = package(&renditions, order, &store, &target, &on).await.map_err(failure)?;
        times.package_s = packaging.elapsed().as_secs_f64();
        times.total_s = started.elapsed().as_secs_f64();

        let report = self.report(&plan, &chunks, variants, times);
        finish(&self.folders, &staging, target, &report).await?;
        self.reporter.event("done", json!({ "out": self.folders.out().display().to_string(), "report": &report }));
        drop(store);
        if !self.args.keep_work {
            self.folders.remove_work()?;
        }
        Ok(report::table(&report))
    }

    /// Makes the plan, or takes up the one of the interrupted run.
    async fn plan(&self, order: PlanOrder, found: Found, store: &FileStore) -> anyhow::Result<Plan> {
        let digest = digest(&self.args.input).await?;
        if found == Found::Unfinished && self.has_plan() {
            let text = store.get(&ObjectKey::plan()).await?;
            let plan: Plan = serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged", self.folders.work().join("plan.json").display()))?;
            same_order(&plan, &order, &digest)?;
            self.reporter.event("resumed", json!({ "chunks": plan.chunks.len() }));
            return Ok(plan);
        }
        let on = |progress: mcsp_stages::Progress<'_>| self.reporter.progress(progress);
        let once = async |attempt| {
            let order = PlanOrder { attempt, policy: order.policy.clone(), ..order };
            mcsp_stages::plan::plan(&self.source, digest, &order, &self.sandbox, store, &on).await
        };
        let plan = transcoding::retried("analysis", self.reporter, once).await;
        let plan = plan.with_context(|| self.args.input.display().to_string())?;
        self.reporter.event("planned", json!({ "ladder": &plan.ladder, "chunks": plan.chunks.len() }));
        Ok(plan)
    }

    fn has_plan(&self) -> bool {
        self.folders.work().join(ObjectKey::plan().as_str()).is_file()
    }

    fn protection(&self, plan: &Plan) -> anyhow::Result<Option<Protection>> {
        let Some(scheme) = plan.scheme else { return Ok(None) };
        let path = self.args.protection.keys.clone().unwrap_or_else(|| self.folders.keys());
        let needed: Vec<TrackClass> = plan.ladder.variants().iter().map(|variant| variant.track_class()).collect();
        Ok(Some(KeyFile::read_or_make(&path)?.protection(scheme, &needed, &plan.fingerprint())?))
    }

    fn report(&self, plan: &Plan, chunks: &[ChunkReport], variants: Vec<PackagedRendition>, times: Times) -> Report {
        let name = self.args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Report {
            mcsp: env!("CARGO_PKG_VERSION").to_owned(),
            source: Some(SourceReport {
                name,
                sha256: plan.source_digest.to_string(),
                duration_s: plan.duration_s(),
                probe: plan.probe.clone(),
                video: plan.video.clone(),
                audio: plan.audio.clone(),
            }),
            variants,
            scheme: report::scheme_name(plan.scheme),
            segment_s: f64::from(plan.grid.segment_ms()) / 1000.0,
            frames: report::frames(plan, chunks),
            isolation: Some(report::isolation(chunks)),
            times,
        }
    }
}

/// Writes the report beside the segments and turns the staging folder into DIR.
pub(crate) async fn finish(
    folders: &RunFolders,
    staging: &Path,
    target: FileStore,
    report: &Report,
) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    target.put(&ObjectKey::report(), text.into(), mcsp_runtime::PutIf::Always).await?;
    target.close().context("the staging folder was not left clean")?;
    folders.publish(staging)
}

/// Opens an input for reading; anything but a regular file with bytes in it is refused.
pub(crate) fn open_source(path: &Path) -> anyhow::Result<Source> {
    // Opening a pipe would wait for its writer, so its kind is asked first.
    let meta = std::fs::metadata(path).with_context(|| format!("could not open {}", path.display()))?;
    ensure!(meta.is_file(), "{} is not a regular file", path.display());
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    ensure!(meta.len() > 0, "{}: source is empty (0 bytes)", path.display());
    Source::file(Arc::new(file)).with_context(|| path.display().to_string())
}

/// Reads the options of a run.
fn order(args: &ProcessArgs) -> anyhow::Result<PlanOrder> {
    let grid = Grid::new(args.segment).context("--segment")?;
    Plan::check_chunk(grid, args.chunk).context("--chunk")?;
    Ok(PlanOrder {
        id: random_id(PlanId::new)?,
        policy: policy(args.ladder.as_deref())?,
        preset: args.preset,
        grid,
        chunk_ms: args.chunk,
        scheme: Option::<Scheme>::from(args.protection.scheme),
        attempt: 1,
    })
}

/// Reads a ladder file, or takes the built-in ladder.
pub(crate) fn policy(ladder: Option<&Path>) -> anyhow::Result<Policy> {
    let Some(path) = ladder else { return Ok(Policy::default()) };
    let name = || format!("ladder file {}", path.display());
    let meta = std::fs::metadata(path).with_context(name)?;
    ensure!(meta.is_file(), "{} is not a regular file", name());
    let len_bytes = meta.len();
    ensure!(len_bytes <= LADDER_FILE_BYTES_MAX, "{} has {len_bytes} bytes, {LADDER_FILE_BYTES_MAX} allowed", name());
    let text = std::fs::read_to_string(path).with_context(name)?;
    let rungs: LadderFile = serde_json::from_str(&text).with_context(name)?;
    rungs.check().with_context(name)?;
    Ok(Policy { rungs, explicit: true })
}

/// A resumed run must be the run that was interrupted.
fn same_order(plan: &Plan, order: &PlanOrder, digest: &Digest) -> anyhow::Result<()> {
    let same_ladder = mcsp_domain::Ladder::plan(&plan.probe, &order.policy).is_ok_and(|ladder| ladder == plan.ladder);
    let differs = [
        (plan.source_digest != *digest, "the input"),
        (!same_ladder, "--ladder"),
        (plan.preset != order.preset, "--preset"),
        (plan.grid != order.grid, "--segment"),
        (plan.chunk_ms != order.chunk_ms, "--chunk"),
        (plan.scheme != order.scheme, "--scheme"),
    ];
    match differs.iter().find(|(differs, _)| *differs) {
        Some((_, what)) => bail!("{what} differs from the interrupted run: repeat its options, or start afresh"),
        None => Ok(()),
    }
}

/// Returns the SHA-256 of a file.
async fn digest(path: &Path) -> anyhow::Result<Digest> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || -> anyhow::Result<Digest> {
        use sha2::Digest as _;
        let mut file = File::open(&path).with_context(|| format!("could not open {}", path.display()))?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let len_bytes = std::io::Read::read(&mut file, &mut buffer)
                .with_context(|| format!("could not read {}", path.display()))?;
            if len_bytes == 0 {
                return Ok(Digest::from_bytes(hasher.finalize().into()));
            }
            hasher.update(&buffer[..len_bytes]);
        }
    });
    hashed.await?
}

/// Turns a stage's failure into one line: what, then why.
pub(crate) fn failure(error: StageError) -> anyhow::Error {
    match error {
        StageError::Retry(what, Some(cause)) | StageError::Reject(what, Some(cause)) => {
            anyhow::Error::from_boxed(cause).context(what)
        }
        StageError::Retry(what, None) | StageError::Reject(what, None) => anyhow::anyhow!(what),
    }
}
