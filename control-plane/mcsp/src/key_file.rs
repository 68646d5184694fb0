//! The key file: `{"keys":[{"track":"*"|"AUDIO"|"SD"|"HD","kid":hex,"key":hex,"iv":hex (optional)}]}`, mode 0600.
//! Keys never stand on a command line, in a log or in an error.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use mcsp_domain::{ContentKey, Digest, KeyId, Protection, Scheme, TrackClass, TrackKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A key file is a few keys; more is not one.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// The keys of one key file.
pub(crate) struct KeyFile {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Whether this process made the file.
    is_made: bool,
}

struct Entry {
    /// `None` is `*`.
    class: Option<TrackClass>,
    kid: KeyId,
    key: ContentKey,
    iv: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    keys: Vec<EntryText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    track: String,
    kid: String,
    key: Zeroizing<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    iv: Option<String>,
}

impl KeyFile {
    /// Reads a key file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = || format!("key file {}", path.display());
        let meta = fs::metadata(path).with_context(name)?;
        ensure!(meta.is_file(), "{} is not a regular file", name());
        let len_bytes = meta.len();
        ensure!(len_bytes <= KEY_FILE_BYTES_MAX, "{} has {len_bytes} bytes, {KEY_FILE_BYTES_MAX} allowed", name());
        let text = Zeroizing::new(fs::read_to_string(path).with_context(name)?);
        // A parser's message may repeat what stands in the file, so only its place is told.
        let file: FileText = serde_json::from_str(&text).map_err(|error| {
            anyhow!(
                "{} is not of the form {{\"keys\":[{{\"track\",\"kid\",\"key\"}}]}}: line {} column {}",
                name(),
                error.line(),
                error.column()
            )
        })?;
        let entries = file.keys.into_iter().enumerate();
        let entries =
            entries.map(|(index, entry)| Entry::parse(entry).with_context(|| format!("{}: key {index}", name())));
        let entries: Vec<Entry> = entries.collect::<anyhow::Result<_>>()?;
        ensure!(!entries.is_empty(), "{} holds no key", name());
        for (index, entry) in entries.iter().enumerate() {
            let twin = entries.iter().take(index).any(|other| other.class == entry.class);
            ensure!(!twin, "{}: key {index}: track {} stands twice", name(), entry.track());
        }
        Ok(Self { path: path.to_owned(), entries, is_made: false })
    }

    /// Reads the key file, or makes it with fresh random keys for every track class where there is none.
    pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<Self> {
        let is_made = !path.exists();
        if is_made {
            make(path)?;
        }
        Ok(Self { is_made, ..Self::read(path)? })
    }

    /// Removes the file if this run made it: keys of a run that failed protect nothing.
    pub(crate) fn discard_if_made(&self) -> anyhow::Result<()> {
        if !self.is_made {
            return Ok(());
        }
        fs::remove_file(&self.path).with_context(|| format!("could not remove key file {}", self.path.display()))
    }

    /// Returns every key with its id, for the licence endpoint.
    pub(crate) fn licences(&self) -> Vec<(KeyId, ContentKey)> {
        self.entries.iter().map(|entry| (entry.kid, entry.key.clone())).collect()
    }

    /// Returns the protection of a run. IVs that the file does not give are drawn from `fingerprint`, which names all that
    /// decides the run's bytes, so that one key never meets one counter with two contents.
    ///
    /// `needed` lists the classes that the run has; each must have a key.
    pub(crate) fn protection(
        &self,
        scheme: Scheme,
        needed: &[TrackClass],
        fingerprint: &Digest,
    ) -> anyhow::Result<Protection> {
        let find = |class: TrackClass| {
            let own = self.entries.iter().find(|entry| entry.class == Some(class));
            own.or_else(|| self.entries.iter().find(|entry| entry.class.is_none()))
        };
        for class in needed {
            let path = self.path.display();
            ensure!(find(*class).is_some(), "key file {path} has no key for track {} and none for *", class.name());
        }
        let key = |class: TrackClass| {
            // A class that no rendition has may lack a key: it is never asked for.
            let entry = find(class).or(self.entries.first()).context("a key file with no key")?;
            entry.track_key(scheme, fingerprint).with_context(|| format!("key file {}", self.path.display()))
        };
        Ok(Protection { scheme, audio: key(TrackClass::Audio)?, sd: key(TrackClass::Sd)?, hd: key(TrackClass::Hd)? })
    }
}

impl Entry {
    fn parse(text: EntryText) -> anyhow::Result<Self> {
        let class = match text.track.as_str() {
            "*" => None,
            name => {
                Some(TrackClass::of_name(name).ok_or_else(|| anyhow!("track {name:?} is none of *, AUDIO, SD, HD"))?)
            }
        };
        let iv = text.iv.map(|iv| hex::decode(&iv).map_err(|_| anyhow!("iv {iv:?} is not hexadecimal"))).transpose()?;
        if let Some(iv) = &iv
            && ![8, 16].contains(&iv.len())
        {
            bail!("iv has {} bytes, 8 or 16 allowed", iv.len());
        }
        Ok(Self { class, kid: KeyId::parse(&text.kid)?, key: ContentKey::parse(&text.key)?, iv })
    }

