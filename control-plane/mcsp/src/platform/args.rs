//! The command line of the platform: nodes, and what operators do to them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mcsp_domain::{ContentId, EventId};
use mcsp_events::GroupName;

use crate::config::Sources;

/// Where a command finds its configuration.
#[derive(Args)]
pub(crate) struct NodeArgs {
    /// The configuration; by default `mcsp.toml` in the data folder or the working folder, where there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder; by default `./data`.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl NodeArgs {
    /// Returns the sources that these arguments name, with further keys that the command line sets.
    pub(crate) fn sources(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Sources {
        let data = self.data.as_ref().map(|data| ("data", data.display().to_string()));
        Sources::of_process(self.config.clone(), data.into_iter().chain(more).collect())
    }
}

#[derive(Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The work of this node, such as `transcode,package`; by default all of it.
    #[arg(long, value_name = "ROLES")]
    pub(crate) roles: Option<String>,
    /// Address and port of /healthz, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<String>,
}

impl UpArgs {
    /// Returns where the node's configuration comes from.
    pub(crate) fn sources(&self) -> Sources {
        let roles = self.roles.as_ref().map(|roles| ("roles", roles.clone()));
        let http = self.http.as_ref().map(|http| ("http.listen", http.clone()));
        self.node.sources(roles.into_iter().chain(http))
    }
}

#[derive(Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The work of this node.
    #[arg(long, value_name = "ROLES", default_value = "transcode")]
    pub(crate) roles: String,
    /// Records of one stage that are handled side by side.
    #[arg(long, value_name = "COUNT")]
    pub(crate) slots: Option<u32>,
    /// Address and port of /healthz, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) http: String,
}

impl WorkerArgs {
    /// Returns where the worker's configuration comes from.
    pub(crate) fn sources(&self) -> Sources {
        let slots = self.slots.map(|slots| ("worker.slots", slots.to_string()));
        let own = [("roles", self.roles.clone()), ("http.listen", self.http.clone())];
        self.node.sources(own.into_iter().chain(slots))
    }
}

#[derive(Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The film.
    pub(crate) input: PathBuf,
    /// The region whose bucket takes it; by default the only one.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The content that it is a revision of; by default a new one.
    #[arg(long)]
    pub(crate) content: Option<ContentId>,
    /// The number of the revision.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) revision: u32,
    /// Wait until it is packaged, or given up.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The content.
    pub(crate) content: ContentId,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DeadArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    /// List the records that groups gave up.
    List {
        /// Only this group's.
        #[arg(long)]
        group: Option<String>,
    },
    /// Show one record whole, with its error.
    Show {
        /// The event's id.
        event: EventId,
    },
    /// Give records to their group again, as first attempts.
    Replay {
        /// The event's id; several are allowed.
        #[arg(required_unless_present = "group")]
        events: Vec<EventId>,
        /// All that this group gave up.
        #[arg(long, conflicts_with = "events")]
        group: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// List the consumer groups with their lag.
    List,
    /// Stop a group from taking records, in every process; what runs goes on to its end.
    Pause {
        /// The group.
        #[arg(value_parser = group)]
        group: GroupName,
        /// Why, for whoever finds it paused.
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
    },
    /// Let a group take records again.
    Resume {
        /// The group.
        #[arg(value_parser = group)]
        group: GroupName,
    },
    /// Remove a group that no process joins any longer, so that retention no longer waits for it.
    Forget {
        /// The group.
        #[arg(value_parser = group)]
        group: GroupName,
    },
    /// Have a group handle a topic's records again. Events that it sent before are not sent twice.
    Replay {
        /// The group.
        #[arg(value_parser = group)]
        group: GroupName,
        /// The topic.
        topic: String,
        /// From this time on, microseconds since 1970; by default from the beginning.
        #[arg(long, value_name = "TIME")]
        from_us: Option<i64>,
    },
}

fn group(text: &str) -> Result<GroupName, String> {
    GroupName::parse(text).map_err(|error| error.to_string())
}
