//! New revisions: another source, retries with the chunks that are there, reprocessing and its runs.

use mcsp_domain::{ContentState, ObjectKey, Plan, PlanId, RenditionState, Revision, StepName, StepState, UserRole};
use mcsp_events::{ClearedBy, CopyrightCleared, Lane, Published, Topic, UploadInitiated};
use mcsp_runtime::{ObjectStore, SagaState, now_us};
use mcsp_services::content::{self, Asker, ContentError, ContentFact, ReprocessFrom, ReprocessQuery, RunReport, Swept};

use super::world::{THEN_US, World, content, owner, plan, session, stranger};

const ONE: Revision = Revision::FIRST;

async fn replace(world: &World, number: u8, by: u8) -> Result<Revision, ContentError> {
    let mut tx = world.catalog.begin().await.unwrap();
    let revision =
        content::new_source(&mut tx, content(number), owner().user, session(by), "better.mp4", THEN_US + 9).await?;
    tx.commit().await.unwrap();
    Ok(revision)
}

/// Has the service hear what it said itself, as the log would bring it back; returns the plan that follows from it.
async fn begin_cleared(world: &World) -> (CopyrightCleared, PlanId) {
    let (message, event) = world.sent::<CopyrightCleared>().await.pop().unwrap();
    let (id, time_us) = (message.headers.id, message.headers.time_us);
    world.hear_as(id, ContentFact::Cleared(event.clone()), "content").await;
    (event, PlanId::of_event(id, time_us))
}

#[tokio::test]
async fn a_new_source_is_shown_once_it_is_published() {
    let world = World::new().await;
    let old = world.publish(1).await;
    let two = replace(&world, 1, 2).await.unwrap();
    assert_eq!(two, ONE.next());
    assert_eq!(world.state(1).await, ContentState::Published, "nothing has come yet");
    assert_eq!(replace(&world, 1, 3).await.unwrap(), two, "another upload for the same revision");
    world.upload(1, two, session(3)).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.revision, row.published_revision), (ContentState::Uploaded, two, Some(ONE)));
    let refused = replace(&world, 1, 4).await.unwrap_err().to_string();
    assert!(refused.ends_with("its source can be replaced once nobody works on it: cancel first"), "{refused}");

    world.checked(1, two).await;
    world.decided(1, two, true).await;
    world.cleared(1, two).await;
    let plan = PlanId::from_bytes([8; 16]);
    world.made(1, two, plan).await;
    let said: Vec<Revision> = world.sent::<Published>().await.iter().map(|(_, event)| event.asset.revision).collect();
    assert_eq!(said, [ONE, two]);
    world.saga_ends(1, two).await;
    let swept = world.service.sweep(now_us() + 1).await.unwrap();
    assert_eq!((swept.publications, swept.failed), (1, 0));
    assert!(world.objects().await.iter().all(|key| !key.contains("/1/")), "{:?}", world.objects().await);
    assert!(world.objects().await.iter().any(|key| key.starts_with("media/") && key.contains("/2/")));
    assert!(world.catalog.key_plan(old).await.unwrap().unwrap().revoked_us.is_some());
    assert!(world.catalog.key_plan(plan).await.unwrap().is_none());
    assert_eq!(world.service.sweep(now_us() + 1).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn a_failed_replacement_leaves_the_old_film_up() {
    let world = World::new().await;
    world.publish(1).await;
    let two = replace(&world, 1, 2).await.unwrap();
    world.upload(1, two, session(2)).await;
    world.blocked(1, two).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.published_revision), (ContentState::Blocked, Some(ONE)));
    world.service.sweep(now_us() + 1).await.unwrap();
    assert!(world.objects().await.iter().any(|key| key.starts_with("media/")), "what viewers see stays");
}

