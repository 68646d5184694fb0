//! Ends that are no publication: blocked, refused, failed, cancelled, deleted; and what the sweep removes.

use mcsp_domain::{ContentState, ObjectKey, PlanId, RenditionState, Revision, StepName, StepState};
use mcsp_events::{Published, Topic};
use mcsp_runtime::{SagaState, now_us};
use mcsp_services::content::{ContentError, ContentSettings, Swept};

use super::world::{World, content, owner, session, stranger};

const ONE: Revision = Revision::FIRST;

fn plan() -> PlanId {
    PlanId::from_bytes([9; 16])
}

/// Takes a content to a state by the way that it comes there.
async fn bring(world: &World, number: u8, state: ContentState) {
    if state == ContentState::Published {
        world.publish(number).await;
        return;
    }
    world.draft(number).await;
    if state == ContentState::Draft {
        return;
    }
    world.upload(number, ONE, session(number)).await;
    if state == ContentState::Uploaded {
        return;
    }
    world.checked(number, ONE).await;
    world.cleared(number, ONE).await;
    world.chunk(number, ONE, plan(), 0).await;
    match state {
        ContentState::Review => world.flagged(number, ONE).await,
        ContentState::Blocked => world.decided(number, ONE, false).await,
        ContentState::Failed => world.failed(number, ONE, "transcoder", Topic::TranscodeRequestedInteractive).await,
        _ => {}
    }
}

#[tokio::test]
async fn a_block_stops_everything_and_says_why() {
    let world = World::new().await;
    world.draft(1).await;
    world.upload(1, ONE, session(1)).await;
    world.blocked(1, ONE).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Blocked, Some("rule EICAR matched")));
    assert_eq!(world.step(1, StepName::Ingest).await, (StepState::Failed, "rule EICAR matched".to_owned()));
    // A verdict that had overtaken the block starts nothing.
    world.cleared(1, ONE).await;
    let saga = world.saga_ends(1, ONE).await;
    assert_eq!(saga.state, SagaState::RolledBack);
    assert_eq!(saga.reason.as_deref(), Some("upload blocked: rule EICAR matched"));
    assert!(world.is_marked(1, ONE).await);
    assert_eq!(world.state(1).await, ContentState::Blocked);
    assert_eq!(world.sent::<Published>().await.len(), 0);
}

#[tokio::test]
async fn a_refusal_removes_what_was_made() {
    let world = World::new().await;
    bring(&world, 1, ContentState::Blocked).await;
    world.saga_ends(1, ONE).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Blocked, Some("violence")));
    assert_eq!(world.step(1, StepName::Moderate).await, (StepState::Failed, "violence".to_owned()));
    assert_eq!(world.step(1, StepName::Transcode).await.0, StepState::Skipped);
    let uploads = ObjectKey::upload(content(1), session(1)).to_string();
    assert_eq!(world.objects().await, [uploads], "the source stays until the sweep");
    let keys = world.catalog.key_plan(plan()).await.unwrap().unwrap();
    assert!(keys.revoked_us.is_some());
}

#[tokio::test]
async fn work_that_was_given_up_fails_with_its_words_and_keeps_its_chunks() {
    let world = World::new().await;
    bring(&world, 1, ContentState::Failed).await;
    assert_eq!(world.saga_ends(1, ONE).await.state, SagaState::RolledBack);
    let row = world.row(1).await;
    let reason = "transcode gave up: the media child was killed";
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Failed, Some(reason)));
    let timeline = world.timeline(1).await;
    assert!(timeline.renditions.iter().all(|row| row.state == RenditionState::Failed));
    let step = timeline.steps.iter().find(|step| step.name == StepName::Transcode).unwrap();
    assert_eq!((step.state, step.attempt), (StepState::Failed, 8));
    assert!(world.objects().await.iter().any(|key| key.contains("/chunks/")), "a retry goes on with them");
    assert!(world.is_marked(1, ONE).await);
}

#[tokio::test]
async fn work_beside_the_way_fails_alone() {
    let world = World::new().await;
    bring(&world, 1, ContentState::Processing).await;
    world.failed(1, ONE, "thumbnail-generator", Topic::TranscodingCompleted).await;
    world.failed(1, ONE, "drm-packager", Topic::ChunkTranscoded).await;
    assert_eq!(world.state(1).await, ContentState::Processing);
    assert_eq!(world.step(1, StepName::Thumbnails).await.0, StepState::Failed);
}

