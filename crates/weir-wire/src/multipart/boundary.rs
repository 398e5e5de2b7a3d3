//! The boundary in a content type.

use super::MultipartError;
use super::header::params;

/// The boundary of a `multipart/form-data` content type.
///
/// Fails with [`MultipartError::NoBoundary`] on any other type, on a missing, empty, repeated or
/// overlong boundary, and on characters no boundary may have.
pub fn boundary_of(content_type: &str) -> Result<String, MultipartError> {
    let (kind, rest) = match content_type.split_once(';') {
        Some((kind, _)) => (kind, content_type.get(kind.len()..).unwrap_or_default()),
        None => (content_type, ""),
    };
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::NoBoundary);
    }
    let params = params(rest.as_bytes()).map_err(|_| MultipartError::NoBoundary)?;
    let mut boundaries = params.into_iter().filter(|(name, _)| name == b"boundary");
    match (boundaries.next(), boundaries.next()) {
        (Some((_, boundary)), None) if is_boundary(&boundary) => {
            String::from_utf8(boundary).map_err(|_| MultipartError::NoBoundary)
        }
        _ => Err(MultipartError::NoBoundary),
    }
}

/// RFC 2046: 1 to 70 of these characters, the last of them no space.
fn is_boundary(boundary: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=70).contains(&boundary.len()) && boundary.iter().all(allowed) && boundary.last() != Some(&b' ')
}
