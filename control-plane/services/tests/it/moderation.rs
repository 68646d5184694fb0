//! The review queue: flags become cases, and each case is decided once.

use mcsp_catalog::Catalog;
use mcsp_domain::{ContentState, Revision};
use mcsp_events::{
    BlockReason, ClearedBy, CopyrightCleared, ModerationDecided, ModerationFlagged, TimeRange, UploadBlocked,
};
use mcsp_services::moderation::{CaseKind, CasePlace, Decision, ModerationError, ModerationService, ReviewQueue};

use crate::support::World;
use crate::told::{add, asset, content, handle, read, sent, source, user};

fn flagged(number: u8, label: &str) -> ModerationFlagged {
    ModerationFlagged {
        asset: asset(number),
        flagged_by: "rules".to_owned(),
        labels: vec![label.to_owned()],
        confidence_permille: 900,
        ranges: vec![TimeRange { start_ms: 1000, end_ms: 2000 }],
    }
}

fn decision(number: u8, approve: bool) -> Decision {
    let reason = if approve { "fine" } else { "not yours" }.to_owned();
    Decision { content: content(number), revision: None, kind: None, approve, reason, moderator: user(99) }
}

fn service(catalog: &Catalog) -> ModerationService {
    ModerationService::new(catalog.clone(), "desk-1")
}

/// The words of the error that a decision ends with.
async fn refusal(service: &ModerationService, decision: Decision) -> String {
    let error = service.decide(decision).await.unwrap_err();
    format!("{error:?}").split([' ', '{', '(']).next().unwrap().to_owned()
}

#[tokio::test]
async fn a_case_of_content_is_decided_once_and_said_once() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Review).await;
    let (queue, service) = (ReviewQueue::new(catalog.clone()), service(&catalog));
    assert_eq!(refusal(&service, decision(1, true)).await, "NoCase");
    for event in [1, 1, 2] {
        handle(&queue, flagged(1, "violence"), event).await;
    }
    let cases = service.cases(None, None, 10).await.unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!((cases[0].title.as_str(), cases[0].owner), ("film 1", user(1)));
    assert_eq!((cases[0].case.kind, cases[0].case.flags.len()), (CaseKind::Content, 2), "an event counts once");

    let own = Decision { moderator: user(1), ..decision(1, true) };
    assert_eq!(refusal(&service, own).await, "OwnContent");
    let decided = service.decide(decision(1, true)).await.unwrap();
    assert!(decided.decision.unwrap().approved);
    assert_eq!(refusal(&service, decision(1, false)).await, "Decided");
    let said = sent(&catalog).await;
    assert_eq!(said.len(), 1);
    let event: ModerationDecided = read(&said[0]);
    assert_eq!((event.asset, event.approved, event.reason.as_str()), (asset(1), true, "fine"));
    assert_eq!(event.decided_by, user(99).to_string());
    assert_eq!((said[0].headers.worker.as_deref(), said[0].headers.attempt), (Some("desk-1"), Some(1)));
    assert_eq!(service.cases(Some(false), None, 10).await.unwrap(), []);
    assert_eq!(service.cases(Some(true), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_case_of_rights_clears_or_blocks_the_upload() {
    let world = World::new();
    let catalog = world.catalog().await;
    let (queue, service) = (ReviewQueue::new(catalog.clone()), service(&catalog));
    for number in [1, 2] {
        add(&catalog, number, user(number), ContentState::Review).await;
        handle(&queue, flagged(number, "copyright.audio"), number.into()).await;
    }
    service.decide(decision(1, true)).await.unwrap();
    service.decide(decision(2, false)).await.unwrap();
    let said = sent(&catalog).await;
    let cleared: CopyrightCleared = read(&said[0]);
    assert_eq!((cleared.asset, cleared.owner, cleared.source), (asset(1), user(1), source()));
    assert_eq!(cleared.cleared_by, ClearedBy::Review);
    let blocked: UploadBlocked = read(&said[1]);
    assert_eq!((blocked.owner, blocked.reason), (user(2), BlockReason::Copyright));
    assert_eq!((blocked.detail.as_str(), blocked.ranges.len()), ("not yours", 1));
    for (number, approved) in [(1, true), (2, false)] {
        let notices = catalog.notices_after(user(number), 0, 10).await.unwrap();
        assert_eq!(notices.len(), 1);
        assert_eq!((notices[0].kind.as_str(), &notices[0].body["approved"]), ("moderation.decided", &approved.into()));
    }
}

#[tokio::test]
async fn two_open_cases_are_told_apart_by_their_kind() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Review).await;
    let (queue, service) = (ReviewQueue::new(catalog.clone()), service(&catalog));
    handle(&queue, flagged(1, "violence"), 1).await;
    handle(&queue, flagged(1, "copyright"), 2).await;
    assert_eq!(refusal(&service, decision(1, true)).await, "Ambiguous");
    let other = Decision { revision: Some(Revision::FIRST.next()), ..decision(1, true) };
    assert_eq!(refusal(&service, other).await, "NoCase");
    let rights = Decision { kind: Some(CaseKind::Rights), ..decision(1, true) };
    service.decide(rights).await.unwrap();
    let rest = service.decide(decision(1, false)).await.unwrap();
    assert_eq!(rest.kind, CaseKind::Content, "the one that is open");
    assert_eq!(sent(&catalog).await.len(), 2);
}

#[tokio::test]
async fn what_has_ended_waits_for_nobody() {
    let world = World::new();
    let catalog = world.catalog().await;
    let (queue, service) = (ReviewQueue::new(catalog.clone()), service(&catalog));
    for (number, state) in [(1, ContentState::Deleted), (2, ContentState::Failed), (3, ContentState::Blocked)] {
        add(&catalog, number, user(1), state).await;
        handle(&queue, flagged(number, "violence"), number.into()).await;
        assert_eq!(refusal(&service, decision(number, true)).await, "Over");
    }
    assert_eq!(service.cases(None, None, 10).await.unwrap(), []);
    let missing = service.decide(decision(77, true)).await.unwrap_err();
    assert!(matches!(missing, ModerationError::NoCase { .. }) && !missing.may_pass());
    assert_eq!(sent(&catalog).await, []);
}

#[tokio::test]
async fn pages_show_each_case_once_open_ones_first() {
    let world = World::new();
    let catalog = world.catalog().await;
    let (queue, service) = (ReviewQueue::new(catalog.clone()), service(&catalog));
    for number in 1..=5 {
        add(&catalog, number, user(number), ContentState::Review).await;
        handle(&queue, flagged(number, "violence"), number.into()).await;
    }
    service.decide(decision(1, true)).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = service.cases(None, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        let place = last.case.place();
        assert_eq!(place.to_string().parse::<CasePlace>().unwrap(), place);
        after = Some(place);
        seen.extend(page.into_iter().map(|listed| listed.case.content));
    }
    assert_eq!(seen, [2, 3, 4, 5, 1].map(content));
}
