//! Names of endpoints in rows and metrics: a closed list, so that labels are bounded.

/// OpenAI's resources below `/v1` (its OpenAPI document), longest first where one begins another, and Weir's
/// own.
const NAMES: [&str; 43] = [
    "chat/completions",
    "completions",
    "embeddings",
    "responses",
    "models",
    "moderations",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "audio/voices",
    "audio/voice_consents",
    "files",
    "uploads",
    "batches",
    "fine_tuning/jobs",
    "fine_tuning/checkpoints",
    "fine_tuning/alpha",
    "vector_stores",
    "assistants",
    "threads",
    "conversations",
    "containers",
    "evals",
    "videos",
    "realtime",
    "live",
    "decisions",
    "skills",
    "chatkit",
    "rerank",
    "organization",
    "projects",
    "agents",
    "vaults",
    "webhook_endpoints",
    "safety",
    "messages",
    "edits",
    "usage",
    "estimate",
];

/// The name of the endpoint that serves a path below `/v1/`; `other` for a path that is none.
#[must_use]
pub fn name_of(path: &str) -> &'static str {
    let below = |name: &&&str| path.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    NAMES.iter().find(below).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_become_names() {
        for (path, name) in [
            ("chat/completions", "chat/completions"),
            ("chat/completions/chatcmpl-1/messages", "chat/completions"),
            ("files/file-1/content", "files"),
            ("filesystem", "other"),
            ("", "other"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
    }
}
