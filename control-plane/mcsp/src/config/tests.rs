//! Text in, text out: a file, variables and flags against what holds or what is wrong.

use super::*;

/// A folder with an `mcsp.toml`.
struct World {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
}

impl World {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mcsp.toml"), file).unwrap();
        Self { folder, env: Vec::new(), flags: Vec::new() }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.flags.push((key, value.to_owned()));
        self
    }

    fn sources(&self) -> Sources {
        let folder = self.folder.path().to_owned();
        Sources { file: None, folder, env: self.env.clone(), flags: self.flags.clone() }
    }

    fn config(&self) -> Config {
        load(&self.sources()).unwrap()
    }

    /// Returns what is wrong, with file names cut to their last part.
    fn findings(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let lines: Vec<String> =
            check(&self.sources()).iter().map(|finding| finding.to_string().replace(&folder, "")).collect();
        lines.join("\n")
    }

    /// Returns what holds, blanks before comments cut to one.
    fn shown(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let text = show(&self.config()).replace(&folder, "");
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        lines.join("\n")
    }
}

fn findings(file: &str) -> String {
    World::new(file).findings()
}

fn env_findings(name: &str, value: &str) -> String {
    World::new("").env(name, value).findings()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = World::new("").config();
    assert_eq!(config.data, PathBuf::from("./data"));
    assert_eq!(config.roles, Role::ALL);
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.log.engine, LogEngine::Sqlite("./data/events.db".into()));
    assert_eq!(config.log.lease, Duration::from_secs(15));
    assert_eq!(config.ledger, LedgerEngine::Sqlite("./data/events.db".into()));
    assert_eq!(config.objects, ObjectsEngine::Files("./data/objects".into()));
    assert_eq!(config.catalog, CatalogEngine::Sqlite("./data/catalog.db".into()));
    assert_eq!((&config.licence, &config.licence_listen), (&LicenceEngine::InProcess, &None));
    assert!(config.licence_older_keys.is_empty());
    assert_eq!(config.placement, BTreeMap::from([("local".to_owned(), Bucket::parse("mcsp-local").unwrap())]));
    assert_eq!(config.worker, Worker { slots: 1, isolation: Isolation::Strict });
    let (first, longest) = (Duration::from_millis(500), Duration::from_secs(300));
    assert_eq!(config.retry, Retry { attempts_max: 8, first, longest });
    let plan = PlanPolicy {
        segment_ms: 6000,
        scheme: Some(Scheme::Cbcs),
        preset: Preset::Medium,
        ladder: None,
        chunk_ms: None,
    };
    assert_eq!(config.plan, plan);
    assert_eq!(config.http, "127.0.0.1:8090".parse().unwrap());
    let telemetry = Telemetry { otlp: None, filter: "info".to_owned(), format: telemetry::Format::Text };
    assert_eq!(config.telemetry, telemetry);
    let endpoint = config.endpoint.unwrap();
    assert_eq!(endpoint.listen, "127.0.0.1:9000".parse().unwrap());
    assert_eq!((endpoint.public_url, endpoint.cors_origins.len()), (None, 0));
    assert_eq!(endpoint.credentials, PathBuf::from("./data/secrets/objects.json"));
}

#[test]
fn the_stronger_source_wins() {
    let file = "drain_s = 1\n[worker]\nslots = 2\n[http]\nlisten = '127.0.0.1:1'";
    let world = World::new(file)
        .env("MCSP__WORKER__SLOTS", "3")
        .env("MCSP__HTTP__LISTEN", "127.0.0.1:2")
        .flag("http.listen", "127.0.0.1:3");
    let config = world.config();
    assert_eq!(config.drain, Duration::from_secs(1));
    assert_eq!(config.worker.slots, 3);
    assert_eq!(config.http, "127.0.0.1:3".parse().unwrap());
}

#[test]
fn variables_of_others_are_left_alone() {
    for name in ["MCSP_LOG", "MCSP_BIN", "PATH", "mcsp__worker__slots"] {
        assert_eq!(env_findings(name, "nonsense"), "");
    }
}

