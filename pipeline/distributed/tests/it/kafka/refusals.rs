//! What is said where the brokers cannot be used as asked.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use mcsp_distributed::{KafkaLog, KafkaOptions, Login, SaslMechanism, Tls};
use mcsp_events::{GroupName, Topic};
use mcsp_runtime::{EventLog, LogError, SubscribeOptions};

use super::{INPUT, message, namespace, open, options, servers, told};

async fn refused(options: KafkaOptions) -> LogError {
    KafkaLog::open(options).await.err().unwrap()
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named() {
    // A port that nobody listens on.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let quick = KafkaOptions { connect_max: Duration::from_secs(1), ..options(&address, "", "one") };
    let error = refused(quick).await;
    let text = told(&error);
    assert!(text.starts_with("event log failed to open: kafka at 127.0.0.1:"), "{text}");
    assert!(text.contains(&address) && text.contains("Connection refused"), "{text}");
    assert!(error.may_pass(), "brokers may come back");
}

#[tokio::test]
async fn a_file_of_tls_that_is_not_there_is_named() {
    let tls = Tls { authorities: Some(PathBuf::from("/nowhere/ca.pem")), certificate: None };
    let error = refused(KafkaOptions { tls: Some(tls), ..options("127.0.0.1:1", "", "one") }).await;
    let text = told(&error);
    assert!(text.contains("kafka at 127.0.0.1:1 cannot be used") && text.contains("/nowhere/ca.pem"), "{text}");
    assert!(!error.may_pass());
}

/// A broker that wants a login says so by `MCSP_KAFKA_SASL`; it knows this user (SCRAM-SHA-512 and PLAIN).
fn login(password: &str) -> Option<Login> {
    Some(Login { user: "mcsp".to_owned(), password: password.to_owned().into() })
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it_and_the_right_one_opens() {
    let Some(servers) = crate::engine::address("kafka_sasl") else { return };
    for mechanism in [SaslMechanism::ScramSha512, SaslMechanism::Plain] {
        let with =
            |password| KafkaOptions { login: login(password), mechanism, ..options(&servers, &namespace(), "one") };
        let error = refused(with("another-word")).await;
        let text = told(&error);
        assert!(text.starts_with(&format!("kafka at {servers} refuses user mcsp: ")), "{text}");
        assert!(!text.contains("another-word") && !error.may_pass(), "{text}");
        let right = KafkaOptions { login: crate::engine::login("kafka"), ..with("") };
        let log = KafkaLog::open(right).await.unwrap();
        log.append(vec![message(INPUT, "film", 1)]).await.unwrap();
        assert_eq!(super::all_in(&log, INPUT).await.len(), 1);
    }
}

#[tokio::test]
async fn brokers_that_want_no_login_are_named_when_one_is_given() {
    let Some(servers) = servers() else { return };
    let login = login("another-word");
    let wrong = KafkaOptions { login, connect_max: Duration::from_secs(3), ..options(&servers, "", "one") };
    let text = told(&refused(wrong).await);
    assert!(text.contains(&format!("kafka at {servers}")) && !text.contains("another-word"), "{text}");
}

#[tokio::test]
async fn too_few_partitions_or_replicas_are_refused() {
    let Some(servers) = servers() else { return };
    let namespace = namespace();
    let log = open(&servers, &namespace, "one").await;
    assert_eq!(log.partitions(&INPUT.into()).await.unwrap().len(), 8);
    let with = |partitions| {
        let mut options = options(&servers, &namespace, "two");
        options.topics[0].partitions = partitions;
        options
    };
    let error = refused(with(12)).await;
    let topic = format!("topic {namespace}{} of kafka at {servers} has 8 partitions, 12 asked for", INPUT.name());
    assert_eq!(told(&error), topic);
    assert!(!error.may_pass(), "time will not help");
    let log = KafkaLog::open(with(4)).await.unwrap();
    assert_eq!(log.partitions(&INPUT.into()).await.unwrap().len(), 8, "more than asked for are taken as they are");

    let error = refused(KafkaOptions { replication: 3, ..with(8) }).await;
    assert!(told(&error).contains("has 1 replicas, 3 asked for"), "{}", told(&error));
    let fresh = super::namespace();
    let error = refused(KafkaOptions { replication: 3, ..options(&servers, &fresh, "three") }).await;
    assert!(told(&error).contains("cannot be made at kafka at"), "{}", told(&error));
    assert!(told(&refused(with(2_000)).await).contains("2000 partitions, 1 to 1024 allowed"));
}

#[tokio::test]
async fn topics_and_calls_that_make_no_sense_are_refused() {
    let Some(servers) = servers() else { return };
    let log = open(&servers, &namespace(), "one").await;
    let group = GroupName::parse("readers").unwrap();
    let options = SubscribeOptions { member: "one".to_owned(), lease: Duration::from_secs(5) };
    let none = log.subscribe(&group, &[], options.clone()).await.err().unwrap();
    assert_eq!(none.to_string(), "group readers asks for 0 topics and a lease of 5s");
    let unknown = log.subscribe(&group, &[Topic::Published.into()], options).await.err().unwrap();
    assert_eq!(unknown.to_string(), "topic media.published is not in the catalogue");
    let unknown = log.append(vec![message(Topic::Published, "film", 1)]).await.err().unwrap();
    assert!(matches!(unknown, LogError::UnknownTopic { .. }), "{unknown:?}");
}
