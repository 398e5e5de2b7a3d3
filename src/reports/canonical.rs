//! JSON in one form only (RFC 8785, the JSON Canonicalization Scheme), so that a signature over it holds
//! whoever wrote the text down.

use serde_json::{Number, Value};

/// The canonical text of a value.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            // Names are ordered by their UTF-16 code units (section 3.2.3).
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (name, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                string(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// Escapes what must be escaped and nothing else (section 3.2.2.2), as serde_json does.
fn string(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// As ECMAScript writes the number's double (section 3.2.2.3). JSON has no other numbers there: an
/// integer beyond 2^53 is its nearest double.
#[expect(clippy::cast_precision_loss, reason = "RFC 8785 knows doubles only")]
fn number_text(number: &Number) -> String {
    const EXACT: u64 = 1 << 53;
    if let Some(whole) = number.as_i64().filter(|whole| whole.unsigned_abs() <= EXACT) {
        return whole.to_string();
    }
    let double = number.as_i64().map(|n| n as f64).or_else(|| number.as_u64().map(|n| n as f64)).or(number.as_f64());
    ecmascript(double.unwrap_or(0.0))
}

/// `Number::toString` of ECMAScript (ECMA-262, 6.1.6.1.20): the shortest digits that mean the same
/// double, with an exponent from 1e21 on and below 1e-6.
fn ecmascript(double: f64) -> String {
    if double == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let sign = if double < 0.0 { "-" } else { "" };
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let at = |n: i32| usize::try_from(n).unwrap_or(0).min(digits.len());
    let point = exponent + 1;
    let text = if (count..=21).contains(&point) {
        format!("{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        format!("{}.{}", &digits[..at(point)], &digits[at(point)..])
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let plus = if exponent < 0 { "" } else { "+" };
        let rest = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        format!("{}{rest}e{plus}{exponent}", &digits[..at(1)])
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(given: &str, expected: &str) {
        assert_eq!(canonical(&serde_json::from_str(given).unwrap()), expected, "{given}");
    }

    #[test]
    fn the_order_and_the_spaces_do_not_matter() {
        check(r#" {"b" : 1, "a":[ 1 , {"y":null,"x":true} ] } "#, r#"{"a":[1,{"x":true,"y":null}],"b":1}"#);
        // The example of RFC 8785, 3.2.3: by UTF-16, not by code point.
        let given = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let order = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(&given), order);
    }

    #[test]
    fn texts_are_escaped_no_more_than_they_must() {
        check(r#""\u00e9\/\u0001\n\u001F\\\"""#, "\"é/\\u0001\\n\\u001f\\\\\\\"\"");
    }

    #[test]
    fn numbers_are_written_as_ecmascript_does() {
        // Samples of RFC 8785, appendix B.
        for (bits, expected) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(ecmascript(f64::from_bits(bits)), expected, "{bits:x}");
        }
        check("[1e2,-0,4.50,10,9007199254740993]", "[100,0,4.5,10,9007199254740992]");
    }
}