#[tokio::test]
async fn a_failed_rendition_is_tried_again_with_the_chunks_that_are_there() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.checked(1, ONE).await;
    world.decided(1, ONE, true).await;
    world.cleared(1, ONE).await;
    let first = PlanId::from_bytes([9; 16]);
    world.chunk(1, ONE, first, 0).await;
    world.failed(1, ONE, "transcoder", Topic::TranscodeRequestedInteractive).await;
    world.saga_ends(1, ONE).await;
    let name = plan(first).ladder.variants()[0].name().clone();

    let other = mcsp_domain::RenditionName::parse("video-9p").unwrap();
    let unknown = world.service.retry_rendition(owner(), content(1), &other).await.unwrap_err();
    assert!(matches!(unknown, ContentError::NoRendition { .. }));
    assert!(matches!(
        world.service.retry_rendition(stranger(), content(1), &name).await.unwrap_err(),
        ContentError::NotFound { .. }
    ));
    let two = world.service.retry_rendition(owner(), content(1), &name).await.unwrap();
    assert_eq!(two, ONE.next());
    let again = world.service.retry(owner(), content(1)).await.unwrap_err();
    assert!(matches!(again, ContentError::WrongState { .. }), "{again}");
    assert_eq!(world.state(1).await, ContentState::Processing);
    assert!(world.sent::<CopyrightCleared>().await.is_empty(), "chunks are copied first");
    // A late failure of the old revision ends nothing.
    world.failed(1, ONE, "transcoder-bulk", Topic::TranscodeRequestedBulk).await;

    world.service.work().await;
    world.service.work().await;
    assert_eq!(world.sent::<CopyrightCleared>().await.len(), 1);
    let (event, second) = begin_cleared(&world).await;
    assert_eq!((event.asset.revision, event.cleared_by, event.lane), (two, ClearedBy::Scanner, Lane::Interactive));
    let work = ObjectKey::work(content(1), two, second);
    let stored = world.store.get(&work.join(&ObjectKey::plan()).unwrap()).await.unwrap();
    let stored: Plan = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored, Plan { id: second, ..plan(first) });
    let has = async |key: ObjectKey| world.store.head(&work.join(&key).unwrap()).await.unwrap().is_some();
    assert!(has(ObjectKey::chunk_report(0)).await && has(ObjectKey::chunk(&name, 0)).await);
    assert!(!has(ObjectKey::chunk_report(1)).await, "the chunk that failed is made");

    // Its source was looked at, approved and cleared before.
    let carried = world.step(1, StepName::Moderate).await;
    assert_eq!(carried, (StepState::Done, "as in revision 1".to_owned()));
    world.chunk_told(1, two, second, 0).await;
    world.made(1, two, second).await;
    assert_eq!(world.saga_ends(1, two).await.state, SagaState::Completed);
    let timeline = world.timeline(1).await;
    assert!(timeline.renditions.iter().all(|row| row.state == RenditionState::Packaged));
    assert_eq!(timeline.revisions.len(), 2);
}

#[tokio::test]
async fn what_failed_before_it_was_cleared_is_checked_again() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.checked(1, ONE).await;
    world.failed(1, ONE, "copyright-scanner", Topic::UploadCompleted).await;
    assert_eq!(world.row(1).await.reason.as_deref(), Some("copyright gave up: the media child was killed"));
    let two = world.service.retry(owner(), content(1)).await.unwrap();
    let said = world.sent::<UploadInitiated>().await;
    assert_eq!((said.len(), said[0].1.asset.revision), (1, two));
    assert_eq!(world.state(1).await, ContentState::Uploaded);
    assert_eq!(world.steps(1).await, "upload done, ingest running");
    assert!(world.sent::<CopyrightCleared>().await.is_empty(), "nobody passes by the scanner");
    let untried = world.service.retry(owner(), content(1)).await.unwrap_err().to_string();
    assert!(untried.ends_with("is UPLOADED: only what has failed can be tried again"), "{untried}");
}

