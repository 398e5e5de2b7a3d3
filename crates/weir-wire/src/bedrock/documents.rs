//! Documents: read and written, with names as AWS wants them.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encode_request::Writing;
use super::form::{BEDROCK, open};
use super::media;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Document, Fields, LossKind, Media, Part, Source};

/// The longest name AWS takes.
const MAX_NAME: usize = 200;

/// The formats and their MIME types; of several types of a format the first is written.
const FORMATS: [(&str, &str); 12] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "application/csv"),
    ("pdf", "application/x-pdf"),
    ("md", "text/x-markdown"),
];

/// Takes `document`; `None` for what says more than is understood.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<Document>, DecodeError> {
    let Some(mut inner) = fields.object("document")? else { return Ok(None) };
    let mime = match inner.word("format")? {
        None => None,
        Some(word) => match FORMATS.iter().find(|(format, _)| *format == word) {
            Some((_, mime)) => Some((*mime).to_owned()),
            None => return Ok(None),
        },
    };
    let Some(source) = media::source(&mut inner)? else { return Ok(None) };
    let title = inner.word("name")?;
    let context = inner.word("context")?;
    let citations = match open(&mut inner, "citations")? {
        None => None,
        Some(mut config) => match (config.flag("enabled")?, config.is_empty()) {
            (Some(enabled), true) => Some(enabled),
            _ => return Ok(None),
        },
    };
    let media = Media { extra: inner.rest(BEDROCK), ..Media::new(source, mime) };
    Ok(Some(Document { media, title, context, citations }))
}

/// Writes a document's members.
pub(super) fn write(o: &mut Obj<'_>, part: &Part, document: &Document, writing: &mut Writing<'_>) {
    let Document { media, title, context, citations } = document;
    writing.losses.extra(&media.extra, &part.at);
    if !media::reachable(part, &media.source, writing) {
        return;
    }
    let format = format(document);
    if format.is_none() && !writing.same() {
        let why = "of this type is not taken by Bedrock: send pdf, csv, doc, docx, xls, xlsx, html, txt or md";
        return writing.losses.refuse_part(part, why);
    }
    let name = if writing.same() { title.clone() } else { Some(writing.name(part, title.as_deref(), format)) };
    let cites = *citations == Some(true) && !writing.capabilities().citations;
    if cites {
        writing.losses.add(part.at.as_str(), LossKind::Dropped, "citations: the model gives none");
    }
    o.object("document", |o| {
        o.opt_text("format", format);
        o.opt_text("name", name.as_deref());
        match &media.source {
            // Every model takes bytes, not every one text.
            Source::Plain(text) if !writing.same() => {
                o.object("source", |o| o.text("bytes", &STANDARD.encode(text)));
            }
            _ => media::write_source(o, media),
        }
        o.opt_text("context", context.as_deref());
        if let Some(enabled) = citations.filter(|_| !cites) {
            o.object("citations", |o| o.flag("enabled", enabled));
        }
        o.extra(&media.extra, BEDROCK);
    });
}

/// The format: by the MIME type, the bytes, or the name's ending.
fn format(document: &Document) -> Option<&'static str> {
    let media = &document.media;
    let plain = matches!(media.source, Source::Plain(_)).then_some("text/plain");
    let mime = media.mime.as_deref().or_else(|| media::sniff(&media.source)).or(plain);
    let mime = mime.map(|mime| mime.split(';').next().unwrap_or(mime).trim()).filter(|mime| !mime.is_empty());
    let found = mime.and_then(|mime| FORMATS.iter().find(|(_, known)| *known == mime)).map(|(format, _)| *format);
    let unsaid = mime.is_none_or(|mime| mime == "application/octet-stream");
    let ending = document.title.as_deref().and_then(|title| title.rsplit_once('.')).filter(|_| unsaid);
    found.or_else(|| {
        let (_, ending) = ending?;
        FORMATS.iter().find(|(format, _)| ending.eq_ignore_ascii_case(format)).map(|(format, _)| *format)
    })
}

/// Gives the documents of one request the names AWS takes: letters, digits, single spaces,
/// hyphens, parentheses and brackets, each name once.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: HashSet<String>,
    /// How often each name was wanted, so that a thousand of one name are not each tried anew.
    wanted: HashMap<String, usize>,
}

impl Names {
    /// The name for a document, and whether more of its title was changed than the ending that
    /// the format says anyway.
    pub(super) fn give(&mut self, title: Option<&str>, format: Option<&str>) -> (String, bool) {
        let wanted = stem(title.unwrap_or("document"), format);
        let mut name = clean(wanted);
        if name.is_empty() {
            "document".clone_into(&mut name);
        }
        let base = name.clone();
        let count = self.wanted.entry(base.clone()).or_insert(1);
        while !self.given.insert(name.clone()) {
            *count += 1;
            let tail = format!(" ({count})");
            name = format!("{}{tail}", crate::text::cut(&base, MAX_NAME - tail.len()).trim_end());
        }
        let changed = name != wanted;
        (name, changed)
    }
}

/// The title without the ending of its format.
fn stem<'t>(title: &'t str, format: Option<&str>) -> &'t str {
    match (title.rsplit_once('.'), format) {
        (Some((stem, ending)), Some(format)) if ending.eq_ignore_ascii_case(format) => stem,
        _ => title,
    }
}

fn clean(title: &str) -> String {
    let mut name = String::new();
    for letter in title.chars() {
        let letter = match letter {
            letter if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']') => letter,
            letter if letter.is_whitespace() => ' ',
            _ => '-',
        };
        let repeated = matches!(letter, ' ' | '-') && name.ends_with(letter);
        if !repeated && name.len() < MAX_NAME {
            name.push(letter);
        }
    }
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(titles: &[&str], expected: &[&str]) {
        let mut names = Names::default();
        let given: Vec<String> = titles.iter().map(|title| names.give(Some(title), Some("pdf")).0).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn names_are_as_aws_takes_them_and_each_is_given_once() {
        check(&["report.pdf", "report.PDF", "report"], &["report", "report (2)", "report (3)"]);
        check(&["a.b_c\t d/../e.pdf", "", "...", " x  y "], &["a-b-c d-e", "document", "-", "x y"]);
        check(&["übersicht [1] (neu)"], &["-bersicht [1] (neu)"]);
        check(&["a (2)", "a", "a", "a"], &["a (2)", "a", "a (3)", "a (4)"]);
        let long = "x".repeat(300);
        let mut names = Names::default();
        let first = names.give(Some(&long), None).0;
        let second = names.give(Some(&long), None).0;
        assert!(first.len() == 200 && second.len() == 200 && second.ends_with(" (2)"));
    }

    #[test]
    fn only_what_the_format_does_not_say_is_a_change() {
        let changed = |title| Names::default().give(title, Some("pdf")).1;
        assert!(!changed(Some("a b.pdf")) && !changed(None) && changed(Some("a.b.pdf")));
    }
}
