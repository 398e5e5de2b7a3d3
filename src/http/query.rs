//! Query strings of Weir's own endpoints: unknown and repeated parameters are refused, with the
//! nearest known name.

use std::collections::BTreeMap;

use crate::catalog::nearest;
use crate::error::ApiError;

/// The decoded parameters of a query.
#[derive(Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a query whose parameters are all in `known`.
    ///
    /// # Errors
    /// 400 that names an unknown, repeated or undecodable parameter.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut params = BTreeMap::new();
        for pair in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_str()) {
                return Err(unknown(&name, known));
            }
            if params.insert(name.clone(), value).is_some() {
                return Err(
                    ApiError::invalid("invalid_value", format!("the parameter '{name}' appears twice")).param(name)
                );
            }
        }
        Ok(Self(params))
    }

    /// Those of a dialect's endpoint: what Weir does not know there is the dialect's, and left.
    ///
    /// # Errors
    /// 400 that names a repeated or undecodable parameter.
    pub fn of_dialect(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let ours = |pair: &&str| known.contains(&pair.split('=').next().unwrap_or_default());
        let pairs: Vec<&str> = query.unwrap_or("").split('&').filter(ours).collect();
        Self::read(Some(&pairs.join("&")), known)
    }

    /// A parameter's value, unless it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A parameter parsed by `parse`, whose error says what it must be.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ApiError> {
        self.get(name)
            .map(parse)
            .transpose()
            .map_err(|why| ApiError::invalid("invalid_value", format!("'{name}' {why}")).param(name))
    }
}

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let shown = crate::flight::bounded(name, 64);
    let hint = nearest(name, known.iter().copied(), 1)
        .first()
        .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean '{near}'?"));
    ApiError::invalid("unknown_parameter", format!("unknown parameter '{shown}'; {hint}")).param(shown)
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ApiError::invalid("invalid_value", "the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_single_and_decoded() {
        let params = Params::read(Some("from=7d&tag=a%3Db+c"), &["from", "tag", "to"]).unwrap();
        assert_eq!((params.get("from"), params.get("tag"), params.get("to")), (Some("7d"), Some("a=b c"), None));
        let error = Params::read(Some("form=7d"), &["from", "to"]).unwrap_err();
        assert!(error.message.contains("did you mean 'from'"), "{}", error.message);
        assert!(Params::read(Some("to=1&to=2"), &["to"]).unwrap_err().message.contains("twice"));
        let params = Params::of_dialect(Some("beta=true&limit=2&x=%ff"), &["limit"]).unwrap();
        assert_eq!((params.get("limit"), params.get("beta")), (Some("2"), None));
        assert!(Params::of_dialect(Some("limit=1&limit=2"), &["limit"]).is_err());
    }
}
