//! From draft to publication, in order, out of order, and again.

use mcsp_domain::{ContentState, EventId, PlanId, RenditionState, Revision, StepName, StepState, Visibility};
use mcsp_events::{Published, Topic};
use mcsp_runtime::SagaState;
use mcsp_services::content::{Changes, ContentError, ContentFact};

use super::world::{THEN_US, World, asset, content, owner, session, stranger};

const ONE: Revision = Revision::FIRST;

#[tokio::test]
async fn a_whole_life_ends_published_and_every_step_tells_its_times() {
    let world = World::new().await;
    world.draft(1).await;
    assert_eq!((world.state(1).await, world.steps(1).await), (ContentState::Draft, "upload running".to_owned()));
    world.upload(1, ONE, session(1)).await;
    assert_eq!(world.steps(1).await, "upload done, ingest running");
    world.checked(1, ONE).await;
    assert_eq!(world.steps(1).await, "upload done, ingest done, copyright running, moderate running");
    world.cleared(1, ONE).await;
    assert_eq!(world.state(1).await, ContentState::Processing);
    let plan = PlanId::from_bytes([9; 16]);
    world.chunk(1, ONE, plan, 0).await;
    assert_eq!(world.step(1, StepName::Transcode).await, (StepState::Running, "1 of 2 chunks".to_owned()));
    let timeline = world.timeline(1).await;
    assert!(!timeline.renditions.is_empty(), "the ladder of the stored plan is shown");
    assert!(timeline.renditions.iter().all(|row| row.state == RenditionState::Transcoding));
    world.chunk(1, ONE, plan, 1).await;
    world.completed(1, ONE, plan).await;
    assert_eq!(world.step(1, StepName::Thumbnails).await.0, StepState::Running);
    world.packaged(1, ONE, plan).await;
    world.thumbnails(1, ONE, plan).await;
    assert_eq!(world.state(1).await, ContentState::Processing, "moderation has not decided");
    world.decided(1, ONE, true).await;
    let row = world.until(1, |row| row.state == ContentState::Published).await;
    assert_eq!((row.published_revision, row.reason), (Some(ONE), None));

    assert_eq!(
        world.steps(1).await,
        "upload done, ingest done, copyright done, plan done, transcode done, package done, \
         thumbnails done, index done, moderate done, publish done"
    );
    let timeline = world.timeline(1).await;
    assert!(timeline.renditions.iter().all(|row| row.state == RenditionState::Packaged));
    let ingest = timeline.steps.iter().find(|step| step.name == StepName::Ingest).unwrap();
    assert_eq!((ingest.worker.as_str(), ingest.attempt), ("node-1", 1));
    assert_eq!((ingest.started_us, ingest.ended_us), (Some(THEN_US + 1_000_000), Some(THEN_US + 2_000_000)));
    assert!(timeline.steps.iter().all(|step| step.started_us <= step.ended_us), "{:?}", timeline.steps);

    let said = world.sent::<Published>().await;
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].1.plan, said[0].1.asset.revision, said[0].1.owner), (plan, ONE, owner().user));
    assert_eq!(world.saga_ends(1, ONE).await.state, SagaState::Completed);
    let publication = world.catalog.publication(content(1), ONE).await.unwrap().unwrap();
    assert_eq!(publication.package.map(|package| (package.plan, package.duration_ms)), Some((plan, 8000)));
    let hits = world.catalog.search("film", 0, 10).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.content).collect::<Vec<_>>(), [content(1)]);
}

#[tokio::test]
async fn facts_in_any_order_and_twice_publish_once() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    let plan = PlanId::from_bytes([9; 16]);
    for _ in 0..2 {
        world.decided(1, ONE, true).await;
        world.packaged(1, ONE, plan).await;
        world.completed(1, ONE, plan).await;
        world.chunk(1, ONE, plan, 1).await;
        world.checked(1, ONE).await;
        world.cleared(1, ONE).await;
        world.chunk(1, ONE, plan, 0).await;
    }
    world.until(1, |row| row.state == ContentState::Published).await;
    assert_eq!(world.saga_ends(1, ONE).await.state, SagaState::Completed);
    world.failed(1, ONE, "transcoder", Topic::TranscodeRequestedInteractive).await;
    world.flagged(1, ONE).await;
    assert_eq!(world.state(1).await, ContentState::Published, "late facts change nothing");
    assert_eq!(world.sent::<Published>().await.len(), 1);
    assert!(!world.is_marked(1, ONE).await);
}