#[tokio::test]
async fn repackaging_keeps_the_chunks_and_makes_a_new_plan() {
    let world = World::new().await;
    let first = world.publish(1).await;
    let refused = world.service.reprocess_one(stranger(), content(1), ReprocessFrom::Package).await.unwrap_err();
    assert!(matches!(refused, ContentError::NotOwner { .. }));
    let two = world.service.reprocess_one(owner(), content(1), ReprocessFrom::Package).await.unwrap();
    let row = world.row(1).await;
    assert_eq!((row.state, row.published_revision), (ContentState::Processing, Some(ONE)), "viewers see the old one");
    world.service.work().await;
    let (event, second) = begin_cleared(&world).await;
    assert_eq!((event.cleared_by, event.lane), (ClearedBy::Operator, Lane::Bulk));
    assert_ne!(first, second, "a key never outlives its plan");
    let work = ObjectKey::work(content(1), two, second);
    for chunk in 0..2 {
        let report = work.join(&ObjectKey::chunk_report(chunk)).unwrap();
        assert!(world.store.head(&report).await.unwrap().is_some(), "chunk {chunk} need not be made");
    }
    world.made(1, two, second).await;
    assert_eq!(world.row(1).await.published_revision, Some(two));
}

#[tokio::test]
async fn a_run_is_planned_first_and_goes_on_by_its_id() {
    let world = World::new().await;
    for number in 1..=3 {
        world.publish(number).await;
    }
    world.draft(4).await;
    let query = |text: &str, asker: Asker| ReprocessQuery::parse(text, asker.user).unwrap();
    let counts = |report: &RunReport| (report.planned, report.skipped, report.working, report.published, report.failed);

    let all = query("all", owner());
    let plan = world.service.plan_reprocess(owner(), &all).await.unwrap();
    assert_eq!(plan.items.iter().map(|item| item.content).collect::<Vec<_>>(), [1, 2, 3].map(content));
    assert_eq!((plan.source_bytes, plan.duration_ms), (12, 24_000));
    assert!(world.service.plan_reprocess(stranger(), &all).await.unwrap().items.is_empty(), "only one's own");
    let admin = Asker { role: UserRole::Admin, ..stranger() };
    assert_eq!(world.service.plan_reprocess(admin, &query("title:2", admin)).await.unwrap().items.len(), 1);
    assert_eq!(world.row(1).await.revision, ONE, "a plan does nothing");

    let begun = world.service.reprocess(owner(), &all, ReprocessFrom::Transcode).await.unwrap();
    assert_eq!(counts(&begun), (3, 0, 0, 0, 0));
    world.service.delete(owner(), content(2)).await.unwrap();
    // Another process, or this one after a death, goes on.
    let resumed = world.service.resume_run(owner(), begun.run).await.unwrap();
    assert_eq!(resumed.run, begun.run);
    world.service.work().await;
    let report = world.service.run_report(owner(), begun.run).await.unwrap();
    assert_eq!(counts(&report), (0, 1, 2, 0, 0));
    world.service.work().await;
    assert_eq!(world.row(1).await.revision, ONE.next(), "begun once");
    assert_eq!(world.sent::<CopyrightCleared>().await.len(), 2);
    assert!(world.sent::<CopyrightCleared>().await.iter().all(|(_, event)| event.lane == Lane::Bulk));

    world.cleared(1, ONE.next()).await;
    world.made(1, ONE.next(), PlanId::from_bytes([7; 16])).await;
    world.failed(3, ONE.next(), "transcoding-orchestrator", Topic::CopyrightCleared).await;
    let report = world.service.run_report(owner(), begun.run).await.unwrap();
    assert_eq!(counts(&report), (0, 1, 0, 1, 1));
    let items = world.service.run_items(owner(), begun.run, None, 10).await.unwrap();
    assert_eq!(items.iter().map(|item| item.state).collect::<Vec<_>>(), ["published", "skipped", "failed"]);
    assert!(items[1].reason.ends_with("only what is published and not worked on can be made anew"), "{items:?}");
    let hidden = world.service.run_report(stranger(), begun.run).await.unwrap_err();
    assert!(matches!(hidden, ContentError::NoRun { .. }));
}
