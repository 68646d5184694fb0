//! `make chaos`: kills worker processes at random under load and looks whether anything was lost or done twice.
//!
//! The parent appends the load and kills; three children run synthetic stages on one data folder. A second, undisturbed run
//! of the same seed gives what the outputs must be. The seed decides loads, failures, victims and the times between kills; what
//! a worker does at that moment is chance.

mod children;
mod film;
mod load;
mod platform;
mod stages;
mod verify;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use children::Children;
use load::Load;
use world::World;

/// Kills workers and looks whether anything was lost.
#[derive(Parser)]
struct Cli {
    /// What decides the loads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Contents that go through.
    #[arg(long, default_value_t = 1500)]
    contents: u32,
    /// Kills.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Worker processes.
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// A film that goes through three nodes of `mcsp up`, too.
    #[arg(long, value_name = "FILE")]
    film: Option<PathBuf>,
    /// Kills while the film goes through.
    #[arg(long, default_value_t = 10)]
    film_kills: u32,
    /// A clip that goes through the whole flow, from its upload by the API to its publication, many times; nothing else is run.
    #[arg(long, value_name = "FILE")]
    platform: Option<PathBuf>,
    /// The whole flow stands on real Kafka, Redis, Postgres, S3 and Temporal, which are killed three times each.
    #[arg(long, requires = "platform")]
    servers: bool,
    /// Uploads of the whole flow.
    #[arg(long, default_value_t = 24)]
    uploads: u32,
    /// The data folder; by default a new one in the system's temporary folder, removed when all is well.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Runs as a worker on the data folder; for the parent's use.
    #[arg(long, hide = true)]
    worker: bool,
}

impl Cli {
    fn load(&self) -> Load {
        Load { seed: self.seed, count: self.contents }
    }
}

fn main() -> anyhow::Result<()> {
    mcsp_runtime::telemetry::start();
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if cli.worker {
            let data = cli.data.as_deref().context("--worker needs --data")?;
            return World::open(data).await?.work(cli.load(), CancellationToken::new()).await;
        }
        parent(&cli).await
    })
}

async fn parent(cli: &Cli) -> anyhow::Result<()> {
    let default = std::env::temp_dir().join(format!("mcsp-chaos-{}", std::process::id()));
    let data = cli.data.clone().unwrap_or(default);
    fastrand::seed(cli.seed);
    if let Some(clip) = &cli.platform {
        say(&format!("seed {}, {} uploads, {} kills, data in {}", cli.seed, cli.uploads, cli.kills, data.display()))?;
        let (uploads, kills, on_servers) = (cli.uploads, cli.kills, cli.servers);
        platform::run(platform::Plan { clip, data: &data, uploads, kills, on_servers }).await?;
        return say(
            "all is well: every good upload published, every bad one blocked, nothing doubled, nothing left behind",
        );
    }
    for run in ["disturbed", "undisturbed"] {
        let folder = data.join(run);
        anyhow::ensure!(!folder.exists(), "{} is there already: a run begins with nothing", folder.display());
    }
    say(&format!(
        "seed {}, {} contents, {} workers, {} kills, data in {}",
        cli.seed,
        cli.contents,
        cli.workers,
        cli.kills,
        data.display()
    ))?;
    let disturbed = run(cli, &data.join("disturbed"), cli.kills).await?;
    let undisturbed = run(cli, &data.join("undisturbed"), 0).await?;
    let same = disturbed == undisturbed;
    say(&format!("outputs equal to the undisturbed run: {same}"))?;
    anyhow::ensure!(same, "the outputs differ; both runs are kept in {}", data.display());
    for run in ["disturbed", "undisturbed"] {
        let folder = data.join(run);
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    if let Some(film) = &cli.film {
        film::run(film, &data, cli.film_kills)?;
    }
    say("all is well: 0 events lost, 0 effects doubled")
}

/// One run: load, kills, rest, verification. Returns what came out.
async fn run(cli: &Cli, data: &Path, kills: u32) -> anyhow::Result<verify::Outputs> {
    let began = Instant::now();
    let world = World::open(data).await?;
    let load = cli.load();
    let mut children = Children::start(cli, data)?;
    let mut appended = 0;
    for kill in 0..kills {
        // The load is spread over the kills, so that there is always work to lose.
        let until = u32::try_from(u64::from(load.count) * u64::from(kill + 1) / u64::from(kills)).unwrap_or(load.count);
        append(&world, load, &mut appended, until).await?;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..300))).await;
        children.kill_one(kill)?;
    }
    append(&world, load, &mut appended, load.count).await?;
    let loaded_s = began.elapsed().as_secs_f64();
    verify::wait_until_settled(&world, &mut children).await?;
    say(&format!(
        "{} kills (by worker: {:?}); load and kills {loaded_s:.1} s, settled after {:.1} s more",
        children.killed(),
        children.kills_by_worker(),
        began.elapsed().as_secs_f64() - loaded_s
    ))?;
    children.stop();
    verify::verify(&world, load).await
}

async fn append(world: &World, load: Load, appended: &mut u32, until: u32) -> anyhow::Result<()> {
    let messages = (*appended..until).map(|number| load.upload(number)).collect::<anyhow::Result<Vec<_>>>()?;
    // Said twice, as a producer does that did not hear the answer.
    world.log.append(messages.clone()).await?;
    world.log.append(messages).await?;
    *appended = until;
    Ok(())
}

pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("could not write to stdout")
}
