//! The seal of a webhook's secret at rest: AES-256-GCM (NIST SP 800-38D) under a master key, with a random 96-bit nonce, bound
//! to its webhook. As text: master key id, nonce, ciphertext with tag, apart by colons.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use mcsp_domain::{Digest, WebhookId};
use mcsp_token::WebhookSecret;
use zeroize::Zeroizing;

use super::NotifyError;
use crate::licence::MasterKeys;

/// Bytes of a secret that we make.
const SECRET_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Makes a random secret.
pub(super) fn new_secret() -> Result<WebhookSecret, NotifyError> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(NotifyError::Randomness)?;
    let Ok(secret) = WebhookSecret::from_bytes(&*bytes) else { unreachable!("32 bytes are a webhook secret") };
    Ok(secret)
}

/// Seals a secret by the newest master key.
pub(super) fn seal(masters: &MasterKeys, webhook: WebhookId, secret: &WebhookSecret) -> Result<String, NotifyError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(NotifyError::Randomness)?;
    let master = masters.newest();
    let mut text = Zeroizing::new(secret.expose().to_vec());
    let cipher = Aes256Gcm::new(master.expose().into());
    let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), &bound(webhook), text.as_mut_slice().into());
    let Ok(tag) = tag else { unreachable!("a secret is within the bounds of AES-GCM") };
    Ok(format!("{}:{}:{}{}", master.id(), hex::encode(nonce), hex::encode(&*text), hex::encode(tag)))
}

/// Opens a sealed secret.
pub(super) fn open(masters: &MasterKeys, webhook: WebhookId, sealed: &str) -> Result<WebhookSecret, NotifyError> {
    let fault = |why: &str| NotifyError::Secret { webhook: webhook.to_string(), why: why.to_owned() };
    let parts: Vec<&str> = sealed.split(':').collect();
    let [id, nonce, text] = parts[..] else { return Err(fault("its row is no seal")) };
    let Some(master) = masters.find(id) else { return Err(fault(&format!("master key {id} was not given"))) };
    let mut nonce_bytes = [0; NONCE_BYTES];
    hex::decode_to_slice(nonce, &mut nonce_bytes).map_err(|_| fault("its row is no seal"))?;
    let mut text = Zeroizing::new(hex::decode(text).map_err(|_| fault("its row is no seal"))?);
    let secret_bytes = text.len().checked_sub(TAG_BYTES).ok_or_else(|| fault("its row is no seal"))?;
    let (secret, tag) = text.split_at_mut(secret_bytes);
    let mut tag_bytes = [0; TAG_BYTES];
    tag_bytes.copy_from_slice(tag);
    Aes256Gcm::new(master.expose().into())
        .decrypt_inout_detached(
            &Nonce::from(nonce_bytes),
            &bound(webhook),
            (&mut *secret).into(),
            &Tag::from(tag_bytes),
        )
        .map_err(|_| fault("its row was changed"))?;
    WebhookSecret::from_bytes(secret).map_err(|error| fault(&error.to_string()))
}

fn bound(webhook: WebhookId) -> [u8; 32] {
    *Digest::of(&[b"mcsp webhook secret", webhook.as_bytes()]).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licence::MasterKey;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let [old, new] = [3, 4].map(|byte| MasterKey::from_bytes([byte; 32]));
        let webhook = WebhookId::from_bytes([1; 16]);
        let secret = new_secret().unwrap();
        let sealed = seal(&MasterKeys::new(old.clone(), Vec::new()), webhook, &secret).unwrap();
        assert!(!sealed.contains(&hex::encode(secret.expose())), "it is hidden");

        let masters = MasterKeys::new(new.clone(), vec![old]);
        assert!(open(&masters, webhook, &sealed).unwrap() == secret);
        let why = |masters: &MasterKeys, webhook, sealed: &str| match open(masters, webhook, sealed) {
            Err(NotifyError::Secret { why, .. }) => why,
            _ => panic!("{sealed} was opened"),
        };
        assert_eq!(why(&masters, WebhookId::from_bytes([2; 16]), &sealed), "its row was changed");
        assert!(why(&MasterKeys::new(new, Vec::new()), webhook, &sealed).ends_with("was not given"));
        let changed = format!("{}{}", &sealed[..sealed.len() - 1], if sealed.ends_with('0') { '1' } else { '0' });
        assert_eq!(why(&masters, webhook, &changed), "its row was changed");
        for text in ["", "a:b", &sealed[..sealed.len() - 90]] {
            assert!(!why(&masters, webhook, text).is_empty());
        }
    }
}
