//! The parts a turn or an answer is made of, in the order they were said.

use super::{Dialect, Extra, Form, Json, Place, ToolCall, ToolResult};

/// One part. What every part may have stands here, what it says in [`PartKind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it says.
    pub kind: PartKind,
    /// The prompt up to and including this part is worth caching.
    pub cache: Option<CacheHint>,
    /// A token by which a provider recognises its own output when it is sent back: Anthropic's
    /// `signature` of thinking, Gemini's `thoughtSignature` of any part.
    pub signature: Option<Seal>,
    /// How the dialect spelt it.
    pub form: Form,
    /// Where it stood in the caller's body.
    pub at: Place,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

impl Part {
    /// A part of this kind and nothing more.
    #[must_use]
    pub fn new(kind: PartKind) -> Self {
        Self { kind, cache: None, signature: None, form: Form::default(), at: Place::root(), extra: Extra::default() }
    }

    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartKind::Text(Text { text: text.into(), citations: Vec::new() }))
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            PartKind::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// Whether it says nothing: text, thinking or a refusal without a character, and without what
    /// a provider must see again. Dialects that refuse empty text leave it out, which is no loss.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.signature.is_none()
            && match &self.kind {
                PartKind::Text(text) => text.text.is_empty(),
                PartKind::Refusal(text) => text.is_empty(),
                PartKind::Thinking(thinking) => thinking.text.is_empty() && thinking.encrypted.is_none(),
                _ => false,
            }
    }
}

/// What a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Text.
    Text(Text),
    /// A picture.
    Image(Media),
    /// Sound: the user's, or the model's spoken answer.
    Audio(Media),
    /// A moving picture.
    Video(Media),
    /// A PDF or another file to read.
    Document(Document),
    /// What the model thought.
    Thinking(Thinking),
    /// The model wants a tool run.
    ToolCall(ToolCall),
    /// What a tool gave back.
    ToolResult(ToolResult),
    /// The model's words for why it will not answer.
    Refusal(String),
    /// What only one dialect has: server tool uses and their results, item references, code
    /// execution, safety checks. Other dialects cannot say it, and their encoders report that.
    Opaque(Opaque),
}

impl PartKind {
    /// The kind in a word, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "an image",
            Self::Audio(_) => "audio",
            Self::Video(_) => "a video",
            Self::Document(_) => "a file",
            Self::Thinking(_) => "thinking",
            Self::ToolCall(_) => "a tool call",
            Self::ToolResult(_) => "a tool result",
            Self::Refusal(_) => "a refusal",
            Self::Opaque(_) => "a provider's own part",
        }
    }
}

/// Text and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The sources of passages of it.
    pub citations: Vec<Citation>,
}

/// A source of a passage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// The first character of the passage in the part's text.
    pub start: Option<u64>,
    /// Behind the last character of the passage.
    pub end: Option<u64>,
    /// The source's title.
    pub title: Option<String>,
    /// The source's address.
    pub url: Option<String>,
    /// The words cited.
    pub quote: Option<String>,
    /// The citation as its dialect wrote it; the same dialect writes it again.
    pub raw: Option<Native>,
}

/// JSON of one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// Whose it is.
    pub dialect: Dialect,
    /// The JSON.
    pub json: Json,
}

impl Native {
    /// The JSON, for this dialect.
    #[must_use]
    pub fn of(&self, dialect: Dialect) -> Option<&Json> {
        (self.dialect == dialect).then_some(&self.json)
    }
}

/// A picture, a sound, a film, or the bytes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where its bytes are.
    pub source: Source,
    /// Its MIME type, if the caller says: `image/png`.
    pub mime: Option<String>,
    /// How closely to look: OpenAI's `low`, `high`, `auto`, `original`.
    pub detail: Option<String>,
    /// The words of a sound.
    pub transcript: Option<String>,
    /// Members beside these that only its own dialect understands.
    pub extra: Extra,
}

impl Media {
    /// Media with nothing said about it.
    #[must_use]
    pub fn new(source: Source, mime: Option<String>) -> Self {
        Self { source, mime, detail: None, transcript: None, extra: Extra::default() }
    }

    /// Media behind an address, which may be a `data:` address: that becomes [`Source::Base64`]
    /// with its MIME type, unless it is not base64.
    #[must_use]
    pub fn from_url(url: &str) -> Self {
        match split_data_url(url) {
            Some((mime, data)) => Self::new(Source::Base64(data.to_owned()), Some(mime.to_owned())),
            None => Self::new(Source::Url(url.to_owned()), None),
        }
    }

