//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mcsp_domain::{Preset, Scheme};
use mcsp_sandbox::child::Isolation;

use crate::client::args::{ContentArgs, LoginArgs, ReprocessArgs, UploadArgs};
use crate::config::command::ConfigArgs;
use crate::fingerprint_command::args::{FingerprintArgs, LibraryArgs, MatchArgs};
use crate::platform::args::{DeadArgs, GroupArgs, SubmitArgs, TraceArgs, UpArgs, WorkerArgs};

/// A film in, protected HLS and DASH out.
#[derive(Parser)]
#[command(name = "mcsp", version, about, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Transcode a film into a ladder, encrypt it, and package it for HLS and DASH.
    Process(ProcessArgs),
    /// Say what a source is, as JSON.
    Probe(ProbeArgs),
    /// Encrypt and package renditions that are already H.264 or AAC in MP4.
    Package(PackageArgs),
    /// Serve a packaged film with a watch page and a ClearKey licence endpoint.
    Serve(ServeArgs),
    /// Run a node of the platform: every role on the engines of one data folder.
    Up(UpArgs),
    /// Run a node that only transcodes, on the data folder of another node.
    Worker(WorkerArgs),
    /// Hand a film to the platform as cleared, without the upload flow: for operators and trials.
    Submit(SubmitArgs),
    /// Tell one content's life: who said what when, what failed, what runs now.
    Trace(TraceArgs),
    /// Look after records that groups gave up.
    Dead(DeadArgs),
    /// Look after consumer groups.
    Group(GroupArgs),
    /// Sign in to a platform; what follows speaks as that account.
    Login(LoginArgs),
    /// Upload films, in parts, straight to the object store; the same command again goes on where it stopped.
    Upload(UploadArgs),
    /// List, show, delete and retry what you own.
    Content(ContentArgs),
    /// Make published contents again, from a stage on.
    Reprocess(ReprocessArgs),
    /// Say how much is remembered of a film, and store it.
    Fingerprint(FingerprintArgs),
    /// Say what of a film the library of references knows, and what would follow.
    Match(MatchArgs),
    /// Look after the library of references, which uploads are compared with.
    Library(LibraryArgs),
    /// Print and check the configuration.
    Config(ConfigArgs),
    /// Print the OpenAPI document of the REST interface, JSON.
    Openapi,
}

#[derive(Args)]
pub(crate) struct ProcessArgs {
    /// The film.
    pub(crate) input: PathBuf,
    /// The folder to make; it appears whole, at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,
    /// Length of a segment in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "6", value_parser = milliseconds)]
    pub(crate) segment: u32,
    /// Length of a chunk, the unit of work and of resuming, in seconds; by default 6, 12, 24, then 60.
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    pub(crate) chunk: Option<u32>,
    /// How far the decoding process must be confined.
    #[arg(long, value_enum, default_value_t = IsolationArg::Strict)]
    pub(crate) isolation: IsolationArg,
    /// A ladder: {"video":[{"width","height","crf","maxrate_kbps"}],"audio":[{"codec","bitrate_kbps","channels"}]}.
    #[arg(long, value_name = "FILE")]
    pub(crate) ladder: Option<PathBuf>,
    /// The encoder's trade of time against bytes.
    #[arg(long, default_value = "medium", value_parser = preset)]
    pub(crate) preset: Preset,
    /// Print one JSON event a line on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on with a run that was interrupted.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Keep DIR.work with the clear chunks.
    #[arg(long)]
    pub(crate) keep_work: bool,
}

#[derive(Args)]
pub(crate) struct ProtectionArgs {
    /// How samples are protected.
    #[arg(long, value_enum, default_value_t = SchemeArg::Cbcs)]
    pub(crate) scheme: SchemeArg,
    /// The key file, made where it is missing; by default DIR.keys.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ProbeArgs {
    /// The film.
    pub(crate) input: PathBuf,
    /// How far the decoding process must be confined.
    #[arg(long, value_enum, default_value_t = IsolationArg::Strict)]
    pub(crate) isolation: IsolationArg,
}

#[derive(Args)]
pub(crate) struct PackageArgs {
    /// MP4 files with H.264 or AAC, fragmented or progressive, keyframes aligned; every track becomes a rendition.
    #[arg(required = true, value_name = "RENDITION")]
    pub(crate) renditions: Vec<PathBuf>,
    /// The folder to make; it appears whole, at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,
    /// Length of a segment in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "6", value_parser = milliseconds)]
    pub(crate) segment: u32,
    /// Print one JSON event a line on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// A folder that `process` or `package` made.
    pub(crate) dir: PathBuf,
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Allow an address that other machines can reach. Anyone who reaches it can fetch the keys.
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// The key file; by default DIR.keys.json where it exists.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SchemeArg {
    /// AES-CBC pattern encryption: one set of files for every DRM system of today.
    Cbcs,
    /// AES-CTR: for older devices.
    Cenc,
    /// No protection.
    Clear,
}

impl From<SchemeArg> for Option<Scheme> {
    fn from(arg: SchemeArg) -> Self {
        match arg {
            SchemeArg::Cbcs => Some(Scheme::Cbcs),
            SchemeArg::Cenc => Some(Scheme::Cenc),
            SchemeArg::Clear => None,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum IsolationArg {
    /// Every layer, or the run is refused.
    Strict,
    /// What this system offers; the report says what was missing.
    Reduced,
}

impl From<IsolationArg> for Isolation {
    fn from(arg: IsolationArg) -> Self {
        match arg {
            IsolationArg::Strict => Self::Strict,
            IsolationArg::Reduced => Self::Reduced,
        }
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    let names = || Preset::ALL.map(Preset::name).join(", ");
    Preset::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| format!("none of {}", names()))
}

/// Reads seconds with up to three decimals into milliseconds, without floating point.
fn milliseconds(text: &str) -> Result<u32, String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 3 {
        return Err("not a number of seconds with at most three decimals".to_owned());
    }
    let thousandths = format!("{whole}{decimals:0<3}");
    thousandths.parse().map_err(|_| "too many seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_read_exactly() {
        assert_eq!(milliseconds("6"), Ok(6000));
        assert_eq!(milliseconds("2.002"), Ok(2002));
        assert_eq!(milliseconds("0.5"), Ok(500));
        for text in ["", ".5", "-1", "1e3", "6s", "1.0001", "99999999999"] {
            assert!(milliseconds(text).is_err(), "{text:?} was taken");
        }
    }
}