    fn track(&self) -> &'static str {
        self.class.map_or("*", TrackClass::name)
    }

    fn track_key(&self, scheme: Scheme, fingerprint: &Digest) -> anyhow::Result<TrackKey> {
        let Some(given) = &self.iv else { return Ok(TrackKey::drawn(self.kid, self.key.clone(), fingerprint)) };
        if scheme == Scheme::Cbcs && given.len() != 16 {
            bail!("iv of track {} has {} bytes, cbcs takes 16", self.track(), given.len());
        }
        let mut iv = [0; 16];
        iv[..given.len()].copy_from_slice(given);
        Ok(TrackKey { kid: self.kid, key: self.key.clone(), iv })
    }
}

/// Makes a key file with a fresh key for each track class; it appears whole, readable by its owner alone.
fn make(path: &Path) -> anyhow::Result<()> {
    let mut keys = Vec::new();
    for class in TrackClass::ALL {
        let (mut kid, mut key) = ([0; 16], Zeroizing::new([0; 16]));
        getrandom::fill(&mut kid).map_err(|error| anyhow!("no randomness for a key id: {error}"))?;
        getrandom::fill(key.as_mut_slice()).map_err(|error| anyhow!("no randomness for a key: {error}"))?;
        let key = Zeroizing::new(hex::encode(key.as_slice()));
        keys.push(EntryText { track: class.name().to_owned(), kid: hex::encode(kid), key, iv: None });
    }
    let text = Zeroizing::new(serde_json::to_string_pretty(&FileText { keys })? + "\n");
    let unfinished = path.with_extension(format!("unfinished-{}", std::process::id()));
    // A process of the same id that was killed here may have left its own.
    let _ = fs::remove_file(&unfinished);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    written.with_context(|| format!("could not make key file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(text: &str) -> anyhow::Result<KeyFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.json");
        fs::write(&path, text).unwrap();
        KeyFile::read(&path)
    }

    fn refusal(text: &str) -> String {
        let Err(error) = read(text) else { panic!("{text} was taken") };
        let message = format!("{error:#}");
        message.split_once("k.json").map_or(message.clone(), |(_, rest)| rest.to_owned())
    }

    const KID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn makes_a_private_file_and_reads_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.keys.json");
        let made = KeyFile::read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = KeyFile::read_or_make(&path).unwrap();
        assert_eq!(made.licences().len(), 3);
        assert!(made.licences().iter().zip(again.licences()).all(|(a, b)| a.0 == b.0 && a.1.expose() == b.1.expose()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn refuses_what_is_no_key_file_without_repeating_secrets() {
        assert!(refusal("{}").contains("is not of the form"));
        assert_eq!(refusal(r#"{"keys":[]}"#), " holds no key");
        let entry = |track: &str, key: &str| format!(r#"{{"track":"{track}","kid":"{KID}","key":"{key}"}}"#);
        assert!(
            refusal(&format!(r#"{{"keys":[{}]}}"#, entry("UHD", KID))).contains("\"UHD\" is none of *, AUDIO, SD, HD")
        );
        let short = refusal(&format!(r#"{{"keys":[{}]}}"#, entry("*", "5ec2e7")));
        assert!(short.contains("not 32 hexadecimal digits") && !short.contains("5ec2e7"), "{short}");
        let twice = format!(r#"{{"keys":[{0},{0}]}}"#, entry("SD", KID));
        assert!(refusal(&twice).contains("track SD stands twice"));
    }

    #[test]
    fn ivs_differ_by_plan_and_are_taken_from_the_file_where_it_has_them() {
        let plain = read(&format!(r#"{{"keys":[{{"track":"*","kid":"{KID}","key":"{KID}"}}]}}"#)).unwrap();
        let iv = |plan: &[u8]| plain.protection(Scheme::Cenc, &TrackClass::ALL, &Digest::of(&[plan])).unwrap().hd.iv;
        assert_eq!(iv(b"one"), iv(b"one"));
        assert_ne!(iv(b"one"), iv(b"two"));
        let own = read(&format!(r#"{{"keys":[{{"track":"HD","kid":"{KID}","key":"{KID}","iv":"{KID}"}}]}}"#)).unwrap();
        let digest = Digest::of(&[b"plan"]);
        let protection = own.protection(Scheme::Cbcs, &[TrackClass::Hd], &digest).unwrap();
        assert_eq!(hex::encode(protection.hd.iv), KID);
        let missing = own.protection(Scheme::Cbcs, &[TrackClass::Audio], &digest).err().unwrap().to_string();
        assert!(missing.ends_with("has no key for track AUDIO and none for *"), "{missing}");
    }
}
