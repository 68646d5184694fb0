//! Accounts, lines of refresh tokens, and kept answers.

use mcsp_catalog::{AnswerState, Catalog, PasswordHash, RefreshUse, SignIn, UserRow};
use mcsp_domain::{Digest, SubscriptionTier, UserId, UserRole};

use crate::support::World;

crate::support::on_each_engine! {
    an_account_is_found_by_id_and_address_and_changed,
    a_token_is_taken_once_in_its_time_and_reuse_revokes_the_line,
    a_sign_in_is_ended_and_swept,
    an_answer_is_claimed_once_kept_by_its_claim_and_swept,
}

fn user(byte: u8) -> UserRow {
    UserRow {
        id: UserId::from_bytes([byte; 16]),
        email: format!("user{byte}@example.org"),
        display_name: "Ada".to_owned(),
        role: UserRole::Creator,
        tier: SubscriptionTier::Free,
        password: PasswordHash("$argon2id$secret".to_owned()),
        created_us: 5,
        updated_us: 5,
    }
}

fn hash(text: &str) -> Digest {
    Digest::of(&[text.as_bytes()])
}

/// A catalog with one account and a sign-in of it, whose first token ends at 100 and which itself ends at 1000.
async fn signed_in(world: &World) -> (Catalog, SignIn) {
    let catalog = world.open().await;
    let sign_in = SignIn { id: "line".to_owned(), user: user(1).id, expires_us: 1000 };
    let mut tx = catalog.begin().await.unwrap();
    assert!(tx.insert_user(&user(1)).await.unwrap());
    tx.insert_sign_in(&sign_in).await.unwrap();
    tx.insert_refresh_token(&hash("first"), &sign_in, 100).await.unwrap();
    tx.commit().await.unwrap();
    (catalog, sign_in)
}

async fn used(catalog: &Catalog, token: &str, now_us: i64) -> RefreshUse {
    let mut tx = catalog.begin().await.unwrap();
    let found = tx.use_refresh_token(&hash(token), now_us).await.unwrap();
    tx.commit().await.unwrap();
    found
}

async fn an_account_is_found_by_id_and_address_and_changed(world: World) {
    let (catalog, _) = signed_in(&world).await;
    assert_eq!(catalog.user(user(1).id).await.unwrap(), Some(user(1)));
    assert_eq!(catalog.user_of("user1@example.org").await.unwrap(), Some(user(1)));
    assert_eq!(catalog.user_of("user2@example.org").await.unwrap(), None);
    let mut tx = catalog.begin().await.unwrap();
    let twin = UserRow { email: user(1).email, ..user(2) };
    assert!(!tx.insert_user(&twin).await.unwrap(), "an address has one account");
    let changed = tx.update_user(user(1).id, None, Some(SubscriptionTier::Premium), 9).await.unwrap().unwrap();
    assert_eq!((changed.role, changed.tier, changed.updated_us), (UserRole::Creator, SubscriptionTier::Premium, 9));
    assert_eq!(tx.update_user(user(2).id, Some(UserRole::Admin), None, 9).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert!(!format!("{changed:?}").contains("secret"));
}

async fn a_token_is_taken_once_in_its_time_and_reuse_revokes_the_line(world: World) {
    let (catalog, sign_in) = signed_in(&world).await;
    assert_eq!(catalog.sign_in_user(&hash("first")).await.unwrap(), Some(user(1).id));
    assert_eq!(used(&catalog, "first", 100).await, RefreshUse::Refused, "its time is over");
    assert_eq!(used(&catalog, "first", 99).await, RefreshUse::Taken(sign_in.clone()));
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_refresh_token(&hash("second"), &sign_in, 5000).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(used(&catalog, "second", 1000).await, RefreshUse::Refused, "the line's time is over");
    assert_eq!(used(&catalog, "first", 99).await, RefreshUse::Reused(sign_in));
    assert_eq!(used(&catalog, "second", 99).await, RefreshUse::Refused, "the line is revoked");
    assert_eq!(used(&catalog, "unknown", 99).await, RefreshUse::Refused);
}

async fn a_sign_in_is_ended_and_swept(world: World) {
    let (catalog, _) = signed_in(&world).await;
    let mut tx = catalog.begin().await.unwrap();
    assert!(tx.revoke_sign_in_of(&hash("first"), 50).await.unwrap());
    assert!(!tx.revoke_sign_in_of(&hash("unknown"), 50).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(used(&catalog, "first", 60).await, RefreshUse::Refused);
    assert_eq!(catalog.sweep_sign_ins(1000).await.unwrap(), 0);
    assert_eq!(catalog.sweep_sign_ins(1001).await.unwrap(), 1);
    assert_eq!(catalog.sign_in_user(&hash("first")).await.unwrap(), None);
}

async fn an_answer_is_claimed_once_kept_by_its_claim_and_swept(world: World) {
    let catalog = world.open().await;
    let claim = async |name: &str, body: &str, now_us: i64| {
        let mut tx = catalog.begin().await.unwrap();
        let state = tx.claim_answer(&hash("id"), &hash(body), name, now_us, now_us + 10).await.unwrap();
        tx.commit().await.unwrap();
        state
    };
    assert_eq!(claim("a", "body", 0).await, AnswerState::Claimed);
    assert_eq!(claim("b", "body", 9).await, AnswerState::InFlight);
    assert_eq!(claim("b", "other", 9).await, AnswerState::OtherRequest);
    assert_eq!(claim("b", "body", 10).await, AnswerState::Claimed, "the first claim has run out");
    catalog.keep_answer(&hash("id"), "a", 201, b"late", 100).await.unwrap();
    assert_eq!(claim("c", "body", 11).await, AnswerState::InFlight, "the first claim's answer is not kept");
    catalog.keep_answer(&hash("id"), "b", 201, b"kept", 100).await.unwrap();
    catalog.drop_answer(&hash("id"), "b").await.unwrap();
    let answered = AnswerState::Answered { status: 201, sealed: b"kept".to_vec() };
    assert_eq!(claim("c", "body", 99).await, answered);
    assert_eq!((catalog.sweep_answers(100).await.unwrap(), catalog.sweep_answers(101).await.unwrap()), (0, 1));
    assert_eq!(claim("d", "other", 102).await, AnswerState::Claimed);
    catalog.drop_answer(&hash("id"), "d").await.unwrap();
    assert_eq!(claim("e", "body", 103).await, AnswerState::Claimed);
}
