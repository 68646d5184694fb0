//! Sealed keys: the first binding and the first key stay, revocation is for ever.

use mcsp_catalog::{KeyPlan, KeyPlanState, SealedKey};
use mcsp_domain::{ContentId, Digest, KeyId, PlanId, Scheme, TrackClass};

use crate::support::World;

crate::support::on_each_engine! {
    the_first_binding_and_the_first_key_of_a_class_stay,
    a_revocation_keeps_its_first_time_and_needs_no_keys,
}

fn plan() -> PlanId {
    PlanId::from_bytes([1; 16])
}

fn key_plan(text: &[u8]) -> KeyPlan {
    KeyPlan { content: ContentId::from_bytes([2; 16]), scheme: Scheme::Cbcs, fingerprint: Digest::of(&[text]) }
}

fn key(class: TrackClass, byte: u8) -> SealedKey {
    let (kid, master_id) = (KeyId::from_bytes([byte; 16]), format!("master-{byte}"));
    SealedKey { plan: plan(), class, kid, master_id, nonce: [byte; 12], sealed: [byte; 32] }
}

async fn the_first_binding_and_the_first_key_of_a_class_stay(world: World) {
    let catalog = world.open().await;
    let bound = KeyPlanState { key_plan: Some(key_plan(b"first")), revoked_us: None };
    let mut tx = catalog.begin().await.unwrap();
    assert_eq!(tx.hold_key_plan(plan(), &key_plan(b"first")).await.unwrap(), bound);
    tx.add_content_key(&key(TrackClass::Sd, 1)).await.unwrap();
    tx.add_content_key(&key(TrackClass::Audio, 2)).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = catalog.begin().await.unwrap();
    assert_eq!(tx.hold_key_plan(plan(), &key_plan(b"second")).await.unwrap(), bound);
    tx.add_content_key(&key(TrackClass::Sd, 3)).await.unwrap();
    let kept = [key(TrackClass::Audio, 2), key(TrackClass::Sd, 1)];
    assert_eq!(tx.content_keys(plan()).await.unwrap(), kept);
    tx.commit().await.unwrap();

    assert_eq!(catalog.key_plan(plan()).await.unwrap(), Some(bound));
    assert_eq!(catalog.content_keys(plan()).await.unwrap(), kept);
    assert_eq!(catalog.content_key(KeyId::from_bytes([1; 16])).await.unwrap(), Some(kept[1].clone()));
    assert_eq!(catalog.content_key(KeyId::from_bytes([3; 16])).await.unwrap(), None);
    assert_eq!(catalog.master_ids().await.unwrap(), ["master-1", "master-2"]);
}

async fn a_revocation_keeps_its_first_time_and_needs_no_keys(world: World) {
    let catalog = world.open().await;
    for now_us in [5, 9] {
        let mut tx = catalog.begin().await.unwrap();
        tx.revoke_keys(plan(), now_us).await.unwrap();
        tx.commit().await.unwrap();
    }
    let revoked = KeyPlanState { key_plan: None, revoked_us: Some(5) };
    assert_eq!(catalog.key_plan(plan()).await.unwrap(), Some(revoked));
    let mut tx = catalog.begin().await.unwrap();
    assert_eq!(tx.hold_key_plan(plan(), &key_plan(b"late")).await.unwrap(), revoked);
}
