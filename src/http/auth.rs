//! Who is calling: a virtual key in one of four headers, or the admin key.

use http::{HeaderMap, HeaderName, header};

use crate::error::ApiError;
use crate::flight::Caller;
use crate::gate::keys::{Dead, Found, KeyData};
use crate::gate::secret::{KeyHash, is_garbled};
use crate::state::{Gateway, key_data};
use crate::store;

/// Longest key that is looked at.
const MAX_KEY: usize = 512;

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A virtual key (or everybody, where keys are not required).
    Key(Caller),
    /// The admin key.
    Admin,
}

/// Finds out who is calling.
///
/// # Errors
/// 401 without a valid key, 400 when two headers disagree, 503 when the database that would know is
/// away: a key that cannot be looked up is not an invalid key.
pub async fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Identity, ApiError> {
    let Some(key) = presented(headers)? else {
        return anonymous(gateway).ok_or_else(missing);
    };
    let found = if key.len() > MAX_KEY || is_garbled(key) { Found::Unknown } else { find(gateway, key).await? };
    match found {
        Found::Key(slot, key) => Ok(Identity::Key(Caller { slot, key })),
        Found::Dead(Dead::Expired) => Err(ApiError::unauthorized("invalid_api_key", "the API key has expired")),
        Found::Dead(Dead::Revoked) => Err(ApiError::unauthorized("invalid_api_key", "the API key has been revoked")),
        Found::Unknown | Found::Miss if gateway.is_admin(&KeyHash::of(key)) => Ok(Identity::Admin),
        Found::Unknown | Found::Miss => anonymous(gateway).ok_or_else(invalid),
    }
}

/// Everybody, where no key is needed.
fn anonymous(gateway: &Gateway) -> Option<Identity> {
    gateway.anonymous.load_full().map(|caller| Identity::Key((*caller).clone()))
}

fn missing() -> ApiError {
    let message = "no API key: send a virtual key as 'Authorization: Bearer sk-weir-...', or in x-api-key, api-key or x-goog-api-key";
    ApiError::unauthorized("missing_api_key", message)
}

fn invalid() -> ApiError {
    ApiError::unauthorized("invalid_api_key", "the API key is not valid here; it must be a virtual key of this gateway")
}

/// Memory first; the database once per unknown key, with bounded concurrency.
async fn find(gateway: &Gateway, key: &str) -> Result<Found, ApiError> {
    let hash = KeyHash::of(key);
    match gateway.keys.find(&hash) {
        Found::Miss if gateway.is_admin(&hash) => Ok(Found::Unknown),
        // Boxed: a database query is large, and the hot path does not make one.
        Found::Miss => Box::pin(look_up(gateway, hash)).await,
        found => Ok(found),
    }
}

async fn look_up(gateway: &Gateway, hash: KeyHash) -> Result<Found, ApiError> {
    let _place = gateway.key_lookups.acquire().await.map_err(|_| ApiError::overloaded("the gateway is stopping"))?;
    // Another request may have asked meanwhile.
    match gateway.keys.find(&hash) {
        Found::Miss => {}
        found => return Ok(found),
    }
    let mut asked = gateway.keys.generation();
    let mut data = read_key(gateway, &hash).await?;
    // An answer that a change overtook is not kept, and a key that is not kept has no limits yet:
    // ask again, but not forever.
    for _ in 0..4 {
        let now = gateway.keys.generation();
        if now == asked {
            break;
        }
        asked = now;
        data = read_key(gateway, &hash).await?;
    }
    if data.is_some() {
        // A key does not work before its budget does.
        gateway.follow_budgets().await.map_err(|_| ApiError::database_away())?;
    }
    Ok(gateway.keys.learn(hash, data, asked))
}

async fn read_key(gateway: &Gateway, hash: &KeyHash) -> Result<Option<KeyData>, ApiError> {
    let row = store::keys::by_hash(&gateway.db, &store::keys::KeyHash(hash.0)).await.map_err(|error| {
        tracing::error!(%error, "a key could not be looked up: {error}");
        ApiError::database_away()
    })?;
    row.map(key_data).transpose().map_err(|why| {
        tracing::error!(%why, "a stored key is unusable: {why}");
        ApiError::database_away()
    })
}

/// The key a request presents. Several headers may repeat one key, but not disagree.
///
/// # Errors
/// 400 when they disagree, 401 when one is garbled.
pub fn presented(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut found = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        merge(&mut found, bearer(value.to_str().map_err(|_| invalid())?)?)?;
    }
    for name in ["x-api-key", "api-key", "x-goog-api-key"] {
        for value in headers.get_all(HeaderName::from_static(name)) {
            let value = value.to_str().map_err(|_| invalid())?.trim();
            if !value.is_empty() {
                merge(&mut found, value)?;
            }
        }
    }
    Ok(found)
}

fn merge<'h>(found: &mut Option<&'h str>, key: &'h str) -> Result<(), ApiError> {
    match found {
        Some(other) if *other != key => {
            Err(ApiError::invalid("conflicting_api_keys", "the request carries two different API keys; send one"))
        }
        _ => {
            *found = Some(key);
            Ok(())
        }
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &str) -> Result<&str, ApiError> {
    let value = value.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::unauthorized("invalid_api_key", "the Authorization header must be 'Bearer <key>'"));
    }
    if token.is_empty() { Err(missing()) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &[(&'static str, &'static str)], expected: Result<Option<&str>, &str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let got = presented(&headers).map_err(|e| e.code().to_owned());
        assert_eq!(got, expected.map_err(ToOwned::to_owned), "{list:?}");
    }

    #[test]
    fn all_four_headers_carry_keys() {
        check(&[("authorization", "Bearer k")], Ok(Some("k")));
        check(&[("authorization", "bearer   k ")], Ok(Some("k")));
        check(&[("x-api-key", "k")], Ok(Some("k")));
        check(&[("api-key", "k")], Ok(Some("k")));
        check(&[("x-goog-api-key", "k")], Ok(Some("k")));
        check(&[("authorization", "Bearer k"), ("x-api-key", "k")], Ok(Some("k")));
        check(&[], Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        check(&[("authorization", "Bearer")], Err("missing_api_key"));
        check(&[("authorization", "Basic abc")], Err("invalid_api_key"));
        check(&[("authorization", "Bearer a"), ("x-api-key", "b")], Err("conflicting_api_keys"));
        check(&[("authorization", "Bearer a"), ("authorization", "Bearer b")], Err("conflicting_api_keys"));
    }
}
