//! `mcsp package`: renditions that are already H.264 or AAC, encrypted and packaged into a folder.

use std::time::Instant;

use anyhow::{Context, anyhow};
use mcsp_domain::{Digest, Grid, Scheme};
use mcsp_embedded::{Durability, FileStore};
use mcsp_stages::package::{LoadedFiles, PackageOrder, package_files};
use serde_json::json;

use crate::args::PackageArgs;
use crate::key_file::KeyFile;
use crate::process::folders::{Earlier, RunFolders};
use crate::process::{failure, finish};
use crate::report::{self, Report, Times};
use crate::reporter::Reporter;

/// Runs `mcsp package`; returns the report's table.
///
/// # Errors
/// When a rendition, the options or the folders are refused, or packaging fails.
pub(crate) async fn package_renditions(args: &PackageArgs, reporter: &Reporter) -> anyhow::Result<String> {
    let grid = Grid::new(args.segment).context("--segment")?;
    let (folders, _) = RunFolders::take(&args.out, Earlier::Replace)?;
    let done = run(args, grid, &folders, reporter).await;
    reporter.clear();
    folders.remove_work()?;
    done
}

async fn run(args: &PackageArgs, grid: Grid, folders: &RunFolders, reporter: &Reporter) -> anyhow::Result<String> {
    let started = Instant::now();
    let staging = folders.fresh_staging()?;
    let target = FileStore::open(&staging, Durability::Process)?;
    let loaded = LoadedFiles::open(&args.renditions).map_err(failure)?;
    let scheme = Option::<Scheme>::from(args.protection.scheme);
    let path = args.protection.keys.clone().unwrap_or_else(|| folders.keys());
    let keys = scheme.map(|_| KeyFile::read_or_make(&path)).transpose()?;
    let protection = match scheme.zip(keys.as_ref()) {
        Some((scheme, keys)) => Some(keys.protection(scheme, &loaded.track_classes(), &nonce()?)?),
        None => None,
    };
    let order = PackageOrder { grid, protection: protection.as_ref() };
    let on = |progress: mcsp_stages::Progress<'_>| reporter.progress(progress);
    let variants = package_files(loaded, order, &target, &on).await.map_err(failure);
    if let (Err(_), Some(keys)) = (&variants, &keys) {
        keys.discard_if_made()?;
    }
    let variants = variants?;
    let total_s = started.elapsed().as_secs_f64();
    let report = Report {
        mcsp: env!("CARGO_PKG_VERSION").to_owned(),
        source: None,
        variants,
        scheme: report::scheme_name(scheme),
        segment_s: f64::from(args.segment) / 1000.0,
        frames: None,
        isolation: None,
        times: Times { package_s: total_s, total_s, ..Times::default() },
    };
    finish(folders, &staging, target, &report).await?;
    reporter.event("done", json!({ "out": folders.out().display().to_string(), "report": &report }));
    Ok(report::table(&report))
}

/// Returns what IVs are drawn from where the key file has none: fresh each time, since the renditions are not digested.
fn nonce() -> anyhow::Result<Digest> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness for IVs: {error}"))?;
    Ok(Digest::from_bytes(random))
}
