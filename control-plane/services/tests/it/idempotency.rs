//! Kept answers at rest: sealed, found again by the client's key alone.

use mcsp_services::idempotency::{Answers, Begun, KeptAnswer, RequestIdentity};
use sqlx::Row;

use crate::support::World;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn request<'a>(scope: &'a str, parts: &'a [&'a [u8]]) -> RequestIdentity<'a> {
    RequestIdentity { scope, key: KEY, parts }
}

fn answer() -> KeptAnswer {
    let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
    KeptAnswer { status: 201, headers, body: b"{\"presigned_url\":\"http://secret\"}".to_vec() }
}

#[tokio::test]
async fn an_answer_is_found_by_its_scope_key_and_parts_and_rests_sealed() {
    let world = World::on_file();
    let answers = Answers::new(world.catalog().await);
    let parts: [&[u8]; 1] = [b"{\"password\":\"correct horse\"}"];
    let Begun::Fresh(claim) = answers.begin(&request("ada POST /x", &parts), 0).await.unwrap() else {
        panic!("it is new")
    };
    assert!(matches!(answers.begin(&request("ada POST /x", &parts), 1).await.unwrap(), Begun::InFlight));
    answers.keep(&claim, answer(), 1).await.unwrap();

    let Begun::Answered(kept) = answers.begin(&request("ada POST /x", &parts), 2).await.unwrap() else {
        panic!("it was answered")
    };
    assert_eq!(kept, answer());
    let other = answers.begin(&request("ada POST /x", &[b"{}"]), 2).await.unwrap();
    assert!(matches!(other, Begun::OtherRequest));
    let elsewhere = answers.begin(&request("bob POST /x", &parts), 2).await.unwrap();
    assert!(matches!(elsewhere, Begun::Fresh(_)), "another account's key is another key");

    let mut connection = world.connection().await;
    let rows = sqlx::query("SELECT id, fingerprint, sealed FROM answer").fetch_all(&mut connection).await.unwrap();
    for row in rows {
        let sealed = row.get::<Option<Vec<u8>>, _>(2).unwrap_or_default();
        let text =
            format!("{} {} {}", row.get::<String, _>(0), row.get::<String, _>(1), String::from_utf8_lossy(&sealed));
        assert!(!text.contains(KEY) && !text.contains("secret") && !text.contains("presigned"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day_and_a_claim_that_is_given_back_for_no_time() {
    let world = World::new();
    let answers = Answers::new(world.catalog().await);
    let day_us = 24 * 3600 * 1_000_000;
    let Begun::Fresh(claim) = answers.begin(&request("x", &[]), 0).await.unwrap() else { panic!("it is new") };
    answers.give_back(&claim).await.unwrap();
    let Begun::Fresh(claim) = answers.begin(&request("x", &[]), 0).await.unwrap() else { panic!("it is new again") };
    answers.keep(&claim, answer(), 0).await.unwrap();
    assert!(matches!(answers.begin(&request("x", &[]), day_us - 1).await.unwrap(), Begun::Answered(_)));
    assert_eq!(answers.sweep(day_us + 1).await.unwrap(), 1);
    assert!(matches!(answers.begin(&request("x", &[]), day_us + 1).await.unwrap(), Begun::Fresh(_)));
}
