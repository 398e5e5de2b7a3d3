//! `${VAR}` and `${VAR:-default}` in text.

/// Defaults may hold variables themselves, to this depth.
const MAX_DEPTH: usize = 8;
/// The longest text that an expansion may give, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// Reads a variable of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `text` with its variables put in. `$$` is a dollar sign; a dollar sign before anything else
/// stands for itself. An empty variable counts as unset for `:-`, as in a shell. What a variable
/// holds is not expanded again.
///
/// # Errors
/// Names the variable that is not set, or what is wrong with the syntax.
pub(super) fn expand(text: &str, env: Env<'_>) -> Result<String, String> {
    expand_to(text, env, 0)
}

fn expand_to(text: &str, env: Env<'_>, depth: usize) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing_brace(after).ok_or("`${` without its `}`; write `$$` for a plain dollar sign")?;
            out.push_str(&variable(&after[..end], env, depth)?);
            rest = &after[end + 1..];
        } else {
            out.push('$');
        }
        if out.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} bytes when expanded"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Words before a secret that are none.
const SCHEMES: [&str; 5] = ["", "bearer", "basic", "token", "key"];

/// Whether `text` holds variables alone, without defaults, at most with the name of a scheme before them: it
/// tells where a secret is found, and none itself.
pub(super) fn is_reference(text: &str) -> bool {
    let (mut rest, mut literal, mut variables) = (text, String::new(), 0_usize);
    while let Some((before, after)) = rest.split_once("${") {
        let Some(end) = closing_brace(after) else { return false };
        let default = after[..end].split_once(":-").map_or("", |(_, default)| default);
        if !default.is_empty() {
            return false;
        }
        literal.push_str(before);
        variables += 1;
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    variables > 0 && SCHEMES.contains(&literal.trim().to_ascii_lowercase().as_str())
}

/// Where the brace stands that closes the one before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if i > 0 && text.as_bytes()[i - 1] == b'$' => open += 1,
            b'}' if open == 0 => return Some(i),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn variable(inner: &str, env: Env<'_>, depth: usize) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = |(i, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (i > 0 && byte.is_ascii_digit());
    if name.is_empty() || !name.bytes().enumerate().all(valid) {
        return Err("`${..}` must hold the name of a variable, such as `${OPENAI_API_KEY}`".into());
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(_)) if depth >= MAX_DEPTH => Err(format!("defaults of variables nested deeper than {MAX_DEPTH}")),
        (_, Some(default)) => expand_to(default, env, depth + 1),
        (None, None) => {
            Err(format!("the environment variable {name} is not set; set it or write `${{{name}:-default}}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOST}$$".into()),
            "LONG" => Some("x".repeat(MAX_LENGTH / 2)),
            _ => None,
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, &env).unwrap(), expected, "{text}");
    }

    #[test]
    fn variables_and_defaults() {
        check("plain", "plain");
        check("https://${HOST}/v1", "https://example.com/v1");
        check("${HOST}${HOST}", "example.comexample.com");
        check("${NONE:-7}", "7");
        check("${NONE:-}", "");
        check("${EMPTY:-x}", "x");
        check("a${EMPTY}b", "ab");
        check("${NONE:-${HOST}:1}", "example.com:1");
        check("${NONE:-{}", "{");
    }

    #[test]
    fn references_hold_no_secret() {
        for text in ["${KEY}", "Bearer ${KEY}", "${A}${B}", "${KEY:-}"] {
            assert!(is_reference(text), "{text}");
        }
        for text in ["", "sk-live", "sk-${TAIL}", "${KEY:-sk-live}", "$${KEY}sk", "${KEY", "postgres://u:p@${HOST}/w"] {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn dollars_that_are_only_dollars() {
        check("$$", "$");
        check("$${HOST}", "${HOST}");
        check("pa$word $", "pa$word $");
        check("${TRICK}", "${HOST}$$");
        check("é${HOST}é", "éexample.comé");
    }

    #[test]
    fn what_cannot_be_expanded_is_told() {
        let fault = |text: &str| expand(text, &env).unwrap_err();
        assert!(fault("${NONE}").contains("NONE is not set"));
        assert!(fault("${HOST").contains("without its `}`"));
        for text in ["${}", "${1A}", "${A B}", "${:-x}", "${é}"] {
            assert!(fault(text).contains("name of a variable"), "{text}");
        }
        assert!(fault("${LONG}${LONG}x${LONG}").contains("longer than"));
        assert!(fault(&format!("{}x{}", "${N:-".repeat(20), "}".repeat(20))).contains("nested deeper"));
    }
}
