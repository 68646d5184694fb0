//! The keys of the configuration as its files write them: one struct tree. `docs/generated/config.md` is this file, and
//! types, ranges and choices are checked by its schema.

use std::collections::BTreeMap;

use mcsp_domain::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Settings {
    /// The folder of everything that the embedded engines keep. It must lie on a local file system.
    pub(crate) data: String,
    /// The work of this node. All roles are those that have something to do; one that was picked and has nothing is refused:
    /// `licence` without `licence.listen`, `objects` without `objects.endpoint.listen`.
    pub(crate) roles: Vec<Role>,
    /// How long running work may go on after the node was told to stop, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) drain_s: u32,
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
    pub(crate) objects: Objects,
    /// The bucket of a region of the residency policy; where none is named, the region `local` has `mcsp-local`.
    pub(crate) placement: BTreeMap<String, String>,
    pub(crate) catalog: Catalog,
    pub(crate) licence: Licence,
    pub(crate) worker: Worker,
    pub(crate) retry: Retry,
    pub(crate) plan: Plan,
    pub(crate) http: Http,
    pub(crate) identity: Identity,
    pub(crate) upload: Upload,
    pub(crate) moderation: Moderation,
    pub(crate) webhooks: Webhooks,
    pub(crate) sagas: Sagas,
    pub(crate) tls: Tls,
    pub(crate) telemetry: Telemetry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "./data".to_owned(),
            roles: Role::ALL.to_vec(),
            drain_s: 30,
            log: Log::default(),
            ledger: Ledger::default(),
            objects: Objects::default(),
            placement: BTreeMap::new(),
            catalog: Catalog::default(),
            licence: Licence::default(),
            worker: Worker::default(),
            retry: Retry::default(),
            plan: Plan::default(),
            http: Http::default(),
            identity: Identity::default(),
            upload: Upload::default(),
            moderation: Moderation::default(),
            webhooks: Webhooks::default(),
            sagas: Sagas::default(),
            tls: Tls::default(),
            telemetry: Telemetry::default(),
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)+ }
    };
}

words!(
    /// A part of the platform that a node may take.
    Role {
        /// Answers the REST interface, WebSockets and pages.
        Api,
        /// Serves packages to whoever carries a token for them.
        Edge,
        /// Checks what was uploaded: container, limits, malware.
        Ingest,
        /// Compares uploads with the library of references.
        Copyright,
        /// Looks at uploads by rules, and keeps the queue of what people must look at.
        Moderate,
        /// Turns a cleared upload into a plan and its chunk requests, and sees when a variant is complete.
        Orchestrate,
        /// Transcodes chunks that somebody waits for, and those of reprocessing.
        Transcode,
        /// Encrypts and packages what is complete.
        Package,
        /// Makes posters and storyboards.
        Thumbnails,
        /// Keeps every content's state, drives its publication, removes what was deleted.
        Content,
        /// Writes and shows the documents of search.
        Search,
        /// Tells users what happens to their contents, by WebSocket and webhook.
        Notify,
        /// Keeps content keys and hands them out.
        Licence,
        /// Carries the catalogue's outbox to the log.
        Relay,
        /// Answers the S3 protocol for the embedded object store.
        Objects,
        /// Removes what has expired: log, ledger, unfinished uploads.
        Upkeep,
    }
);

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 16] = [
        Self::Api,
        Self::Edge,
        Self::Ingest,
        Self::Copyright,
        Self::Moderate,
        Self::Orchestrate,
        Self::Transcode,
        Self::Package,
        Self::Thumbnails,
        Self::Content,
        Self::Search,
        Self::Notify,
        Self::Licence,
        Self::Relay,
        Self::Objects,
        Self::Upkeep,
    ];

    /// Returns the name, as the configuration has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Edge => "edge",
            Self::Ingest => "ingest",
            Self::Copyright => "copyright",
            Self::Moderate => "moderate",
            Self::Orchestrate => "orchestrate",
            Self::Transcode => "transcode",
            Self::Package => "package",
            Self::Thumbnails => "thumbnails",
            Self::Content => "content",
            Self::Search => "search",
            Self::Notify => "notify",
            Self::Licence => "licence",
            Self::Relay => "relay",
            Self::Objects => "objects",
            Self::Upkeep => "upkeep",
        }
    }
}

