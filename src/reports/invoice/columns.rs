//! What the columns of providers' files are called.
//!
//! Anthropic's usage export has `usage_date_utc, model_version, api_key, workspace, usage_type,
//! context_window, usage_input_tokens_no_cache, usage_input_tokens_cache_write_5m, .._1h,
//! usage_input_tokens_cache_read, usage_output_tokens, web_search_count, inference_geo, speed`; its cost
//! export `usage_date_utc, model, token_type, cost_usd` and others. OpenAI's exports have `start_time,
//! end_time, start_time_iso, end_time_iso` and then the fields of its usage and costs API
//! (`UsageCompletionsResult`, `CostsResult`), the amount's as `amount_value` and `amount_currency`; an older
//! one has `n_context_tokens_total` and its like. The names of both APIs' fields are taken as well.

/// Whose form a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenAI's: prompt tokens include those from the cache.
    OpenAi,
    /// Anthropic's: prompt tokens, cache writes and cache reads are apart.
    Anthropic,
}

impl Format {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// The format of that name; `auto` is none in particular.
    ///
    /// # Errors
    /// What the name must be.
    pub fn parse(name: &str) -> Result<Option<Self>, String> {
        match name {
            "auto" => Ok(None),
            "openai" => Ok(Some(Self::OpenAi)),
            "anthropic" => Ok(Some(Self::Anthropic)),
            _ => Err("must be openai, anthropic or auto".to_owned()),
        }
    }

    /// The format that has such columns; of names that both have, the one that alone has the rest.
    pub(super) fn of(headers: &[String]) -> Option<Self> {
        let own = |names: &[&str]| headers.iter().any(|header| names.contains(&header.as_str()));
        match (own(OPENAI_ONLY), own(ANTHROPIC_ONLY)) {
            (true, false) => Some(Self::OpenAi),
            (false, true) => Some(Self::Anthropic),
            _ => None,
        }
    }

    /// What a column holds; `None` for one that is not known.
    pub(super) fn column(self, header: &str) -> Option<Column> {
        let (columns, ignored) = match self {
            Self::OpenAi => (OPENAI, OPENAI_IGNORED),
            Self::Anthropic => (ANTHROPIC, ANTHROPIC_IGNORED),
        };
        let known = columns.iter().find(|(_, names)| names.contains(&header)).map(|(column, _)| *column);
        known.or_else(|| ignored.contains(&header).then_some(Column::Ignored))
    }

    /// Among columns of one meaning the first of these counts; a lower rank is better.
    pub(super) fn rank(self, header: &str) -> usize {
        let columns = if self == Self::OpenAi { OPENAI } else { ANTHROPIC };
        columns.iter().find_map(|(_, names)| names.iter().position(|name| *name == header)).unwrap_or(usize::MAX)
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Day,
    Model,
    Item,
    Requests,
    /// All prompt tokens.
    Input,
    /// Prompt tokens that were neither read from a cache nor written to one.
    Uncached,
    Cached,
    /// Adds up with others of its kind.
    CacheWrite,
    Output,
    WebSearches,
    Dollars,
    Cents,
    Currency,
    /// Known, and of no use here.
    Ignored,
}

impl Column {
    pub(super) fn is_tokens(self) -> bool {
        matches!(self, Self::Input | Self::Uncached | Self::Cached | Self::CacheWrite | Self::Output)
    }

