//! The whole flow under kills: uploads by the API, three nodes of `mcsp up` on one data folder, each killed at random, the one
//! that answers clients too. Completion is said too early, then twice, and by the store. At the end every good upload is published, every
//! seeded bad one blocked, nothing was done twice, and no object lies about that nobody owns.

mod client;
mod engines;
mod nodes;
mod receiver;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::say;
use client::Client;
use engines::Engines;
use nodes::Nodes;
use receiver::Receiver;

/// How long the run may take after the last kill.
const SETTLE_MAX: Duration = Duration::from_secs(900);
/// How long a sweep may take.
const SWEPT_MAX: Duration = Duration::from_secs(60);
/// Uploads on their way at a time.
const AT_ONCE: usize = 6;

/// What is uploaded, and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    number: u32,
    name: &'static str,
    bytes: Arc<Vec<u8>>,
    is_good: bool,
}

/// A run.
pub(crate) struct Plan<'a> {
    pub(crate) clip: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) uploads: u32,
    pub(crate) kills: u32,
    /// Whether on real Kafka, Redis, Postgres, S3 and Temporal.
    pub(crate) on_servers: bool,
}

/// Runs the flow.
///
/// # Errors
/// When anything was lost, doubled or left behind; the data folder is kept then.
pub(crate) async fn run(plan: Plan<'_>) -> anyhow::Result<()> {
    let data = plan.data.join("platform");
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let engines = if plan.on_servers { Engines::servers(&data)? } else { Engines::embedded(&data) };
    let receiver = Receiver::start().await?;
    let mut nodes = Nodes::start(&data, engines.settings())?;
    let client = Client::sign_in(&nodes.api, &receiver.url).await?;
    let uploads = uploads(plan.clip, plan.uploads)?;
    let began = Instant::now();
    let sending = tokio::spawn(send_all(client.clone(), uploads.clone()));
    let disturbing = engines.disturb(fastrand::u64(..));
    for kill in 0..plan.kills {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..plan.pause_max_ms()))).await;
        nodes.kill_one(kill)?;
    }
    disturbing.await??;
    let contents = sending.await??;
    let (kills, killed_s) = (nodes.kills(), began.elapsed().as_secs_f64());
    say(&format!("platform: {} kills (by node: {kills:?}) in {killed_s:.1} s", plan.kills))?;
    let states = tokio::time::timeout(SETTLE_MAX, client.settled(&contents)).await;
    let states = states.with_context(|| format!("not all uploads ended within {SETTLE_MAX:?}"))??;
    say(&format!("platform: settled after {:.1} s", began.elapsed().as_secs_f64()))?;
    verify::states(&uploads, &contents, &states)?;
    client.delete_one_and_wait(&contents, &uploads).await?;
    receiver.wait_for(&contents, SETTLE_MAX).await?;
    let store = engines.objects().await?;
    // A node that starts sweeps at once.
    nodes.kill(0)?;
    verify::wait_until_swept(&*store, &uploads, &contents, SWEPT_MAX).await?;
    nodes.stop();
    verify::log(&*engines.log().await?, &uploads, &contents).await?;
    verify::webhooks(&receiver.seen(), &contents)?;
    verify::objects(&*store, &uploads, &contents).await?;
    engines.stop()?;
    std::fs::remove_dir_all(&data).with_context(|| data.display().to_string())
}

impl Plan<'_> {
    /// The longest time between two kills. Partitions of a dead member of Kafka stay its own for six seconds at least.
    fn pause_max_ms(&self) -> u64 {
        if self.on_servers { 12_000 } else { 2500 }
    }
}

/// Returns the uploads: good clips, and among them what must be stopped.
fn uploads(clip: &Path, count: u32) -> anyhow::Result<Vec<Upload>> {
    let film = Arc::new(std::fs::read(clip).with_context(|| clip.display().to_string())?);
    ensure!(count >= 3, "{count} uploads hold no bad ones: take 3 or more");
    // Split, so that no scanner takes this program for what it tests with.
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"].concat();
    let eicar = Arc::new(eicar.into_bytes());
    let zip = Arc::new([b"PK\x03\x04".as_slice(), &[0; 600]].concat());
    let upload = |number: u32| match number % 8 {
        3 => Upload { number, name: "eicar.mp4", bytes: Arc::clone(&eicar), is_good: false },
        6 => Upload { number, name: "archive.mp4", bytes: Arc::clone(&zip), is_good: false },
        _ => Upload { number, name: "film.mp4", bytes: Arc::clone(&film), is_good: true },
    };
    Ok((0..count).map(upload).collect())
}

/// Sends everything, some at a time; returns the contents in the order of the uploads.
async fn send_all(client: Client, uploads: Vec<Upload>) -> anyhow::Result<Vec<String>> {
    let mut contents = vec![String::new(); uploads.len()];
    let mut sending = JoinSet::new();
    let mut rest = uploads.into_iter().enumerate();
    loop {
        while sending.len() < AT_ONCE {
            let Some((index, upload)) = rest.next() else { break };
            let client = client.clone();
            sending.spawn(async move {
                let content = client.upload(&upload).await?;
                anyhow::Ok((index, content))
            });
        }
        let Some(sent) = sending.join_next().await else { return Ok(contents) };
        let (index, content) = sent??;
        contents[index] = content;
    }
}

/// Returns the program beside this one.
fn mcsp() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("mcsp"))
}
