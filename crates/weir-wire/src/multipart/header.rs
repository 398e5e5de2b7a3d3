//! A part's headers: is it the model?

use super::MultipartError;

type Parsed<T> = Result<T, MultipartError>;

/// A header parameter: its lower-case name and its value.
pub(super) type Param = (Vec<u8>, Vec<u8>);

/// Whether these headers, up to and including the empty line, are those of the text field
/// `model`. Headers that could be read in two ways are an error.
pub(super) fn names_model(block: &[u8]) -> Parsed<bool> {
    let (mut disposition, mut encoded) = (None, false);
    for line in lines(block)? {
        let (name, value) = split(line)?;
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.replace(value).is_some() {
                return malformed("a part has two content-disposition headers");
            }
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            encoded = ![b"7bit".as_slice(), b"8bit", b"binary"]
                .iter()
                .any(|plain| value.trim_ascii().eq_ignore_ascii_case(plain));
        }
    }
    let Some(disposition) = disposition else {
        return malformed("a part has no content-disposition header");
    };
    let (is_model, is_file) = field(disposition)?;
    match is_model && (is_file || encoded) {
        true => Err(MultipartError::BadModel),
        false => Ok(is_model),
    }
}

/// Reads `; name=value; name="value"`, from the first semicolon on.
pub(super) fn params(mut text: &[u8]) -> Parsed<Vec<Param>> {
    let mut params: Vec<Param> = Vec::new();
    loop {
        text = text.trim_ascii();
        let Some(rest) = text.strip_prefix(b";") else {
            break;
        };
        text = rest.trim_ascii_start();
        if text.is_empty() {
            break;
        }
        let equals = memchr::memchr(b'=', text).filter(|at| is_token(text.get(..*at)));
        let Some((name, tail)) = equals.and_then(|at| text.split_at_checked(at)) else {
            return malformed("a header parameter has no value");
        };
        let (value, rest) = value(tail.get(1..).unwrap_or_default())?;
        params.push((name.to_ascii_lowercase(), value.to_vec()));
        text = rest;
    }
    match text.is_empty() {
        true => Ok(params),
        false => malformed("text follows a header parameter"),
    }
}

fn malformed<T>(what: &'static str) -> Parsed<T> {
    Err(MultipartError::Malformed(what))
}

/// The header lines, without their CRLF.
fn lines(block: &[u8]) -> Parsed<Vec<&[u8]>> {
    let mut lines = Vec::new();
    for line in block.split(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\r") else {
            if line.is_empty() {
                continue;
            }
            return malformed("a header line does not end in CRLF");
        };
        if line.contains(&b'\r') || line.contains(&0) {
            return malformed("control character in a header");
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return malformed("folded header line");
        }
        lines.extend((!line.is_empty()).then_some(line));
    }
    Ok(lines)
}

fn split(line: &[u8]) -> Parsed<(&[u8], &[u8])> {
    let name = memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at));
    match name {
        Some((name, value)) if is_token(Some(name)) => Ok((name, value.get(1..).unwrap_or_default())),
        _ => malformed("header line without a name"),
    }
}

/// Whether a content disposition is that of a field `model`, and of a file.
fn field(disposition: &[u8]) -> Parsed<(bool, bool)> {
    let end = memchr::memchr(b';', disposition).unwrap_or(disposition.len());
    let (kind, rest) = disposition.split_at(end);
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return malformed("a part's content-disposition is not form-data");
    }
    let (mut name, mut file) = (None, false);
    for (key, value) in params(rest)? {
        match key.as_slice() {
            b"name" if name.is_none() => name = Some(value),
            b"name" | b"name*" => return malformed("a part's name can be read in two ways"),
            b"filename" | b"filename*" => file = true,
            _ => {}
        }
    }
    match name {
        Some(name) => Ok((name == b"model", file)),
        None => malformed("a part has no name"),
    }
}

/// A parameter's value and the text after it.
fn value(text: &[u8]) -> Parsed<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| b"; \t".contains(byte)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return match is_token(Some(value)) {
            true => Ok((value, rest)),
            false => malformed("a header parameter's value needs quotes"),
        };
    };
    let Some(end) = memchr::memchr(b'"', quoted) else {
        return malformed("a header parameter's quotes are not closed");
    };
    let (value, rest) = quoted.split_at(end);
    // Some parsers take \" for an escaped quote, others for a backslash and the end.
    if value.ends_with(b"\\") {
        return malformed("write a quote in a name as %22");
    }
    Ok((value, rest.get(1..).unwrap_or_default()))
}

/// A token, and in a value also the characters boundaries are made of.
fn is_token(text: Option<&[u8]>) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"\";,<>@[]{}\\".contains(byte);
    text.is_some_and(|text| !text.is_empty() && text.iter().all(allowed))
}