words!(
    /// How far a decoding child must be confined.
    Isolation {
        /// Every layer, or the work is refused.
        Strict,
        /// What the system offers; reports say what was missing.
        Reduced,
    }
);
words!(
    /// How samples are protected.
    Protection {
        /// AES-CBC pattern encryption: one set of files for every DRM system of today.
        Cbcs,
        /// AES-CTR: for older devices.
        Cenc,
        /// No protection.
        Clear,
    }
);
words!(
    /// When an append is safe.
    Durability {
        /// It survives the death of every process; the loss of power may take the last second.
        Process,
        /// It is on the disk when the append returns.
        Synced,
    }
);
words!(
    /// How a line of the log looks.
    Lines {
        /// For people.
        Text,
        /// One JSON object a line.
        Json,
    }
);

words!(
    /// Whether the way to a server is protected by TLS.
    Link {
        /// In the clear: for a server of this machine, or in a network that nobody else hears.
        Off,
        /// By TLS, or not at all; the table `tls` says whom we believe.
        On,
    }
);
words!(
    /// How a login is proved to Kafka.
    Proof {
        /// SASL PLAIN: with TLS alone.
        Plain,
        /// SCRAM-SHA-256.
        Sha256,
        /// SCRAM-SHA-512.
        Sha512,
    }
);
words!(
    /// What becomes of a Redis that holds no ledger.
    OnEmpty {
        /// The node does not start: nobody can tell a new Redis from one that was wiped.
        Refuse,
        /// A ledger is begun, and no work is given out until the leases of whoever worked before have run out.
        Begin,
    }
);
words!(
    /// Where a bucket's name stands in an address.
    Addressing {
        /// In the path: SeaweedFS, MinIO.
        Path,
        /// Before the host: AWS.
        Host,
    }
);

macro_rules! table {
    ($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty = $default:expr,)+ }) => {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default)]
        pub(crate) struct $name { $($(#[$attribute])* pub(crate) $field: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }
    };
}

table!(Log {
    /// Where events are kept: `sqlite:` (in `data/events.db`), `sqlite:PATH`, or `kafka://HOST:PORT,…`.
    url: String = "sqlite:".to_owned(),
    /// A file `{"user": …, "password": …}` that its owner alone may read, for Kafka; empty for none.
    login: String = String::new(),
    /// Whether the way there is protected.
    tls: Link = Link::Off,
    /// How the login is proved to Kafka.
    proof: Proof = Proof::Sha512,
    /// What begins the name of every topic, group and transaction on Kafka: for platforms that share a cluster.
    namespace: String = String::new(),
    /// Copies of each partition of topics that are made on Kafka. With three, an append waits for two.
    #[schemars(range(min = 1, max = 9))]
    replication: u32 = 1,
    /// How long the partitions and claims of a process that says nothing are kept, seconds.
    #[schemars(range(min = 1, max = 300))]
    lease_s: u32 = 15,
    /// What differs from the catalogue's declaration of a topic, by the topic's name.
    topics: BTreeMap<String, TopicTable> = BTreeMap::new(),
});

/// What differs from a topic's declaration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TopicTable {
    /// Partitions; fixed once the topic holds events.
    #[schemars(range(min = 1, max = limits::PARTITIONS_MAX))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partitions: Option<u32>,
    /// When an append is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) durability: Option<Durability>,
    /// How long events are kept, days.
    #[schemars(range(min = 1, max = 36_500))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retention_days: Option<u32>,
}

