//! Signed receipts: what a request cost, in a form that whoever has the public key can check.
//!
//! A receipt is the usage row as `/v1/usage` gives it, with a member `receipt`. The signature is Ed25519
//! (RFC 8032) over the canonical JSON (RFC 8785) of all of it but `receipt.signature`, in base64url
//! without padding. `key_id` is the public key's thumbprint (RFC 7638).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::canonical::canonical;
use crate::clock::{Entropy, UnixMs};
use crate::record::rfc3339;
use crate::store::{Db, StoreError, StoreErrorKind, settings};

/// The version of the form.
pub const VERSION: u64 = 1;
/// The only algorithm.
pub const ALGORITHM: &str = "Ed25519";
/// Where a key that was made is kept.
const SETTING: &str = "receipt_key";
const SEED: usize = 32;

/// A key that signs. Its `Debug` shows the public part alone.
pub struct Signer {
    pair: Ed25519KeyPair,
    key_id: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A text that is no signing key. The text itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a signing key: expected the 32 bytes of an Ed25519 seed as base64, as of `openssl rand -base64 32`")]
pub struct NotAKey;

/// Why a receipt does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It lacks what receipts have.
    #[error("not a receipt: {0}")]
    Form(&'static str),
    /// The key that is given is none.
    #[error("not a public key: expected a JWK with kty OKP, crv Ed25519 and x")]
    Key,
    /// Another key signed it.
    #[error("signed by the key {signed}, and the key given is {given}")]
    OtherKey {
        /// The key that the receipt names.
        signed: String,
        /// The key it was checked with.
        given: String,
    },
    /// Something was changed after it was signed.
    #[error("the signature does not fit: the receipt was changed, or its key_id is not true")]
    Signature,
}

impl Signer {
    /// A signer with a key of the configuration's.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_text(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).map_err(|_| NotAKey)?;
        let seed: [u8; SEED] = bytes.try_into().map_err(|_| NotAKey)?;
        Self::from_seed(&seed)
    }

    /// The key of this database, made now if it has none. Of several replicas, one makes it.
    ///
    /// # Errors
    /// `Corrupt` when what is kept is no key; else as any call to the store.
    pub async fn stored(db: &Db, chance: &Entropy) -> Result<Self, StoreError> {
        let kept = match settings::get(db, SETTING).await? {
            Some(kept) => kept,
            None => {
                let mut seed = [0; SEED];
                chance.fill(&mut seed);
                settings::set_if_absent(db, SETTING, &STANDARD.encode(seed)).await?;
                settings::get(db, SETTING).await?.unwrap_or_default()
            }
        };
        Self::from_text(&kept).map_err(|_| {
            StoreError::new(StoreErrorKind::Corrupt, "the stored key for receipts is damaged; set WEIR_RECEIPT_KEY")
        })
    }

    fn from_seed(seed: &[u8; SEED]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NotAKey)?;
        let key_id = thumbprint(pair.public_key().as_ref());
        Ok(Self { pair, key_id })
    }

    /// The public key, as a JWK (RFC 8037).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.key_id, "alg": "EdDSA", "use": "sig"})
    }

    /// A row as a receipt. `same_id` is how many rows have its id.
    #[must_use]
    pub fn sign(&self, row: Value, now: UnixMs, same_id: usize) -> Value {
        let mut signed = row;
        signed["receipt"] = json!({
            "version": VERSION,
            "issued_at": rfc3339(now),
            "key_id": self.key_id,
            "algorithm": ALGORITHM,
            "rows_with_this_id": same_id,
        });
        let signature = self.pair.sign(canonical(&signed).as_bytes());
        signed["receipt"]["signature"] = URL_SAFE_NO_PAD.encode(signature.as_ref()).into();
        signed
    }
}

