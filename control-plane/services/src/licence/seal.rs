//! The seal of a content key at rest: AES-256-GCM (NIST SP 800-38D) under a master key, with a random 96-bit nonce, bound
//! to plan, class and key id: a row copied over another opens nothing.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use mcsp_catalog::SealedKey;
use mcsp_domain::{ContentKey, Digest, KeyId, PlanId, TrackClass};
use zeroize::Zeroizing;

use super::MasterKey;

/// What a seal binds a key to.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) plan: PlanId,
    pub(super) class: TrackClass,
    pub(super) kid: KeyId,
}

/// Seals a key. `nonce` must be random: a nonce that meets the same master key twice gives both keys away.
pub(super) fn seal(master: &MasterKey, nonce: [u8; 12], bound: Bound, key: &ContentKey) -> SealedKey {
    let mut text = Zeroizing::new(*key.expose());
    let cipher = Aes256Gcm::new(master.expose().into());
    let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), &bound.digest(), text.as_mut_slice().into());
    let Ok(tag) = tag else { unreachable!("16 bytes are within the bounds of AES-GCM") };
    let mut sealed = [0; 32];
    sealed[..16].copy_from_slice(&*text);
    sealed[16..].copy_from_slice(&tag);
    let Bound { plan, class, kid } = bound;
    SealedKey { plan, class, kid, master_id: master.id().to_owned(), nonce, sealed }
}

/// Opens a sealed key; `None` when it was sealed by another key, for something else, or changed.
pub(super) fn open(master: &MasterKey, sealed: &SealedKey) -> Option<ContentKey> {
    let mut text = Zeroizing::new([0; 16]);
    let mut tag = [0; 16];
    text.copy_from_slice(&sealed.sealed[..16]);
    tag.copy_from_slice(&sealed.sealed[16..]);
    let bound = Bound { plan: sealed.plan, class: sealed.class, kid: sealed.kid };
    Aes256Gcm::new(master.expose().into())
        .decrypt_inout_detached(
            &Nonce::from(sealed.nonce),
            &bound.digest(),
            text.as_mut_slice().into(),
            &Tag::from(tag),
        )
        .ok()?;
    Some(ContentKey::from_bytes(*text))
}

impl Bound {
    fn digest(&self) -> [u8; 32] {
        let parts = [b"mcsp content key", &self.plan.as_bytes()[..], self.class.name().as_bytes(), self.kid.as_bytes()];
        *Digest::of(&parts).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(class: TrackClass) -> Bound {
        Bound { plan: PlanId::from_bytes([1; 16]), class, kid: KeyId::from_bytes([2; 16]) }
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let master = MasterKey::from_bytes([3; 32]);
        let key = ContentKey::from_bytes([4; 16]);
        let sealed = seal(&master, [5; 12], bound(TrackClass::Sd), &key);
        assert_eq!(open(&master, &sealed).unwrap().expose(), key.expose());
        assert_ne!(&sealed.sealed[..16], key.expose());

        assert!(open(&MasterKey::from_bytes([9; 32]), &sealed).is_none(), "another master key");
        let moved = [
            SealedKey { class: TrackClass::Hd, ..sealed.clone() },
            SealedKey { plan: PlanId::from_bytes([9; 16]), ..sealed.clone() },
            SealedKey { kid: KeyId::from_bytes([9; 16]), ..sealed.clone() },
            SealedKey { nonce: [9; 12], ..sealed.clone() },
        ];
        assert!(moved.iter().all(|row| open(&master, row).is_none()), "bound to its row");
        for index in 0..32 {
            let mut changed = sealed.clone();
            changed.sealed[index] ^= 1;
            assert!(open(&master, &changed).is_none(), "byte {index} was changed");
        }
    }
}
