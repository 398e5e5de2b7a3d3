//! Bytes in JSON. Google takes both alphabets of base64, padded or not, and its SDKs write the one for
//! URLs; the other dialects take the standard one, padded.

use std::borrow::Cow;

/// How base64 was spelt, other than standard and padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spelling {
    /// With the alphabet for URLs.
    pub(super) url: bool,
    /// Without padding.
    pub(super) bare: bool,
}

/// The text in standard padded base64, and how it was spelt. What is no base64 stays as it is.
pub(super) fn standard(text: &str) -> (Cow<'_, str>, Spelling) {
    let usual = (Cow::Borrowed(text), Spelling::default());
    let digits = text.trim_end_matches('=');
    let url = digits.contains(['-', '_']);
    let bare = digits.len() == text.len() && matches!(text.len() % 4, 2 | 3);
    if !(url || bare) {
        return usual;
    }
    let known = |byte: u8| match byte {
        b'-' | b'_' => url,
        b'+' | b'/' => !url,
        byte => byte.is_ascii_alphanumeric(),
    };
    if !digits.bytes().all(known) || (!bare && !text.len().is_multiple_of(4)) {
        return usual;
    }
    let mut spelt = if url { text.replace('-', "+").replace('_', "/") } else { text.to_owned() };
    if bare {
        spelt.push_str(if text.len() % 4 == 2 { "==" } else { "=" });
    }
    (Cow::Owned(spelt), Spelling { url, bare })
}

/// Standard padded base64 as it was spelt.
pub(super) fn respelt(text: &str, spelling: Spelling) -> Cow<'_, str> {
    let text = if spelling.bare { text.trim_end_matches('=') } else { text };
    match spelling.url {
        true => Cow::Owned(text.replace('+', "-").replace('/', "_")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base64;

    #[test]
    fn every_spelling_of_bytes_is_one() {
        for spelt in ["+/8=", "-_8=", "+/8", "-_8"] {
            assert_eq!(standard(spelt).0, "+/8=", "{spelt}");
        }
        assert_eq!(standard("_w==").0, "/w==");
        for other in ["", "+/8=", "AAAA", "A", "-", "-_8==", "a-+b", "a b-", "gs://x", "é-_", "=-_="] {
            assert_eq!(standard(other), (Cow::Borrowed(other), Spelling::default()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn each_spelling_comes_back(text in "[A-Za-z0-9+/=_é-]{0,12}") {
            let (spelt, spelling) = standard(&text);
            prop_assert_eq!(&respelt(&spelt, spelling), &text);
        }

        #[test]
        fn bytes_stay_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..64), url: bool, bare: bool) {
            let usual = base64::encode(&bytes);
            let spelt = respelt(&usual, Spelling { url, bare });
            let (back, _) = standard(&spelt);
            prop_assert_eq!(back.as_ref(), usual.as_str());
        }
    }
}
