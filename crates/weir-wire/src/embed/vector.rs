//! A vector, as decimals or packed, and the one out of the other.

use crate::base64;
use crate::hub::Json;
use crate::json::{Kind, Reader};

/// A vector as its provider wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vector {
    /// A list of decimals, as they were written.
    Floats(Json),
    /// 32-bit floats in little-endian order, in base64. Valid, and every number finite.
    Packed(String),
}

impl Vector {
    /// Reads a list of numbers; `None` for anything else.
    #[must_use]
    pub fn floats(json: &str) -> Option<Self> {
        each(json, |_| ())?;
        Some(Self::Floats(Json::checked(json)))
    }

    /// Reads packed numbers; `None` if they are no whole finite floats.
    #[must_use]
    pub fn packed(text: &str) -> Option<Self> {
        let bytes = base64::decode(text)?;
        let (whole, rest) = bytes.as_chunks::<4>();
        let finite = whole.iter().all(|four| f32::from_le_bytes(*four).is_finite());
        (rest.is_empty() && finite).then(|| Self::Packed(text.to_owned()))
    }

    /// As a list of decimals: as it was written, or for each float the shortest that reads as the
    /// same.
    #[must_use]
    pub fn to_floats(&self) -> String {
        let text = match self {
            Self::Floats(json) => return json.as_str().to_owned(),
            Self::Packed(text) => text,
        };
        let bytes = base64::decode(text).unwrap_or_default();
        let decimal = |four: &[u8; 4]| format!("{:?}", f32::from_le_bytes(*four));
        let all: Vec<String> = bytes.as_chunks::<4>().0.iter().map(decimal).collect();
        format!("[{}]", all.join(","))
    }

    /// Packed: as it was, or each decimal rounded to the nearest float.
    #[must_use]
    pub fn to_packed(&self) -> String {
        match self {
            Self::Packed(text) => text.clone(),
            Self::Floats(json) => {
                let mut bytes = Vec::new();
                let _: Option<()> = each(json.as_str(), |number| {
                    // Rounded from the text at once: by way of a double it would be rounded twice.
                    let float: f32 = number.parse().unwrap_or_default();
                    bytes.extend_from_slice(&float.to_le_bytes());
                });
                base64::encode(&bytes)
            }
        }
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Packed(text) => base64::decode(text).map_or(0, |bytes| bytes.len() / 4),
            Self::Floats(json) => {
                let mut count = 0;
                let _: Option<()> = each(json.as_str(), |_| count += 1);
                count
            }
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Goes through a list of numbers; `None` if it is none.
fn each(json: &str, mut visit: impl FnMut(&str)) -> Option<()> {
    let mut reader = Reader::new(json.as_bytes()).ok()?;
    let mut numbers = true;
    let read = reader.array(|reader| {
        let value = reader.skip()?;
        numbers &= value.kind == Kind::Number;
        visit(reader.raw(value.span));
        Ok(())
    });
    (read.is_ok() && numbers).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_numbers() {
        let vector = Vector::floats("[1.0, -2, 0.1,1e-10]").unwrap();
        assert_eq!(vector.to_packed(), "AACAPwAAAMDNzMw9/+bbLg==");
        assert_eq!(vector.to_floats(), "[1.0, -2, 0.1,1e-10]");
        assert_eq!(vector.len(), 4);
        assert_eq!(Vector::packed("AACAPwAAAMDNzMw9/+bbLg==").unwrap().to_floats(), "[1.0,-2.0,0.1,1e-10]");
        assert!(Vector::packed("").unwrap().is_empty() && Vector::floats("[]").unwrap().is_empty());
    }

    #[test]
    fn a_decimal_between_two_floats_is_rounded_once() {
        // Just above the middle between 1 and the next float; a double rounds it to the middle itself.
        let text = "1.00000005960464477540";
        assert_eq!(text.parse::<f64>().unwrap() as f32, 1.0);
        let packed = Vector::floats(&format!("[{text}]")).unwrap().to_packed();
        assert_eq!(Vector::packed(&packed).unwrap().to_floats(), "[1.0000001]");
    }

    #[test]
    fn what_is_no_vector_is_none() {
        for json in ["[1,null]", "[\"1\"]", "{}", "[[1]]", "1", "[NaN]", ""] {
            assert_eq!(Vector::floats(json), None, "{json}");
        }
        let infinite = base64::encode(&f32::INFINITY.to_le_bytes());
        for text in ["AAA=", "AACAPw", "AACAPw=", "x", &infinite] {
            assert_eq!(Vector::packed(text).is_some(), text == "AACAPw", "{text}");
        }
    }

    proptest! {
        #[test]
        fn floats_come_back_bit_for_bit(bits in proptest::collection::vec(any::<u32>(), 0..16)) {
            let finite = bits.into_iter().map(f32::from_bits).filter(|float| float.is_finite());
            let bytes: Vec<u8> = finite.flat_map(f32::to_le_bytes).collect();
            let vector = Vector::packed(&base64::encode(&bytes)).unwrap();
            let decimals = Vector::floats(&vector.to_floats()).unwrap();
            prop_assert_eq!(decimals.to_packed(), vector.to_packed());
            prop_assert_eq!(decimals.len(), vector.len());
        }
    }
}