#[test]
fn a_list_in_the_environment_has_commas() {
    let world = World::new("").env("MCSP__ROLES", "transcode, orchestrate,transcode");
    assert_eq!(world.config().roles, [Role::Orchestrate, Role::Transcode]);
    let origins =
        World::new("").env("MCSP__OBJECTS__ENDPOINT__CORS_ORIGINS", "https://a.example,http://localhost:3000");
    assert_eq!(origins.config().endpoint.unwrap().cors_origins, ["https://a.example", "http://localhost:3000"]);
}

#[test]
fn proxies_are_addresses() {
    let world = World::new("[http]\nproxies = ['10.0.0.7', '::1']\nsigned_in_per_min = 9");
    let desk = world.config().desk;
    assert_eq!(desk.proxies, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((desk.anonymous_per_min, desk.signed_in_per_min), (300, 9));
    assert_eq!(
        findings("[http]\nproxies = ['proxy.example']"),
        "mcsp.toml: [http] proxies = \"proxy.example\": an address such as 10.0.0.7 wanted"
    );
}

#[test]
fn unknown_keys_are_named_with_what_was_meant() {
    assert_eq!(findings("[log]\nurll = 'sqlite:'"), "mcsp.toml: unknown key log.urll, did you mean log.url?");
    assert_eq!(findings("[wroker]\nslots = 1"), "mcsp.toml: unknown key wroker, did you mean worker?");
    assert_eq!(findings("colour = 1"), "mcsp.toml: unknown key colour");
    assert_eq!(
        findings("[objects.endpoint]\nlisen = ''"),
        "mcsp.toml: unknown key objects.endpoint.lisen, did you mean objects.endpoint.listen?"
    );
    assert_eq!(
        findings("[log.topics.'media.published']\npartition = 2"),
        "mcsp.toml: unknown key log.topics.\"media.published\".partition, did you mean log.topics.\"media.published\".partitions?"
    );
    assert_eq!(
        env_findings("MCSP__LOG__URLS", "sqlite:"),
        "environment: unknown key MCSP__LOG__URLS, did you mean MCSP__LOG__URL?"
    );
    assert_eq!(
        env_findings("MCSP__LOG_URL", "x"),
        "environment: unknown key MCSP__LOG_URL, did you mean MCSP__LOG__URL?"
    );
    assert_eq!(env_findings("MCSP__COLOUR", "x"), "environment: unknown key MCSP__COLOUR");
    assert_eq!(env_findings("MCSP__LOG", "x"), "environment: MCSP__LOG = \"x\": it is a table");
}

#[test]
fn values_outside_their_range_are_named() {
    assert_eq!(findings("[worker]\nslots = 0"), "mcsp.toml: [worker] slots = 0: 1 to 256 allowed");
    assert_eq!(findings("drain_s = -1"), "mcsp.toml: drain_s = -1: 1 to 3600 allowed");
    assert_eq!(findings("drain_s = 1.5"), "mcsp.toml: drain_s = 1.5: 1 to 3600 allowed");
    assert_eq!(findings("[plan]\nsegment_ms = 61000"), "mcsp.toml: [plan] segment_ms = 61000: 500 to 60000 allowed");
    assert_eq!(env_findings("MCSP__WORKER__SLOTS", "257"), "environment: MCSP__WORKER__SLOTS = 257: 1 to 256 allowed");
    assert_eq!(
        env_findings("MCSP__WORKER__SLOTS", "two"),
        "environment: MCSP__WORKER__SLOTS = \"two\": 1 to 256 allowed"
    );
    assert_eq!(
        findings("[log.topics.'media.published']\npartitions = 1025"),
        "mcsp.toml: [log.topics.\"media.published\"] partitions = 1025: 1 to 1024 allowed"
    );
    assert_eq!(
        findings("[retry]\nfirst_ms = 2000\nlongest_ms = 1000"),
        "mcsp.toml: [retry] first_ms = 2000: at most retry.longest_ms, which is 1000"
    );
}

#[test]
fn chunks_are_no_shorter_than_segments() {
    let config = World::new("[plan]\nsegment_ms = 4000\nchunk_ms = 8000").config();
    assert_eq!(config.plan.chunk_ms, Some(8000));
    let text = findings("[plan]\nsegment_ms = 4000\nchunk_ms = 2000");
    assert!(text.starts_with("mcsp.toml: [plan] chunk_ms = 2000: "), "{text}");
}

#[test]
fn values_of_another_kind_are_named() {
    assert_eq!(findings("data = 3"), "mcsp.toml: data = 3: text is wanted");
    assert_eq!(findings("log = 'sqlite:'"), "mcsp.toml: log = \"sqlite:\": a table is wanted");
    assert_eq!(
        findings("[worker]\nisolation = 'none'"),
        "mcsp.toml: [worker] isolation = \"none\": strict or reduced allowed"
    );
    assert_eq!(
        findings("roles = ['transcode', 'dash']"),
        "mcsp.toml: roles = [\"transcode\", \"dash\"]: a list of api, edge, ingest, copyright, moderate, orchestrate, transcode, package, thumbnails, content, search, notify, licence, relay, objects or upkeep allowed"
    );
    assert_eq!(findings("roles = 'package'").lines().count(), 1);
    assert_eq!(findings("roles = []"), "mcsp.toml: roles = []: at least one role is wanted");
    assert_eq!(
        findings("[plan]\npreset = 'fastest'"),
        "mcsp.toml: [plan] preset = \"fastest\": one of ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow wanted"
    );
}

#[test]
fn every_finding_is_told_at_once() {
    let text = findings("data = ''\n[plan]\npreset = 'x'\nladder = 'gone.json'\n[http]\nlisten = 'here'");
    assert_eq!(
        text,
        "mcsp.toml: data = \"\": a folder is wanted\n\
         mcsp.toml: [plan] preset = \"x\": one of ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow wanted\n\
         mcsp.toml: [plan] ladder = \"gone.json\": there is no such file\n\
         mcsp.toml: [http] listen = \"here\": an address and port such as 127.0.0.1:8090 wanted"
    );
}

#[test]
fn urls_pick_engines() {
    let log = |url: &str| World::new("").env("MCSP__LOG__URL", url).config().log.engine;
    assert_eq!(log("sqlite:"), LogEngine::Sqlite("./data/events.db".into()));
    assert_eq!(log("sqlite:x/e.db"), LogEngine::Sqlite("x/e.db".into()));
    assert_eq!(log("sqlite:///var/e.db"), LogEngine::Sqlite("/var/e.db".into()));
    let world = World::new("data = '/srv'\n[log]\nurl = 'sqlite:/fast/e.db'\n[licence]\nurl = 'unix:keys/socket'");
    assert_eq!(world.config().ledger, LedgerEngine::Sqlite("/fast/e.db".into()), "the ledger lies in the log's file");
    assert_eq!(world.config().objects, ObjectsEngine::Files("/srv/objects".into()));
    assert_eq!(world.config().licence, LicenceEngine::Unix("/srv/keys/socket".into()));
}

#[test]
fn other_schemes_are_named() {
    for (table, rule) in [
        ("log", "sqlite: or kafka:// wanted"),
        ("ledger", "sqlite: or redis:// wanted"),
        ("objects", "file: or s3:// wanted"),
        ("catalog", "sqlite: or postgres:// wanted"),
        ("licence", "unix:PATH wanted"),
    ] {
        let text = findings(&format!("[{table}]\nurl = 'ftp://host'"));
        assert_eq!(text, format!("mcsp.toml: [{table}] url = \"ftp://host\": {rule}"));
    }
    assert!(findings("[log]\nurl = 'kafka://'").contains("it names no host"));
}

#[test]
fn servers_are_asked_with_what_stands_beside_their_urls() {
    let folder = tempfile::tempdir().unwrap();
    let login = folder.path().join("login.json");
    std::fs::write(&login, "{}").unwrap();
    let login = login.display();
    let world = World::new(&format!(
        "[log]\nurl = 'kafka://a:9092,b:9092'\nlogin = '{login}'\ntls = 'on'\nproof = 'plain'\nreplication = 3
        [ledger]\nurl = 'redis://r:6379/2'\non_empty = 'begin'
        [objects]\nurl = 's3:'\nlogin = '{login}'\naddressing = 'host'
        [catalog]\nurl = 'postgres://mcsp@db/catalog'
        [sagas]\nurl = 'temporal://t:7233/mcsp'
        [tls]\nauthority = '{login}'"
    ));
    let config = world.config();
    let LogEngine::Kafka(kafka) = &config.log.engine else { panic!("{:?}", config.log.engine) };
    assert_eq!((kafka.server.hosts.as_str(), kafka.replication, kafka.proof), ("a:9092,b:9092", 3, Proof::Plain));
    assert!(kafka.server.login.is_some() && kafka.server.tls.as_ref().unwrap().authority.is_some());
    let LedgerEngine::Redis(redis) = &config.ledger else { panic!("{:?}", config.ledger) };
    assert_eq!((redis.server.path.as_str(), redis.on_empty, &redis.server.tls), ("2", OnEmpty::Begin, &None));
    let ObjectsEngine::S3(s3) = &config.objects else { panic!("{:?}", config.objects) };
    assert_eq!((s3.endpoint(), s3.addressing), (None, Addressing::Host));
    assert!(matches!(&config.catalog, CatalogEngine::Postgres(server) if server.user == "mcsp"));
    assert!(matches!(&config.desk.sagas, SagasEngine::Temporal(server) if server.path == "mcsp"));
}

#[test]
fn what_a_server_needs_is_asked_for() {
    assert!(
        findings("[objects]\nurl = 's3://h:1'").contains("a file with the access key and the secret key is wanted")
    );
    assert!(findings("[catalog]\nurl = 'postgres://db'").contains("it names no database"));
    assert!(findings("[sagas]\nurl = 'temporal://t:7233'").contains("it names no namespace"));
    assert!(findings("[log]\nlogin = '/nowhere'").contains("there is no such file"));
    assert!(findings("[tls]\nkey = '/dev/null'").contains("belong together"));
}

#[test]
fn log_and_ledger_are_one_engine() {
    let mixed = findings("[ledger]\nurl = 'redis://r:6379'");
    assert!(mixed.contains("log and ledger are both embedded or both not, log.url is \"sqlite:\""), "{mixed}");
    let mixed = findings("[log]\nurl = 'kafka://k:9092'");
    assert!(mixed.contains("log and ledger are both embedded or both not, log.url is \"kafka://k:9092\""), "{mixed}");
    assert_eq!(
        findings("[ledger]\nurl = 'sqlite:other.db'"),
        "mcsp.toml: [ledger] url = \"sqlite:other.db\": embedded, it lies in the log's file ./data/events.db"
    );
    assert_eq!(findings("[log]\nurl = 'sqlite:a.db'\n[ledger]\nurl = 'sqlite:a.db'"), "");
    let rule = "it is the log's file, and must be one of its own";
    let text = findings("[log]\nurl = 'sqlite:a.db'\n[catalog]\nurl = 'sqlite:a.db'");
    assert_eq!(text, format!("mcsp.toml: [catalog] url = \"sqlite:a.db\": {rule}"));
}

#[test]
fn passwords_stand_in_the_environment_and_are_never_shown() {
    let text = findings("[catalog]\nurl = 'postgres://mcsp:hunter2@db/mcsp'");
    assert_eq!(
        text,
        "mcsp.toml: [catalog] url = \"postgres://mcsp:***@db/mcsp\": a password stands in MCSP__CATALOG__URL alone"
    );
    let text = World::new("").flag("catalog.url", "postgres://mcsp:hunter2@db/mcsp").findings();
    assert!(text.starts_with("flag: [catalog] url") && !text.contains("hunter2"), "{text}");
    let text = env_findings("MCSP__CATALOG__URL", "postgres://mcsp:hunter2@db/mcsp");
    assert_eq!(text, "");
}

#[test]
fn topics_differ_from_their_declaration_where_it_is_said() {
    let file = "[log.topics]\n'media.published' = { partitions = 2, retention_days = 7 }\n'user.engagement.events'.durability = 'synced'";
    let topics = World::new(file).config().log.topics;
    assert_eq!(topics.len(), Topic::ALL.len());
    let published = TopicOptions { partitions: 2, durability: Durability::Synced, retention_days: 7 };
    assert_eq!(topics[&Topic::Published], published);
    assert_eq!(topics[&Topic::UserEngagement].durability, Durability::Synced);
    assert_eq!(topics[&Topic::TranscodeRequestedBulk].partitions, Topic::TranscodeRequestedBulk.spec().partitions);
    assert_eq!(
        findings("[log.topics.'media.publishd']\npartitions = 2"),
        "mcsp.toml: log.topics: unknown topic media.publishd, did you mean media.published?"
    );
    assert_eq!(
        findings("[log.topics.'payment.processed']\ndurability = 'process'"),
        "mcsp.toml: [log.topics.\"payment.processed\"] durability = \"process\": a topic that is written in transactions is synced"
    );
}

#[test]
fn regions_have_a_bucket_each() {
    let placement = World::new("[placement]\neu = 'media-eu'\nus = 'media-us'").config().placement;
    let named: Vec<(&str, &str)> =
        placement.iter().map(|(region, bucket)| (region.as_str(), bucket.as_str())).collect();
    assert_eq!(named, [("eu", "media-eu"), ("us", "media-us")], "the region local is no longer there");
    assert_eq!(
        findings("[placement]\neu = 'Media'"),
        "mcsp.toml: [placement] eu = \"Media\": bucket \"Media\" is not 3 to 63 of a-z, 0-9 and inner dashes"
    );
    assert_eq!(
        findings("[placement]\neu = 'media'\nus = 'media'"),
        "mcsp.toml: [placement] us = \"media\": region eu has this bucket already"
    );
}

#[test]
fn the_endpoint_can_be_off_and_has_web_origins() {
    assert_eq!(World::new("[objects.endpoint]\nlisten = ''").config().endpoint, None);
    let file = "[objects.endpoint]\npublic_url = 'https://up.example.org/'\ncors_origins = ['*']\ncredentials = '/etc/mcsp/s3.json'";
    let endpoint = World::new(file).config().endpoint.unwrap();
    assert_eq!(endpoint.public_url.as_deref(), Some("https://up.example.org"));
    assert_eq!(endpoint.credentials, PathBuf::from("/etc/mcsp/s3.json"));
    for origin in ["example.org", "https://", "https://a/b", "ftp://a"] {
        let text = findings(&format!("[objects.endpoint]\ncors_origins = ['{origin}']"));
        let rule = "* or an origin such as https://example.org wanted";
        assert_eq!(text, format!("mcsp.toml: [objects.endpoint] cors_origins = {origin:?}: {rule}"));
    }
}

#[test]
fn keys_are_handed_out_in_this_process_or_over_a_socket() {
    let config = World::new("[licence]\nlisten = 'unix:keys/socket'").config();
    assert_eq!(config.licence_listen, Some(PathBuf::from("./data/keys/socket")));
    for key in ["url", "listen"] {
        for address in ["http://127.0.0.1:9001", "127.0.0.1:9001", "unix:"] {
            let text = findings(&format!("[licence]\n{key} = '{address}'"));
            assert_eq!(text, format!("mcsp.toml: [licence] {key} = \"{address}\": unix:PATH wanted"));
        }
    }
    let keys = tempfile::NamedTempFile::new().unwrap();
    let path = keys.path().to_str().unwrap();
    let config = World::new(&format!("[licence]\nolder_keys = ['{path}']")).config();
    assert_eq!(config.licence_older_keys, [keys.path()]);
    assert_eq!(
        findings("[licence]\nolder_keys = ['gone.key', '']").lines().collect::<Vec<_>>(),
        ["gone.key", ""].map(|file| format!("mcsp.toml: [licence] older_keys = {file:?}: there is no such file"))
    );
}

#[test]
fn a_role_that_somebody_named_has_something_to_do() {
    let config = World::new("[objects.endpoint]\nlisten = ''").config();
    let idle: Vec<Role> = Role::ALL.into_iter().filter(|role| !config.has_work(*role)).collect();
    assert_eq!(idle, [Role::Licence, Role::Objects], "by default, they are left out");
    let config = World::new("roles = ['licence', 'objects']\n[licence]\nlisten = 'unix:keys/socket'").config();
    assert!(config.roles.iter().all(|role| config.has_work(*role)));
    assert_eq!(
        findings("roles = ['upkeep', 'objects']\n[objects.endpoint]\nlisten = ''"),
        "mcsp.toml: roles = [\"upkeep\", \"objects\"]: the role objects has nothing to do without objects.endpoint.listen"
    );
    assert_eq!(
        World::new("").flag("roles", "licence").findings(),
        "flag: roles = [\"licence\"]: the role licence has nothing to do without licence.listen"
    );
}

#[test]
fn telemetry_is_checked() {
    let config =
        World::new("[telemetry]\notlp = 'http://collector:4317'\nlog = 'warn,mcsp=debug'\nformat = 'json'").config();
    assert_eq!(config.telemetry.otlp.as_deref(), Some("http://collector:4317"));
    assert_eq!(config.telemetry.format, telemetry::Format::Json);
    assert_eq!(
        findings("[telemetry]\nlog = 'mcsp=loud'"),
        "mcsp.toml: [telemetry] log = \"mcsp=loud\": log filter \"mcsp=loud\" cannot be read"
    );
    assert!(findings("[telemetry]\notlp = 'collector:4317'").ends_with("http://HOST:PORT wanted"));
}

#[test]
fn the_file_is_found_and_named() {
    let world = World::new("drain_s = 1");
    std::fs::create_dir_all(world.folder.path().join("data")).unwrap();
    std::fs::write(world.folder.path().join("data/mcsp.toml"), "drain_s = 2").unwrap();
    assert_eq!(world.config().drain, Duration::from_secs(2), "the data folder's file goes first");
    let elsewhere = World::new("drain_s = 1").env("MCSP__DATA", "other");
    assert_eq!(elsewhere.config().drain, Duration::from_secs(1));
    std::fs::create_dir_all(elsewhere.folder.path().join("other")).unwrap();
    std::fs::write(elsewhere.folder.path().join("other/mcsp.toml"), "drain_s = 3").unwrap();
    assert_eq!(elsewhere.config().drain, Duration::from_secs(3), "the data folder that the environment names");
    let sources = Sources { file: Some("gone.toml".into()), ..world.sources() };
    assert!(load(&sources).err().unwrap().to_string().contains("gone.toml: No such file"));
    let text = findings("drain_s = 1\nx");
    assert!(text.starts_with("mcsp.toml: TOML parse error at line 2, column"), "{text}");
}

#[test]
fn what_holds_is_shown_with_where_it_came_from() {
    let world = World::new("[worker]\nslots = 2\n[log.topics.'media.published']\npartitions = 3")
        .env("MCSP__TELEMETRY__FORMAT", "json")
        .flag("data", "/srv");
    let text = world.shown();
    for line in [
        "data = \"/srv\" # flag",
        "drain_s = 30 # default",
        "[log]\nlease_s = 15 # default\nlogin = \"\" # default",
        "[log.topics.\"media.published\"]\npartitions = 3 # mcsp.toml",
        "[placement]\nlocal = \"mcsp-local\" # default",
        "format = \"json\" # MCSP__TELEMETRY__FORMAT",
        "slots = 2 # mcsp.toml",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    let again = World::new(&show(&world.config()));
    assert_eq!(again.config().settings.worker, world.config().settings.worker);
    assert_eq!(again.config().settings.log, world.config().settings.log);
    assert_eq!(again.config().data, world.config().data);
}

#[test]
fn every_key_is_in_the_reference() {
    let page = reference::reference();
    for line in [
        "| `drain_s` | integer, 1 to 3600 | `30` | `MCSP__DRAIN_S` |",
        "## `[log.topics.<topic>]`\n",
        "| `partitions` | integer, 1 to 1024 |  |  | Partitions; fixed once the topic holds events. |",
        "- `transcode`: Transcodes chunks that somebody waits for",
        "| `<region>` | text |  |  | The bucket of a region",
        "| `isolation` | a word | `\"strict\"` | `MCSP__WORKER__ISOLATION` |",
    ] {
        assert!(page.contains(line), "{line}\nis not in\n{page}");
    }
}

#[test]
fn the_command_line_is_sound() {
    use clap::{Args, Parser};
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: command::ConfigArgs,
    }
    command::ConfigArgs::augment_args(clap::Command::new("config")).debug_assert();
    let world = World::new("[worker]\nslots = 0");
    let file = world.folder.path().join("mcsp.toml");
    let run = |words: &[&str]| {
        let words = [&["config"], words].concat();
        command::run(&Line::try_parse_from(words).unwrap().config)
    };
    let error = run(&["check", "--config", file.to_str().unwrap()]).unwrap_err().to_string();
    assert!(error.starts_with("1 findings\n") && error.ends_with("[worker] slots = 0: 1 to 256 allowed"), "{error}");
    assert!(run(&["reference"]).unwrap().starts_with("# Configuration\n"));
}
