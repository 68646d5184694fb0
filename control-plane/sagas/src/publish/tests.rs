//! The table as text, the saga's rehearsals, and random walks through both.

use std::sync::Mutex;

use mcsp_domain::{Bucket, EventId, Placement, RenditionKind, RenditionName, Tier};
use mcsp_events::{BlockReason, ClearedBy, Lane, SourceObject};
use mcsp_runtime::saga::testing::{Rehearsal, repeats_every_step, unwinds_from_every_step};
use mcsp_runtime::saga::{self, Journal, Next, next, status};
use proptest::prelude::*;

use super::*;

fn content() -> ContentId {
    ContentId::from_bytes([7; 16])
}

fn plan() -> PlanId {
    PlanId::from_bytes([9; 16])
}

const VARIANTS: u16 = 3;

fn asset(revision: u32) -> Asset {
    let placement = Placement { region: "eu".into(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot };
    Asset { content: content(), revision: Revision::new(revision).unwrap(), placement }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

/// A fact that owns its event, written as `completed 1`, `refused` or `cleared r2`.
enum Told {
    Cleared(CopyrightCleared),
    Completed(TranscodingCompleted),
    Packaged(DrmPackaged),
    Decided(ModerationDecided),
    Failed(StageFailed),
    Blocked(UploadBlocked),
    Deleted(Revision),
}

impl Told {
    fn fact(&self) -> Fact<'_> {
        match self {
            Self::Cleared(event) => Fact::Cleared(event),
            Self::Completed(event) => Fact::Completed(event),
            Self::Packaged(event) => Fact::Packaged(event),
            Self::Decided(event) => Fact::Decided(event),
            Self::Failed(event) => Fact::Failed(event),
            Self::Blocked(event) => Fact::Blocked(event),
            Self::Deleted(revision) => Fact::Deleted(content(), *revision),
        }
    }
}

fn tell(text: &str) -> Told {
    let (text, revision) = text.split_once(" r").map_or((text, 1), |(text, number)| (text, number.parse().unwrap()));
    let (verb, number) = text.split_once(' ').map_or((text, 0), |(verb, number)| (verb, number.parse().unwrap()));
    let (asset, owner) = (asset(revision), UserId::from_bytes([3; 16]));
    match verb {
        "cleared" => {
            let source = SourceObject { key: key("sources/film.mp4"), etag: "e".into(), len_bytes: 1 };
            Told::Cleared(CopyrightCleared {
                asset,
                owner,
                source,
                cleared_by: ClearedBy::Scanner,
                lane: Lane::Interactive,
            })
        }
        "completed" => Told::Completed(TranscodingCompleted {
            asset,
            plan: plan(),
            variant: number,
            variant_count: VARIANTS,
            rendition: RenditionName::parse("720p").unwrap(),
            kind: RenditionKind::Video,
            chunks: 4,
        }),
        "packaged" => Told::Packaged(DrmPackaged {
            asset,
            // Packages of other plans come too, and are not what is waited for.
            plan: if number == 0 { plan() } else { PlanId::from_bytes([8; 16]) },
            folder: key("packages/film"),
            hls: key("packages/film/main.m3u8"),
            dash: key("packages/film/main.mpd"),
            scheme: None,
            kids: Vec::new(),
            bytes: 1,
            duration_ms: 1,
        }),
        "approved" | "refused" => Told::Decided(ModerationDecided {
            asset,
            approved: verb == "approved",
            decided_by: "classifier".into(),
            reason: "violence".into(),
        }),
        "failed" | "unawaited" => Told::Failed(StageFailed {
            content: content().to_string(),
            revision: Some(asset.revision),
            stage: "transcode".into(),
            group: if verb == "failed" { "transcoder" } else { "thumbnail-generator" }.into(),
            topic: "media.transcode.requested.bulk".into(),
            event: EventId::from_bytes([1; 16]),
            attempts: 8,
            rejected: false,
            error: "source is damaged".into(),
        }),
        "blocked" => {
            let (reason, detail) = (BlockReason::Malware, "a virus was found".into());
            Told::Blocked(UploadBlocked { asset, owner, reason, detail, ranges: Vec::new() })
        }
        "deleted" => Told::Deleted(asset.revision),
        other => panic!("no such fact: {other}"),
    }
}

const STATES: [SagaState; 5] =
    [SagaState::NotStarted, SagaState::Running, SagaState::Undoing, SagaState::Completed, SagaState::RolledBack];

/// Returns the table's row of a fact, as the file's head has it.
fn row(text: &str) -> String {
    let told = tell(text);
    let cell = |state| match react(&told.fact(), Revision::FIRST, state) {
        Action::Start { .. } => "start",
        Action::Signal { signal, .. } => signal,
        Action::Cancel { .. } => "cancel",
        Action::Ignore => "ignore",
    };
    STATES.map(cell).join(" ")
}

#[test]
fn the_table_is_what_its_doc_says() {
    assert_eq!(row("cleared"), "start ignore ignore ignore ignore");
    assert_eq!(row("completed 0"), "completed completed ignore ignore ignore");
    assert_eq!(row("packaged"), "packaged packaged ignore ignore ignore");
    assert_eq!(row("approved"), "decided decided ignore ignore ignore");
    for cancels in ["refused", "failed", "blocked", "deleted"] {
        assert_eq!(row(cancels), "cancel cancel ignore ignore ignore", "{cancels}");
    }
    assert_eq!(row("unawaited"), "ignore ignore ignore ignore ignore");
    for fact in ["cleared", "completed 0", "packaged", "approved", "refused", "failed", "blocked", "deleted"] {
        assert_eq!(row(&format!("{fact} r2")), "ignore ignore ignore ignore ignore", "{fact} of another revision");
    }
}

#[test]
fn reasons_are_words_for_operators() {
    let reason = |text: &str| match react(&tell(text).fact(), Revision::FIRST, SagaState::Running) {
        Action::Cancel { id, reason } => format!("{id} {reason}"),
        other => panic!("{other:?}"),
    };
    let id = "07070707-0707-0707-0707-070707070707:1";
    assert_eq!(reason("refused"), format!("{id} moderation refused: violence"));
    assert_eq!(reason("failed"), format!("{id} stage transcode gave up: source is damaged"));
    assert_eq!(reason("blocked"), format!("{id} upload blocked: a virus was found"));
    assert_eq!(reason("deleted"), format!("{id} content deleted"));
}

#[test]
fn only_awaited_work_ends_a_publication() {
    let failed = |group: &str, topic: &str, revision: Option<Revision>| {
        let Told::Failed(event) = tell("failed") else { unreachable!("a failure") };
        let event = StageFailed { group: group.into(), topic: topic.into(), revision, ..event };
        react(&Fact::Failed(&event), Revision::FIRST, SagaState::Running) != Action::Ignore
    };
    let first = Some(Revision::FIRST);
    assert!(failed("drm-packager", "media.transcoding.completed", first));
    assert!(!failed("drm-packager", "media.chunk.transcoded", first), "early playback");
    assert!(!failed("copyright-scanner", "media.transcoding.completed", first));
    assert!(!failed("transcoder", "media.transcode.requested.bulk", None), "it does not say which revision");
}

/// What the effects and the stages have made.
#[derive(Clone, Default)]
struct World {
    things: Arc<Mutex<BTreeSet<&'static str>>>,
    /// Effects that fail, by their place in the row of all.
    fails: Arc<Mutex<Vec<StageError>>>,
}

impl World {
    fn perform(&self) -> Perform {
        let world = self.clone();
        Arc::new(move |effect, _, _| {
            let mut things = world.things.lock().unwrap();
            match effect {
                Effect::PutCancelMark => things.insert("cancel mark"),
                Effect::DeleteRenditions => things.remove("renditions"),
                Effect::RevokeKeys => things.remove("keys"),
                Effect::DeletePackages => things.remove("packages"),
                Effect::IndexHidden => things.insert("document"),
                Effect::DropDocument => things.remove("document"),
                Effect::StoreDispatch => things.insert("dispatch"),
                Effect::DropDispatch => things.remove("dispatch"),
                Effect::Publish => things.insert("published"),
                Effect::Unpublish => things.remove("published"),
            };
            let failure = world.fails.lock().unwrap().pop();
            Box::pin(std::future::ready(failure.map_or(Ok(()), Err)))
        })
    }

    fn put(&self, things: &[&'static str]) {
        self.things.lock().unwrap().extend(things);
    }

    /// Describes what is there. The cancel mark stays: it is what keeps late workers from writing.
    fn things(&self) -> String {
        let things = self.things.lock().unwrap();
        things.iter().filter(|thing| **thing != "cancel mark").copied().collect::<Vec<_>>().join(" ")
    }
}

fn input() -> Value {
    let Action::Start { input, .. } = react(&tell("cleared").fact(), Revision::FIRST, SagaState::NotStarted) else {
        panic!("cleared rights start")
    };
    serde_json::to_value(input).unwrap()
}

fn rehearsal() -> Rehearsal {
    let world = World::default();
    let mut signals = Vec::new();
    for text in ["completed 0", "completed 1", "completed 2", "packaged", "approved"] {
        let Action::Signal { signal, payload, .. } = react(&tell(text).fact(), Revision::FIRST, SagaState::Running)
        else {
            panic!("{text} is a signal")
        };
        signals.push((signal, payload));
    }
    let definition = definition(&world.perform());
    Rehearsal { definition, input: input(), signals, probe: Box::new(move || world.things()) }
}

#[tokio::test]
async fn leaves_nothing_behind_and_bears_repetition() {
    unwinds_from_every_step(rehearsal).await;
    repeats_every_step(rehearsal).await;
}

/// A film on its way, with an engine in memory.
struct Walk {
    world: World,
    definitions: Vec<SagaDefinition>,
    journal: Journal,
    now_us: i64,
}

impl Walk {
    fn begin(fails: Vec<StageError>) -> Self {
        let world = World { fails: Arc::new(Mutex::new(fails)), ..World::default() };
        let definitions = vec![definition(&world.perform())];
        Self { world, definitions, journal: Journal::default(), now_us: 0 }
    }

    /// Does what the content service does with a fact; before that, the stage that tells it has left its work behind.
    fn hear(&mut self, text: &str) {
        let told = tell(text);
        if text.ends_with("r2") {
            // Another revision's work lies in folders of its own.
        } else if text.starts_with("completed") {
            self.leave(&["renditions"]);
        } else if text.starts_with("packaged") {
            self.leave(&["keys", "packages"]);
        }
        let state = status("walk", &self.definitions, &self.journal, self.now_us).state;
        let fact = match react(&told.fact(), Revision::FIRST, state) {
            Action::Start { input, .. } => {
                let state = serde_json::to_value(input).unwrap();
                saga::Fact::Started { definition: NAME.into(), version: 1, state }
            }
            Action::Signal { signal, payload, .. } => saga::Fact::Signalled { signal: signal.into(), payload },
            Action::Cancel { reason, .. } => saga::Fact::Cancelled { reason },
            Action::Ignore => return,
        };
        self.journal.push(self.now_us, fact);
    }

    /// Workers write nothing more once the cancel mark is there.
    fn leave(&self, things: &[&'static str]) {
        if !self.world.things.lock().unwrap().contains("cancel mark") {
            self.world.put(things);
        }
    }

    /// Goes one step. Returns false where there is none to go without news.
    fn step(&mut self) -> bool {
        let steps = &self.definitions[0].steps;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let state = saga::state(steps, &self.journal);
        let fact = match next(steps, &self.journal, self.now_us) {
            Next::Run(index) => {
                let (step, attempt) = (&steps[index], self.journal.runs(steps[index].name()) + 1);
                self.journal.push(self.now_us, saga::Fact::Began { step: step.name().into(), attempt });
                runtime.block_on(step.act(state, step.context("walk", attempt, self.now_us)))
            }
            Next::Undo(index) => {
                let attempt = self.journal.failed_undos(steps[index].name()) + 1;
                runtime.block_on(steps[index].revert(state, steps[index].undo_context("walk", attempt, self.now_us)))
            }
            Next::Expire(index) => saga::Fact::TimedOut { step: steps[index].name().into() },
            Next::NotStarted | Next::Wait { .. } | Next::Completed | Next::RolledBack { .. } => return false,
        };
        self.journal.push(self.now_us, fact);
        true
    }

    fn finish(&mut self) -> Next {
        for _ in 0..1000 {
            if self.step() {
                continue;
            }
            match next(&self.definitions[0].steps, &self.journal, self.now_us) {
                Next::Wait { deadline_us, .. } => self.now_us = deadline_us,
                end => return end,
            }
        }
        panic!("the saga goes in circles: {:?}", self.journal);
    }
}

fn any_fact() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("cleared".to_owned()),
        9 => (0..VARIANTS).prop_map(|variant| format!("completed {variant}")),
        3 => Just("packaged".to_owned()),
        1 => Just("packaged 1".to_owned()),
        3 => Just("approved".to_owned()),
        1 => prop::sample::select(vec!["refused", "failed", "blocked", "deleted", "unawaited"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["cleared r2", "completed 0 r2", "packaged r2", "approved r2", "deleted r2"])
            .prop_map(str::to_owned),
    ]
}

fn any_failure() -> impl Strategy<Value = StageError> {
    any::<bool>().prop_map(|retry| match retry {
        true => StageError::Retry("busy".into(), None),
        false => StageError::refuse("refused"),
    })
}

/// A film whose every fact comes, somewhere among others.
fn whole_film() -> impl Strategy<Value = Vec<String>> {
    let needed = ["cleared", "completed 0", "completed 1", "completed 2", "packaged", "approved"].map(str::to_owned);
    let repeats = prop::collection::vec(prop::sample::select(needed.to_vec()), 0..8);
    repeats.prop_map(move |repeats| [needed.to_vec(), repeats].concat()).prop_shuffle()
}

proptest! {
    /// Facts in any order, repeated, missing, of other revisions, with steps between them and effects that fail: each run
    /// ends, published or undone, with a reason, and what is undone has left nothing behind.
    #[test]
    fn every_run_ends(
        facts in prop::collection::vec((any_fact(), 0..4usize), 0..30),
        mut fails in prop::collection::vec(prop::option::weighted(0.2, any_failure()), 0..12),
    ) {
        let mut walk = Walk::begin(fails.drain(..).flatten().collect());
        for (fact, steps) in &facts {
            walk.hear(fact);
            (0..*steps).take_while(|_| walk.step()).count();
        }
        let cleared = facts.iter().any(|(fact, _)| fact == "cleared");
        match walk.finish() {
            Next::NotStarted => prop_assert!(!cleared, "rights were cleared and nothing was started"),
            Next::Completed => {
                prop_assert_eq!(walk.world.things(), "dispatch document keys packages published renditions");
                let publication: Publication =
                    serde_json::from_value(saga::state(&walk.definitions[0].steps, &walk.journal)).unwrap();
                prop_assert_eq!(publication.package.map(|package| package.plan), Some(plan()));
            }
            Next::RolledBack { reason } => {
                prop_assert!(!reason.is_empty());
                prop_assert_eq!(walk.world.things(), "", "after {}", reason);
            }
            other => prop_assert!(false, "{:?} is no end", other),
        }
    }

    /// Whatever the order, and however often a fact is told: a film of which every fact comes is published.
    #[test]
    fn order_and_repetition_do_not_matter(facts in whole_film(), pace in 0..3usize) {
        let mut walk = Walk::begin(Vec::new());
        for fact in &facts {
            walk.hear(fact);
            (0..pace).take_while(|_| walk.step()).count();
        }
        prop_assert_eq!(walk.finish(), Next::Completed);
    }
}