    pub(super) fn is_cost(self) -> bool {
        matches!(self, Self::Dollars | Self::Cents)
    }
}

type Names = &'static [(Column, &'static [&'static str])];

const OPENAI: Names = &[
    (Column::Day, &["start_time_iso", "start_time", "usage_date", "date", "timestamp", "aggregation_timestamp"]),
    (Column::Model, &["model", "snapshot_id", "model_version"]),
    (Column::Item, &["line_item"]),
    (Column::Requests, &["num_model_requests", "n_requests", "num_requests", "requests"]),
    (Column::Input, &["input_tokens", "n_context_tokens_total", "prompt_tokens"]),
    (Column::Uncached, &["input_uncached_tokens"]),
    (Column::Cached, &["input_cached_tokens", "n_cached_context_tokens_total", "cached_tokens"]),
    (Column::CacheWrite, &["input_cache_write_tokens"]),
    (Column::Output, &["output_tokens", "n_generated_tokens_total", "completion_tokens"]),
    (Column::WebSearches, &["num_web_searches"]),
    (Column::Dollars, &["amount_value", "cost_usd", "amount_usd", "cost", "amount"]),
    (Column::Currency, &["amount_currency", "currency"]),
];

const OPENAI_ONLY: &[&str] = &[
    "start_time_iso",
    "amount_value",
    "line_item",
    "num_model_requests",
    "input_cached_tokens",
    "n_context_tokens_total",
    "n_requests",
];

const OPENAI_IGNORED: &[&str] = &[
    "end_time",
    "end_time_iso",
    "object",
    "operation",
    "usage_type",
    "project",
    "project_id",
    "project_name",
    "organization",
    "organization_id",
    "organization_name",
    "user",
    "user_id",
    "user_email",
    "api_key_id",
    "api_key_name",
    "api_key_redacted",
    "batch",
    "service_tier",
    "quantity",
    "input_text_tokens",
    "output_text_tokens",
    "input_cached_text_tokens",
    "input_audio_tokens",
    "input_cached_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "input_cached_image_tokens",
    "output_image_tokens",
];

const ANTHROPIC: Names = &[
    (Column::Day, &["usage_date_utc", "usage_date", "starting_at", "date"]),
    (Column::Model, &["model_version", "model"]),
    (Column::Item, &["token_type", "description", "cost_type"]),
    (Column::Requests, &["request_count", "requests"]),
    (Column::Uncached, &["usage_input_tokens_no_cache", "uncached_input_tokens", "input_tokens"]),
    (Column::Cached, &["usage_input_tokens_cache_read", "cache_read_input_tokens"]),
    (
        Column::CacheWrite,
        &[
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_write",
            "cache_creation_ephemeral_5m_input_tokens",
            "cache_creation_ephemeral_1h_input_tokens",
            "cache_creation_input_tokens",
        ],
    ),
    (Column::Output, &["usage_output_tokens", "output_tokens"]),
    (Column::WebSearches, &["web_search_count", "web_search_requests", "server_tool_use_web_search_requests"]),
    (Column::Dollars, &["cost_usd"]),
    // The cost API gives amounts in cents ("lowest currency units").
    (Column::Cents, &["amount"]),
    (Column::Currency, &["currency"]),
];

const ANTHROPIC_ONLY: &[&str] = &[
    "usage_date_utc",
    "usage_input_tokens_no_cache",
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "token_type",
    "starting_at",
];

const ANTHROPIC_IGNORED: &[&str] = &[
    "ending_at",
    "api_key",
    "api_key_id",
    "workspace",
    "workspace_id",
    "usage_type",
    "service_tier",
    "context_window",
    "inference_geo",
    "speed",
    "list_price_usd",
];

/// A header as it is looked up: without a byte order mark, in lower case, words joined by `_`.
pub(super) fn normal(header: &str) -> String {
    let header = header.trim().trim_start_matches('\u{feff}').to_lowercase();
    let words: Vec<&str> = header.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Option<Format> {
        Format::of(&header.split(',').map(normal).collect::<Vec<_>>())
    }

    #[test]
    fn a_format_is_told_by_its_own_columns() {
        assert_eq!(of("\u{feff}start_time,end_time,start_time_iso,end_time_iso"), Some(Format::OpenAi));
        assert_eq!(of("Usage Date (UTC),Model,Input Tokens"), Some(Format::Anthropic));
        assert_eq!(of("date,model,input_tokens"), None, "both have these");
        assert_eq!(of("usage_date_utc,line_item"), None, "no format has both");
    }

    #[test]
    fn no_name_means_two_things() {
        for (format, columns, ignored) in
            [(Format::OpenAi, OPENAI, OPENAI_IGNORED), (Format::Anthropic, ANTHROPIC, ANTHROPIC_IGNORED)]
        {
            let all: Vec<&str> = columns.iter().flat_map(|(_, names)| names.iter()).chain(ignored).copied().collect();
            let unique: std::collections::BTreeSet<&str> = all.iter().copied().collect();
            assert_eq!(all.len(), unique.len(), "{format:?}");
            assert!(all.iter().all(|name| normal(name) == *name), "{format:?}");
        }
    }
}
