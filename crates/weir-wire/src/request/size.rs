//! How large a prompt is, without counting its tokens.

use memchr::memmem;

use crate::estimate;
use crate::json::Span;

/// The size of a prompt as it lies in the body, JSON syntax included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of text and JSON, without media.
    pub text_bytes: u64,
    /// Pictures, sounds and files sent inline as base64.
    pub media: u64,
    /// Their bytes of base64.
    pub media_bytes: u64,
    /// A rough count of tokens: [`estimate::tokens`] of the text, and
    /// [`estimate::MEDIA_TOKENS`] for each medium.
    pub estimated_tokens: u64,
}

/// What announces inline media: data URLs, and the `data` of an `input_audio` part.
const MARKS: [&[u8]; 2] = [b";base64,", b"\"data\""];
/// Shorter runs are words, not media.
const SHORTEST_MEDIUM: usize = 256;

/// Measures the spans of `body` that make up the prompt.
pub(super) fn measure(body: &[u8], spans: impl Iterator<Item = Span>) -> PromptSize {
    let mut size = PromptSize::default();
    for span in spans {
        size.span(span.of(body));
    }
    size.estimated_tokens += size.media * estimate::MEDIA_TOKENS;
    size
}

impl PromptSize {
    fn span(&mut self, mut text: &[u8]) {
        let [url, data] = MARKS.map(memmem::Finder::new);
        while let Some(start) = first(url.find(text), data.find(text)) {
            let media = start + medium_offset(text.get(start..).unwrap_or_default());
            let (before, rest) = text.split_at(media.min(text.len()));
            let run = base64_run(rest);
            self.text(before);
            if run >= SHORTEST_MEDIUM {
                self.media += 1;
                self.media_bytes += run as u64;
            } else {
                self.text(rest.get(..run).unwrap_or_default());
            }
            text = rest.get(run..).unwrap_or_default();
        }
        self.text(text);
    }

    fn text(&mut self, text: &[u8]) {
        self.text_bytes += text.len() as u64;
        self.estimated_tokens += estimate::tokens(text);
    }
}

fn first(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a.into_iter().chain(b).min()
}

/// Where the base64 behind a mark begins, counted from the mark: past the mark itself and, for
/// a key, past the colon and the opening quote.
fn medium_offset(marked: &[u8]) -> usize {
    let [url, data] = MARKS;
    if marked.starts_with(url) {
        return url.len();
    }
    let tail = marked.get(data.len()..).unwrap_or_default();
    let gap = tail.iter().take_while(|byte| b" \t\r\n:\"".contains(byte)).count();
    data.len() + gap
}

fn base64_run(bytes: &[u8]) -> usize {
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    bytes.iter().position(|byte| !alphabet(byte)).unwrap_or(bytes.len())
}
