//! Released samples decode for ever. A missing one is made with `UPDATE_GOLDEN=1`; one that is there is never changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Once;

use mcsp_events::{Event, EventError, Headers, Inputs, Message, Topic, TopicName, for_each_event};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::made;

/// A sample as its file has it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) topic: TopicName,
    pub(crate) key: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Value,
}

impl Sample {
    fn of(message: &Message) -> Self {
        let headers = message.headers.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let payload = serde_json::from_slice(&message.payload).unwrap();
        Self { topic: message.topic.clone(), key: message.key.clone(), headers, payload }
    }

    fn headers(&self) -> Headers {
        Headers::from_pairs(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
    }

    fn read<E: Event>(&self) -> Result<E, EventError> {
        <E as Inputs>::read(&self.topic, &self.headers(), &serde_json::to_vec(&self.payload).unwrap())
    }
}

fn folder() -> PathBuf {
    static MADE: Once = Once::new();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/events");
    MADE.call_once(|| make_missing(&folder));
    folder
}

/// Makes the samples that are not there yet, when asked to.
fn make_missing(folder: &Path) {
    if std::env::var_os("UPDATE_GOLDEN").is_none() {
        return;
    }
    std::fs::create_dir_all(folder).unwrap();
    for topic in Topic::ALL {
        let message = made::message(*topic);
        let path = folder.join(format!("{}.v{}.json", topic.name(), message.headers.version));
        if !path.exists() {
            let text = serde_json::to_string_pretty(&Sample::of(&message)).unwrap();
            std::fs::write(path, text + "\n").unwrap();
        }
    }
}

/// Returns every released sample of a topic, of any version.
pub(crate) fn samples(topic: Topic) -> Vec<Sample> {
    let mut samples = Vec::new();
    for version in 1_u32.. {
        let path = folder().join(format!("{}.v{version}.json", topic.name()));
        let Ok(text) = std::fs::read_to_string(&path) else { break };
        let sample: Sample = serde_json::from_str(&text).unwrap();
        assert_eq!(sample.topic, TopicName::from(topic), "{}", path.display());
        assert_eq!(sample.headers().version, version, "{}", path.display());
        samples.push(sample);
    }
    samples
}

/// Returns every sample of a payload, from each of its topics.
fn samples_of<E: Event>() -> Vec<Sample> {
    E::TOPICS.iter().flat_map(|topic| samples(*topic)).collect()
}

#[test]
fn every_topic_has_a_sample_of_its_version() {
    for topic in Topic::ALL {
        let version = made::message(*topic).headers.version;
        let last = samples(*topic).last().map(|sample| sample.headers().version);
        assert_eq!(last, Some(version), "topic {} lacks a sample: UPDATE_GOLDEN=1 makes one", topic.name());
    }
    let released = std::fs::read_dir(folder()).unwrap().count();
    let known: usize = Topic::ALL.iter().map(|topic| samples(*topic).len()).sum();
    assert_eq!(released, known, "{} holds files that are no sample of a topic", folder().display());
}

#[test]
fn released_samples_decode_for_ever() {
    fn check<E: Event + Debug>() {
        for sample in samples_of::<E>() {
            let event: E = sample.read().unwrap_or_else(|error| panic!("{}: {error:?}", sample.topic));
            assert_eq!(TopicName::from(event.topic()), sample.topic);
            assert_eq!(event.key(), sample.key, "{}", sample.topic);
            let again = serde_json::to_value(&event).unwrap();
            assert_eq!(serde_json::from_value::<E>(again.clone()).unwrap_or_else(|error| panic!("{error}")), event);
            // A field that came later may be added, with its default; none that was said may be lost.
            for (name, value) in sample.payload.as_object().unwrap() {
                assert_eq!(again.get(name), Some(value), "field {name} of {}", sample.topic);
            }
        }
    }
    macro_rules! check {
        ($($name:ident),+) => { $(check::<mcsp_events::$name>();)+ };
    }
    for_each_event!(check);
}

#[test]
fn headers_of_samples_are_written_as_they_were_read() {
    for sample in Topic::ALL.iter().flat_map(|topic| samples(*topic)) {
        let pairs: BTreeMap<String, String> =
            sample.headers().pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(pairs, sample.headers, "{}", sample.topic);
    }
}

#[test]
fn another_version_is_named() {
    fn check<E: Event + Debug>() {
        for mut sample in samples_of::<E>() {
            let next = E::VERSION + 1;
            let kind = format!("mcsp.{}.v{next}", E::TOPICS[0].name());
            sample.headers.insert("ce_type".to_owned(), kind);
            let error = sample.read::<E>().unwrap_err();
            assert!(matches!(error, EventError::Version { .. }), "{error:?}");
            let expected =
                format!("event of topic {} has version {next}, this build reads version {}", sample.topic, E::VERSION);
            assert_eq!(error.to_string(), expected);
        }
    }
    macro_rules! check {
        ($($name:ident),+) => { $(check::<mcsp_events::$name>();)+ };
    }
    for_each_event!(check);
}

#[test]
fn fields_of_later_releases_are_passed_over() {
    fn check<E: Event + Debug>() {
        for mut sample in samples_of::<E>() {
            let known: E = sample.read().unwrap();
            let field = ("from_a_later_release".to_owned(), serde_json::json!({ "any": ["thing"] }));
            sample.payload.as_object_mut().unwrap().extend([field]);
            assert_eq!(sample.read::<E>().unwrap_or_else(|error| panic!("{}: {error:?}", sample.topic)), known);
        }
    }
    macro_rules! check {
        ($($name:ident),+) => { $(check::<mcsp_events::$name>();)+ };
    }
    for_each_event!(check);
}

#[test]
fn a_missing_field_is_a_wrong_shape() {
    fn check<E: Event + Debug>() {
        for sample in samples_of::<E>() {
            let schema = schemars::schema_for!(E);
            for name in schema.get("required").and_then(Value::as_array).unwrap() {
                let mut payload = sample.payload.clone();
                let removed = payload.as_object_mut().unwrap().remove(name.as_str().unwrap());
                assert!(removed.is_some(), "the sample of {} lacks {name}", sample.topic);
                let cut = Sample {
                    topic: sample.topic.clone(),
                    key: String::new(),
                    headers: sample.headers.clone(),
                    payload,
                };
                let error = cut.read::<E>().unwrap_err();
                assert!(matches!(error, EventError::Shape { .. }), "{} without {name}: {error:?}", sample.topic);
            }
        }
    }
    macro_rules! check {
        ($($name:ident),+) => { $(check::<mcsp_events::$name>();)+ };
    }
    for_each_event!(check);
}

#[test]
fn a_record_of_another_topic_is_refused() {
    let sample = samples(Topic::Published).remove(0);
    let error = sample.read::<mcsp_events::UploadBlocked>().unwrap_err();
    assert_eq!(error.to_string(), "mcsp_events::catalogue::UploadBlocked does not read topic media.published");
}