#[tokio::test]
async fn facts_of_another_revision_and_of_unknown_contents_are_dropped() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.failed(1, ONE.next(), "transcoder", Topic::TranscodeRequestedInteractive).await;
    world.blocked(1, ONE.next()).await;
    world.decided(1, ONE.next(), false).await;
    world.blocked(2, ONE).await;
    assert_eq!(world.state(1).await, ContentState::Uploaded);
    assert_eq!(world.steps(1).await, "upload done, ingest running");
    assert!(world.saga(1, ONE.next()).await.is_none() && world.saga(2, ONE).await.is_none());
}

#[tokio::test]
async fn a_death_between_the_rows_and_the_engine_is_made_up_for() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.checked(1, ONE).await;
    let event = mcsp_events::ModerationDecided {
        asset: asset(1, ONE),
        approved: true,
        decided_by: "rules".into(),
        reason: String::new(),
    };
    // The rows are written and the engine was never told: only the inbox knows the event.
    let id = EventId::derived(&[b"cut off"]);
    let mut tx = world.catalog.begin().await.unwrap();
    tx.receive("alone.0", id, THEN_US).await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.saga(1, ONE).await.is_none());
    world.hear_as(id, ContentFact::Decided(event), "ai-moderation").await;
    assert_eq!(world.saga(1, ONE).await.map(|saga| saga.state), Some(SagaState::NotStarted), "the approval is kept");
}

#[tokio::test]
async fn a_flag_is_shown_until_people_decide() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.checked(1, ONE).await;
    world.flagged(1, ONE).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Review, Some("people look at it: violence")));
    world.cleared(1, ONE).await;
    assert_eq!(world.state(1).await, ContentState::Review, "the scanner does not speak for people");
    let plan = PlanId::from_bytes([9; 16]);
    world.chunk(1, ONE, plan, 0).await;
    world.completed(1, ONE, plan).await;
    world.packaged(1, ONE, plan).await;
    world.decided(1, ONE, true).await;
    world.until(1, |row| row.state == ContentState::Published).await;
}

#[tokio::test]
async fn every_change_is_told_to_the_owner() {
    let world = World::new().await;
    world.publish(1).await;
    let notices = world.catalog.notices_after(owner().user, 0, 1000).await.unwrap();
    let states: Vec<&str> = notices
        .iter()
        .filter(|notice| notice.kind == "content.state")
        .map(|notice| notice.body["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["UPLOADED", "PROCESSING", "PUBLISHED"]);
    for step in ["upload", "ingest", "copyright", "plan", "transcode", "package", "index", "moderate", "publish"] {
        let ends = notices.iter().filter(|notice| {
            notice.kind == "content.step" && notice.body["step"] == step && notice.body["state"] == "done"
        });
        assert_eq!(ends.count(), 1, "{step}");
    }
    assert!(world.catalog.notices_after(stranger().user, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn owners_see_all_and_others_what_is_published() {
    let world = World::new().await;
    world.draft(2).await;
    world.publish(1).await;
    let mine = world.service.list_mine(owner().user, None, 10).await.unwrap();
    assert_eq!(mine.iter().map(|view| view.id).collect::<Vec<_>>(), [content(2), content(1)], "newest first");
    let next = world.service.list_mine(owner().user, Some(content(2)), 10).await.unwrap();
    assert_eq!(next.len(), 1);
    assert!(world.service.list_mine(stranger().user, None, 10).await.unwrap().is_empty());

    let draft = world.service.get(Some(stranger()), content(2)).await.unwrap_err();
    assert!(matches!(draft, ContentError::NotFound { .. }));
    let seen = world.service.get(Some(stranger()), content(1)).await.unwrap();
    assert_eq!((seen.state, seen.title.as_str(), seen.duration_ms), (ContentState::Published, "Film 1", Some(8000)));
    let changes =
        || Changes { title: Some("Reise".into()), visibility: Some(Visibility::Private), ..Changes::default() };
    let refused = world.service.change(stranger(), content(1), seen.version, changes()).await.unwrap_err();
    assert!(matches!(refused, ContentError::NotOwner { .. }));
    assert!(matches!(
        world.service.timeline(stranger(), content(1), None).await.unwrap_err(),
        ContentError::NotOwner { .. }
    ));
    let stale = world.service.change(owner(), content(1), seen.version - 1, changes()).await.unwrap_err();
    assert!(matches!(stale, ContentError::OtherVersion { .. }));
    let changed = world.service.change(owner(), content(1), seen.version, changes()).await.unwrap();
    assert_eq!((changed.title.as_str(), changed.version), ("Reise", seen.version + 1));
    assert_eq!(world.service.get(Some(owner()), content(1)).await.unwrap(), changed);
    let hidden = world.service.get(Some(stranger()), content(1)).await.unwrap_err();
    assert!(matches!(hidden, ContentError::NotFound { .. }), "private is not there for others");
    assert!(world.catalog.search("reise", 0, 10).await.unwrap().is_empty());
}
