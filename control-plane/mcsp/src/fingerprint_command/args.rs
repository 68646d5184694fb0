//! The command line of fingerprints and of the library of references.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mcsp_domain::{ReferenceId, UserId};
use mcsp_fingerprint::{RightsAction, RightsPolicy};

use crate::args::IsolationArg;
use crate::platform::args::NodeArgs;

#[derive(Args)]
pub(crate) struct FingerprintArgs {
    /// The film, or sound alone.
    pub(crate) input: PathBuf,
    /// Store the fingerprint here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How far the decoding process must be confined.
    #[arg(long, value_enum, default_value_t = IsolationArg::Strict)]
    pub(crate) isolation: IsolationArg,
}

#[derive(Args)]
pub(crate) struct MatchArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The film, or sound alone.
    pub(crate) input: PathBuf,
    /// Whose upload it is to be taken for; policies name uploaders that may use a reference.
    #[arg(long, value_name = "USER")]
    pub(crate) uploader: Option<UserId>,
    /// Print the decision as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How far the decoding process must be confined.
    #[arg(long, value_enum, default_value_t = IsolationArg::Strict)]
    pub(crate) isolation: IsolationArg,
}

#[derive(Args)]
pub(crate) struct LibraryArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(subcommand)]
    pub(crate) command: LibraryCommand,
}

#[derive(Subcommand)]
pub(crate) enum LibraryCommand {
    /// Add a reference: uploads are compared with it from now on.
    Add(LibraryAddArgs),
    /// List the references and their policies.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove references: uploads are no longer compared with them.
    Remove {
        /// Their ids, as `list` prints them.
        #[arg(required = true, value_name = "REFERENCE")]
        references: Vec<ReferenceId>,
    },
}

#[derive(Args)]
pub(crate) struct LibraryAddArgs {
    /// The film, or sound alone.
    pub(crate) input: PathBuf,
    /// What it is called; by default the file's name.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Who holds the rights.
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: String,
    /// What follows where an upload holds it.
    #[arg(long, value_enum, default_value_t = ActionArg::Block)]
    pub(crate) action: ActionArg,
    /// Seconds of pictures below which nothing follows; shorter references ask for less.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) video_min: u32,
    /// Seconds of sound below which nothing follows; shorter references ask for less.
    #[arg(long, value_name = "SECONDS", default_value_t = 7)]
    pub(crate) audio_min: u32,
    /// A user who may upload it; may be given again.
    #[arg(long, value_name = "USER")]
    pub(crate) allow: Vec<UserId>,
    /// How far the decoding process must be confined.
    #[arg(long, value_enum, default_value_t = IsolationArg::Strict)]
    pub(crate) isolation: IsolationArg,
}

impl LibraryAddArgs {
    /// Returns the policy that the options make.
    pub(crate) fn policy(&self) -> RightsPolicy {
        RightsPolicy {
            action: self.action.into(),
            video_ms_min: u64::from(self.video_min) * 1000,
            audio_ms_min: u64::from(self.audio_min) * 1000,
            allowed: self.allow.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActionArg {
    /// The upload ends.
    Block,
    /// A person decides.
    Review,
    /// The upload goes on; the match is told.
    Allow,
}

impl From<ActionArg> for RightsAction {
    fn from(arg: ActionArg) -> Self {
        match arg {
            ActionArg::Block => Self::Block,
            ActionArg::Review => Self::Review,
            ActionArg::Allow => Self::Allow,
        }
    }
}