#[tokio::test]
async fn contents_are_deleted_in_every_state_and_leave_nothing() {
    for state in ContentState::ALL.iter().filter(|state| **state != ContentState::Deleted) {
        let world = World::new().await;
        bring(&world, 1, *state).await;
        assert_eq!(world.state(1).await, *state);
        let refused = world.service.delete(stranger(), content(1)).await.unwrap_err();
        assert!(matches!(refused, ContentError::NotFound { .. } | ContentError::NotOwner { .. }), "{state}");
        world.service.delete(owner(), content(1)).await.unwrap();
        world.service.delete(owner(), content(1)).await.unwrap();
        if let Some(saga) = world.saga(1, ONE).await.filter(|saga| saga.state != SagaState::NotStarted) {
            let end = world.saga_ends(1, ONE).await.state;
            let published = *state == ContentState::Published;
            assert_eq!(end, if published { SagaState::Completed } else { SagaState::RolledBack }, "{state} {saga:?}");
        }
        let row = world.row(1).await;
        assert_eq!((row.state, row.published_revision), (ContentState::Deleted, None), "{state}");
        assert_eq!(world.objects().await, Vec::<String>::new(), "{state}");
        assert!(world.catalog.search("film", 0, 10).await.unwrap().is_empty(), "{state}");
        assert!(matches!(
            world.service.get(Some(owner()), content(1)).await.unwrap_err(),
            ContentError::NotFound { .. }
        ));
        // Whoever had not heard of it changes nothing.
        world.decided(1, ONE, true).await;
        world.packaged(1, ONE, plan()).await;
        assert_eq!(world.state(1).await, ContentState::Deleted, "{state}");
        let swept = world.service.sweep(now_us() + 1).await.unwrap();
        assert_eq!((swept.publications, swept.failed), (1, 0), "{state}");
        assert_eq!(world.objects().await, Vec::<String>::new(), "{state}");
        assert_eq!(world.service.sweep(now_us() + 1).await.unwrap(), Swept::default(), "{state}: done for good");
    }
}

#[tokio::test]
async fn a_published_content_that_is_refused_later_is_taken_down() {
    let world = World::new().await;
    world.publish(1).await;
    world.blocked(1, ONE).await;
    let row = world.row(1).await;
    assert_eq!((row.state, row.published_revision), (ContentState::Blocked, None));
    assert!(world.catalog.search("film", 0, 10).await.unwrap().is_empty());
    assert_eq!(world.saga_ends(1, ONE).await.state, SagaState::Completed);
}

#[tokio::test]
async fn a_cancel_stops_the_work_and_the_film_can_be_tried_again() {
    let world = World::new().await;
    bring(&world, 1, ContentState::Processing).await;
    assert!(matches!(world.service.cancel(stranger(), content(1)).await.unwrap_err(), ContentError::NotFound { .. }));
    world.service.cancel(owner(), content(1)).await.unwrap();
    world.service.cancel(owner(), content(1)).await.unwrap();
    let saga = world.saga_ends(1, ONE).await;
    assert_eq!((saga.state, saga.reason.as_deref()), (SagaState::RolledBack, Some("cancelled by its owner")));
    let row = world.row(1).await;
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Failed, Some("cancelled by its owner")));
    assert_eq!(world.step(1, StepName::Transcode).await.0, StepState::Skipped);
    assert!(world.is_marked(1, ONE).await);

    world.draft(2).await;
    let refused = world.service.cancel(owner(), content(2)).await.unwrap_err().to_string();
    assert!(refused.ends_with("is DRAFT: only work that is going on can be cancelled"), "{refused}");
}

#[tokio::test]
async fn the_sweep_takes_what_failed_once_nobody_retries_it() {
    let kept = World::with(ContentSettings { keep_us: 3_600_000_000, late_us: 0 }).await;
    bring(&kept, 1, ContentState::Failed).await;
    kept.saga_ends(1, ONE).await;
    assert_eq!(kept.service.sweep(now_us()).await.unwrap(), Swept::default());
    assert!(!kept.objects().await.is_empty());

    let swept = kept.service.sweep(now_us() + 3_600_000_001).await.unwrap();
    assert_eq!((swept.publications, swept.failed), (1, 0));
    assert!(swept.objects > 2, "{swept:?}");
    assert_eq!(kept.objects().await, Vec::<String>::new());
    assert!(kept.is_marked(1, ONE).await, "a record that waits must still find the mark");
    let refused = kept.service.retry(owner(), content(1)).await.unwrap_err().to_string();
    assert!(refused.ends_with("its source is not stored any more: upload it again"), "{refused}");
}
