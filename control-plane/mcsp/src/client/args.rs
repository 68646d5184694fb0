//! The command line of the client.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mcsp_domain::{ContentId, RunId, SubscriptionTier, Visibility};

#[derive(Args)]
pub(crate) struct LoginArgs {
    /// The platform's address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8090")]
    pub(crate) server: String,
    /// The account's address.
    #[arg(long)]
    pub(crate) email: String,
    /// Make the account first, as a creator.
    #[arg(long)]
    pub(crate) register: bool,
    /// Read the password from stdin; else MCSP_PASSWORD is taken, or it is asked for.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Args)]
pub(crate) struct UploadArgs {
    /// The films.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The title; by default the file's name.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// What it is about.
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// Who may see it: private, unlisted or public.
    #[arg(long, default_value = "private")]
    pub(crate) visibility: Visibility,
    /// What its viewers must have: free, basic or premium.
    #[arg(long, default_value = "free")]
    pub(crate) tier: SubscriptionTier,
    /// The region whose bucket takes it; by default the residency policy decides.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Wait until each is published, or ended otherwise.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print one JSON object a film on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ContentArgs {
    #[command(subcommand)]
    pub(crate) command: ContentCommand,
}

#[derive(Subcommand)]
pub(crate) enum ContentCommand {
    /// List what you own, the newest first.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one content and every step of its way.
    Show {
        /// The content.
        content: ContentId,
        /// Print its timeline as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove contents for ever, with everything made of them.
    Delete {
        /// The contents.
        #[arg(required = true)]
        contents: Vec<ContentId>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Try again what was given up.
    Retry {
        /// The content.
        content: ContentId,
        /// Only this rendition.
        #[arg(long)]
        rendition: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// Decode and encode again.
    Transcode,
    /// Encrypt and write segments and manifests again, from the renditions that are there.
    Package,
}

#[derive(Args)]
pub(crate) struct ReprocessArgs {
    /// Words of titles, `id:CONTENT`, or `all`; what you own, for admins everything.
    #[arg(required_unless_present = "run")]
    pub(crate) query: Option<String>,
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = From::Transcode)]
    pub(crate) from: From,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on with a run that was planned before.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["query", "dry_run"])]
    pub(crate) run: Option<RunId>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}