/// Checks a receipt with a public key (a JWK). Answers the key's id.
///
/// # Errors
/// Why it does not hold.
pub fn verify(receipt: &Value, jwk: &Value) -> Result<String, Invalid> {
    let mut signed = receipt.clone();
    let told = signed.get_mut("receipt").and_then(Value::as_object_mut).ok_or(Invalid::Form("no member 'receipt'"))?;
    let signature = told.shift_remove("signature").ok_or(Invalid::Form("no signature"))?;
    if told.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err(Invalid::Form("its version is not 1"));
    }
    if told.get("algorithm").and_then(Value::as_str) != Some(ALGORITHM) {
        return Err(Invalid::Form("its algorithm is not Ed25519"));
    }
    let key = public_key(jwk).ok_or(Invalid::Key)?;
    let given = thumbprint(&key);
    let key_id = told.get("key_id").and_then(Value::as_str).ok_or(Invalid::Form("no key_id"))?.to_owned();
    if key_id != given {
        return Err(Invalid::OtherKey { signed: key_id, given });
    }
    let bytes = signature.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Invalid::Signature)?;
    let text = canonical(&signed);
    UnparsedPublicKey::new(&ED25519, &key).verify(text.as_bytes(), &bytes).map_err(|_| Invalid::Signature)?;
    Ok(given)
}

fn public_key(jwk: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if (text("kty"), text("crv")) != (Some("OKP"), Some("Ed25519")) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text("x")?).ok().filter(|key| key.len() == SEED)
}

/// RFC 7638: the digest of the key's required members in their canonical form.
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        // The key of RFC 8037, appendix A.1.
        Signer::from_text("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap()
    }

    fn receipt() -> Value {
        signer().sign(json!({"id": "r", "cost_usd": "0.000000150", "metadata": {"rate": 0.25}}), 1_795_000_000_000, 1)
    }

    #[test]
    fn keys_are_those_of_the_standard() {
        let jwk = signer().jwk();
        assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(jwk["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(!format!("{:?}", signer()).contains("nWGx"));
    }

    #[test]
    fn a_receipt_holds_however_it_is_written_down() {
        let jwk = signer().jwk();
        let text = format!("{:#}", receipt());
        let mut read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(verify(&read, &jwk).unwrap(), jwk["kid"]);
        // Another order of members is the same receipt.
        let id = read.as_object_mut().unwrap().shift_remove("id").unwrap();
        read["id"] = id;
        assert!(verify(&read, &jwk).is_ok());
    }

    #[test]
    fn what_was_changed_does_not_hold() {
        let jwk = signer().jwk();
        for (pointer, value) in [
            ("/cost_usd", json!("0.000000149")),
            ("/metadata/rate", json!(0.26)),
            ("/receipt/issued_at", json!("2026-01-01T00:00:00.000Z")),
            ("/receipt/rows_with_this_id", json!(2)),
            ("/receipt/signature", json!("AAAA")),
            ("/receipt/signature", json!(7)),
        ] {
            let mut changed = receipt();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert_eq!(verify(&changed, &jwk), Err(Invalid::Signature), "{pointer}");
        }
        let mut more = receipt();
        more["discount"] = json!("1");
        assert_eq!(verify(&more, &jwk), Err(Invalid::Signature));
    }

    #[test]
    fn what_is_no_receipt_or_no_key_is_told() {
        let jwk = signer().jwk();
        assert!(matches!(verify(&json!({}), &jwk), Err(Invalid::Form(_))));
        assert!(matches!(verify(&json!([1]), &jwk), Err(Invalid::Form(_))));
        for (member, value) in [("version", json!(2)), ("algorithm", json!("none")), ("key_id", json!(null))] {
            let mut other = receipt();
            other["receipt"][member] = value;
            assert!(matches!(verify(&other, &jwk), Err(Invalid::Form(_))), "{member}");
        }
        for key in [json!({}), json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), json!({"kty": "RSA"})] {
            assert_eq!(verify(&receipt(), &key), Err(Invalid::Key), "{key}");
        }
        let other = Signer::from_seed(&[7; SEED]).unwrap().jwk();
        assert!(matches!(verify(&receipt(), &other), Err(Invalid::OtherKey { .. })));
        for text in ["", "AAAA", "not base64!", &STANDARD.encode([0; 33])] {
            assert!(Signer::from_text(text).is_err(), "{text}");
        }
    }
}