    /// The address: the one given, or a `data:` address of the bytes. `None` for a file's id.
    #[must_use]
    pub fn to_url(&self) -> Option<String> {
        match &self.source {
            Source::Url(url) => Some(url.clone()),
            Source::Base64(data) => Some(format!("data:{};base64,{data}", self.mime.as_deref().unwrap_or_default())),
            Source::File(_) | Source::Plain(_) => None,
        }
    }
}

/// The MIME type and the base64 of a `data:` address.
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let mime = head.strip_suffix(";base64")?;
    Some((mime, data))
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Here, in base64.
    Base64(String),
    /// Behind an address that the provider fetches (`https:`, `gs:`, `s3:`).
    Url(String),
    /// In a file that was uploaded to the provider before, by its id.
    File(String),
    /// Here, as text (Anthropic's and Bedrock's plain documents).
    Plain(String),
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its bytes.
    pub media: Media,
    /// Its name or title.
    pub title: Option<String>,
    /// What the caller says about it (Anthropic, Bedrock).
    pub context: Option<String>,
    /// Whether the answer shall cite it.
    pub citations: Option<bool>,
}

/// What the model thought. The signature is the part's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// The id by which its maker knows it (OpenAI's reasoning items).
    pub id: Option<String>,
    /// The thoughts in words, as far as they are shown; a summary if `summary`.
    pub text: String,
    /// Whether the text is a summary of the thoughts.
    pub summary: bool,
    /// The thoughts in a form only the provider can read: Anthropic's redacted data, OpenAI's
    /// `encrypted_content`.
    pub encrypted: Option<Seal>,
    /// The provider hid the thoughts on purpose (Anthropic's `redacted_thinking`).
    pub redacted: bool,
    /// Whose model thought it, where known: thoughts and their seals mean something to it alone.
    pub origin: Option<Dialect>,
}

/// A text that only its maker can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The text.
    pub text: String,
    /// Who made it, where known. It is worth sending to that dialect alone.
    pub origin: Option<Dialect>,
}

/// The prompt up to here is worth caching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheHint {
    /// How long.
    pub ttl: Option<CacheTtl>,
    /// The hint as its dialect wrote it; the same dialect writes it again.
    pub raw: Option<Native>,
}

/// How long a cached prompt is kept. Dialects offer two each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheTtl {
    /// `5m` (Anthropic, Bedrock)
    FiveMinutes,
    /// `30m` (OpenAI)
    HalfHour,
    /// `1h` (Anthropic, Bedrock)
    Hour,
    /// `12h` (OpenAI)
    HalfDay,
}

impl CacheTtl {
    /// Reads `5m`, `30m`, `1h`, `12h`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "5m" => Self::FiveMinutes,
            "30m" => Self::HalfHour,
            "1h" => Self::Hour,
            "12h" => Self::HalfDay,
            _ => return None,
        })
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::HalfHour => "30m",
            Self::Hour => "1h",
            Self::HalfDay => "12h",
        }
    }
}

/// What only one dialect has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Its `type`, or the member that names it, for messages.
    pub name: String,
    /// As it was written.
    pub native: Native,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_addresses_become_bytes_and_come_back() {
        for url in ["data:image/png;base64,AAAA", "data:;base64,AA==", "data:text/plain;charset=utf-8;base64,YQ=="] {
            let media = Media::from_url(url);
            assert!(matches!(media.source, Source::Base64(_)), "{url}");
            assert_eq!(media.to_url().as_deref(), Some(url));
        }
        for url in ["https://x.test/a.png", "data:text/plain,hello", "data:", ""] {
            assert_eq!(Media::from_url(url).source, Source::Url(url.to_owned()));
            assert_eq!(Media::from_url(url).to_url().as_deref(), Some(url));
        }
        assert_eq!(Media::new(Source::File("file-1".into()), None).to_url(), None);
    }

    #[test]
    fn a_sealed_part_is_never_blank() {
        let mut part = Part::text("");
        assert!(part.is_blank());
        part.signature = Some(Seal { text: "s".into(), origin: None });
        assert!(!part.is_blank());
    }

    #[test]
    fn lifetimes_have_one_word_each() {
        for word in ["5m", "30m", "1h", "12h"] {
            assert_eq!(CacheTtl::from_word(word).unwrap().word(), word);
        }
        assert_eq!(CacheTtl::from_word("1d"), None);
    }
}