table!(Ledger {
    /// Where the idempotency ledger, sessions and heartbeats are kept: `sqlite:` (in the log's file) or `redis://HOST:PORT`.
    url: String = "sqlite:".to_owned(),
    /// A file `{"user": …, "password": …}` that its owner alone may read, for Redis; empty for none.
    login: String = String::new(),
    /// Whether the way there is protected.
    tls: Link = Link::Off,
    /// What begins every key on Redis: for platforms that share one.
    prefix: String = "mcsp".to_owned(),
    /// What becomes of a Redis that holds no ledger.
    on_empty: OnEmpty = OnEmpty::Refuse,
});
table!(Objects {
    /// Where objects are kept: `file:` (in `data/objects`), `file:PATH`, `s3://HOST:PORT`, or `s3:` for AWS.
    url: String = "file:".to_owned(),
    /// A file `{"user": …, "password": …}` that its owner alone may read, with access key and secret key for S3.
    login: String = String::new(),
    /// Whether the way there is protected.
    tls: Link = Link::Off,
    /// The region that calls to S3 are signed for.
    region: String = "us-east-1".to_owned(),
    /// The address that clients reach S3 by, such as `https://upload.example.org`; empty for that of `url`.
    public_url: String = String::new(),
    /// Where a bucket's name stands in an address of S3.
    addressing: Addressing = Addressing::Path,
    endpoint: Endpoint = Endpoint::default(),
});
table!(Endpoint {
    /// Address and port of the S3-compatible endpoint; empty for none. Where objects are kept on S3, it takes that server's
    /// notices of new objects, `POST /notices`: nobody else is to reach it.
    listen: String = "127.0.0.1:9000".to_owned(),
    /// The address that clients reach it by, such as `https://upload.example.org`; empty for `http://` and `listen`.
    public_url: String = String::new(),
    /// Origins of pages that may upload to it, such as `https://studio.example.org`, or `*`.
    cors_origins: Vec<String> = Vec::new(),
    /// The file of its access key and secret key; empty for `data/secrets/objects.json`, which is made where it is missing.
    credentials: String = String::new(),
});
table!(Catalog {
    /// Where relational state is kept: `sqlite:` (in `data/catalog.db`), `sqlite:PATH`, or `postgres://HOST:PORT/NAME`.
    url: String = "sqlite:".to_owned(),
    /// A file `{"user": …, "password": …}` that its owner alone may read, for Postgres; empty for none.
    login: String = String::new(),
    /// Whether the way there is protected.
    tls: Link = Link::Off,
});
table!(Licence {
    /// Where content keys are asked for: empty for the licence service in this process, or `unix:PATH`, the socket of another
    /// process of this machine. Not over TCP: every user of the machine could ask there for keys.
    url: String = String::new(),
    /// The socket, `unix:PATH`, on which the role `licence` answers other processes of this machine; empty for none. A relative
    /// path begins in the data folder. The socket's folder is made with mode 700, and refused where other users may enter it.
    listen: String = String::new(),
    /// Files of older master keys: what they sealed can still be opened after `data/secrets/master.key` was replaced.
    older_keys: Vec<String> = Vec::new(),
});
table!(Worker {
    /// Records of one stage that are handled side by side.
    #[schemars(range(min = 1, max = 256))]
    slots: u32 = 1,
    /// How far a decoding child must be confined.
    isolation: Isolation = Isolation::Strict,
});
table!(Retry {
    /// Runs of one record before it is given up.
    #[schemars(range(min = 1, max = 100))]
    attempts_max: u32 = limits::ATTEMPTS_MAX,
    /// The delay after a record's first failure, milliseconds; each further failure doubles it.
    #[schemars(range(min = 1, max = 60_000))]
    first_ms: u32 = 500,
    /// The longest delay, milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    longest_ms: u32 = 300_000,
});
table!(Plan {
    /// Length of a segment, milliseconds.
    #[schemars(range(min = limits::SEGMENT_MS_MIN, max = limits::SEGMENT_MS_MAX))]
    segment_ms: u32 = 6000,
    /// Length of a chunk, the unit of work and of retries, milliseconds; 0 for the ramp of about 6, 12, 24, then 60 s.
    #[schemars(range(max = limits::CHUNK_MS_MAX))]
    chunk_ms: u32 = 0,
    /// How samples are protected.
    scheme: Protection = Protection::Cbcs,
    /// The encoder's trade of time against bytes, in x264's words: `ultrafast` to `veryslow`.
    preset: String = "medium".to_owned(),
    /// A file with a ladder, as `mcsp process --ladder` takes it; empty for the built-in one.
    ladder: String = String::new(),
});
table!(Http {
    /// Address and port of the REST interface, the pages, the edge, and of `/healthz`, `/readyz` and `/metrics`; port 0 takes a
    /// free one.
    listen: String = "127.0.0.1:8090".to_owned(),
    /// The address that users reach it by, such as `https://video.example.org`; empty for `http://` and `listen`.
    public_url: String = String::new(),
    /// Requests a minute from one network address without an account; as many may come at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    anonymous_per_min: u32 = 300,
    /// Requests a minute of one account; as many may come at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    signed_in_per_min: u32 = 1200,
    /// Addresses of reverse proxies of yours, whose `X-Forwarded-For` is believed, such as `10.0.0.7`.
    proxies: Vec<String> = Vec::new(),
});
table!(Identity {
    /// The address of the administrator, whose account is made at the first start with the password in
    /// `data/secrets/admin.password`, which is made where it is missing; empty for none.
    admin_email: String = "admin@mcsp.example".to_owned(),
});
table!(Upload {
    /// The largest upload, MiB.
    #[schemars(range(min = 1, max = 5_000_000))]
    size_mib_max: u32 = 102_400,
    /// The longest upload, hours.
    #[schemars(range(min = 1, max = 48))]
    duration_h_max: u32 = 12,
    /// How long an upload may take, hours.
    #[schemars(range(min = 1, max = 168))]
    session_h: u32 = 48,
    /// Uploads that one user may have open.
    #[schemars(range(min = 1, max = 10_000))]
    open_max: u32 = 200,
    /// A file with the residency policy: which region takes whose uploads; empty where the first region takes all.
    residency: String = String::new(),
});
table!(Moderation {
    /// A file with the words that are looked for in titles and names, `{"words": {"<label>": ["<words>", …]}}`; empty for the
    /// built-in list.
    words: String = String::new(),
});
words!(
    /// Where webhooks may go.
    Reach {
        /// To public addresses, by https alone.
        Public,
        /// To this machine and to private networks as well, and by http: for trials.
        Private,
    }
);
table!(Webhooks {
    /// Where webhooks may go.
    reach: Reach = Reach::Public,
});
table!(Sagas {
    /// Where publications are driven: `journal:` (in `data/sagas.db`), `journal:PATH`, or `temporal://HOST:PORT/NAMESPACE`.
    url: String = "journal:".to_owned(),
    /// A file `{"user": …, "password": …}` that its owner alone may read, with the API key as the password, for Temporal; empty for none.
    login: String = String::new(),
    /// Whether the way there is protected.
    tls: Link = Link::Off,
});
table!(Tls {
    /// A PEM file of the authorities that are believed of every server whose `tls` is on; empty for those of the system.
    authority: String = String::new(),
    /// A PEM file of what we show to servers that ask for it, certificate and chain; empty for nothing. S3 is shown none.
    certificate: String = String::new(),
    /// The PEM file of its private key.
    key: String = String::new(),
});
table!(Telemetry {
    /// Where spans are sent, `http://HOST:PORT` of an OTLP collector over gRPC; empty for nowhere.
    otlp: String = String::new(),
    /// Which lines are logged, such as `info` or `warn,mcsp_runtime=debug`.
    log: String = "info".to_owned(),
    /// How lines of the log look.
    format: Lines = Lines::Text,
});
