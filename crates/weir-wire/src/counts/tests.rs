use proptest::prelude::*;

use super::*;

fn read(text: &str, rules: &UsageRules) -> Option<Reading> {
    let mut reader = Reader::new(text.as_bytes()).unwrap();
    let reading = read_usage(&mut reader, rules).unwrap();
    reader.end().unwrap();
    reading
}

/// A reading that needed no bending.
fn check(text: &str, rules: &UsageRules, expected: Usage) {
    let expected = Reading { usage: expected, clamped: false };
    assert_eq!(read(text, rules), Some(expected), "{text}");
}

fn check_default(text: &str, expected: Usage) {
    check(text, &UsageRules::default(), expected);
}

fn check_clamped(text: &str, input: u64, output: u64) {
    let reading = read(text, &UsageRules::default()).unwrap();
    assert_eq!((reading.usage.input, reading.usage.output), (input, output), "{text}");
    assert!(reading.clamped, "{text}");
}

#[test]
fn openai_chat() {
    check_default(
        r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
        "prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":20,"audio_tokens":3,"image_tokens":4,"text_tokens":93},
        "completion_tokens_details":{"reasoning_tokens":30,"audio_tokens":1,"accepted_prediction_tokens":0,"rejected_prediction_tokens":5}}"#,
        Usage {
            input: 100,
            output: 50,
            cached: 40,
            cache_write: 20,
            audio_input: 3,
            image_input: 4,
            reasoning: 30,
            audio_output: 1,
            ..Usage::default()
        },
    );
}

#[test]
fn openai_responses_with_cache_lifetimes() {
    check_default(
        r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":50,
        "cache_write_tokens_details":{"ttl_30m_tokens":30,"ttl_12h_tokens":20}},
        "output_tokens":7,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":107}"#,
        Usage {
            input: 100,
            cached: 10,
            cache_write: 50,
            cache_write_30m: 30,
            cache_write_12h: 20,
            output: 7,
            reasoning: 2,
            ..Usage::default()
        },
    );
}

#[test]
fn embeddings_and_rerank() {
    let input = |input| Usage { input, ..Usage::default() };
    check_default(r#"{"prompt_tokens":8,"total_tokens":8}"#, input(8));
    check_default(r#"{"total_tokens":9}"#, input(9));
    check_default(r#"{"search_units":2}"#, Usage { search_units: 2, ..Usage::default() });
}

#[test]
fn transcriptions_by_token_and_by_second() {
    check_default(
        r#"{"type":"tokens","input_tokens":20,"input_token_details":{"audio_tokens":18,"text_tokens":2},"output_tokens":5,"total_tokens":25}"#,
        Usage { input: 20, audio_input: 18, output: 5, ..Usage::default() },
    );
    let audio = |audio_ms| Usage { audio_ms, ..Usage::default() };
    check_default(r#"{"type":"duration","seconds":12}"#, audio(12_000));
    check_default(r#"{"type":"duration","seconds":12.3456}"#, audio(12_346));
    check_default(r#"{"prompt_audio_seconds":3,"prompt_tokens":0}"#, audio(3000));
}

#[test]
fn every_spelling_of_a_cache_read() {
    let expected = Usage { input: 10, output: 1, cached: 4, ..Usage::default() };
    for cached in [
        r#""prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6"#,
        r#""cached_tokens":4"#,
        r#""num_cached_tokens":4"#,
        r#""cached_prompt_text_tokens":4"#,
        r#""cache_read_input_tokens":4,"cache_creation_input_tokens":0"#,
        r#""prompt_token_details":{"cached_tokens":4}"#,
        r#""prompt_tokens_details":{"cached_tokens":4},"cached_tokens":0"#,
        r#""cached_tokens":4,"prompt_tokens_details":null"#,
    ] {
        check_default(&format!("{{\"prompt_tokens\":10,\"completion_tokens\":1,{cached}}}"), expected);
    }
}

#[test]
fn reasoning_outside_the_output() {
    let rules = UsageRules { reasoning_outside_output: true, ..UsageRules::default() };
    check(
        r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}"#,
        &rules,
        Usage { input: 32, output: 103, reasoning: 94, ..Usage::default() },
    );
}

#[test]
fn reasoning_beside_the_output_shows_in_the_total() {
    let read = |total: u64| {
        let text = format!(
            "{{\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":{total},\"reasoning_tokens\":10}}"
        );
        let reading = read(&text, &UsageRules::default()).unwrap();
        (reading.usage.output, reading.usage.reasoning, reading.clamped)
    };
    assert_eq!(read(51), (19, 10, false));
    assert_eq!(read(41), (9, 9, true));
}

#[test]
fn perplexity_bills_reasoning_citations_and_searches() {
    let rules = UsageRules { reasoning_outside_output: true, citations_outside_output: true, ..UsageRules::default() };
    check(
        r#"{"prompt_tokens":7,"completion_tokens":10,"reasoning_tokens":5,"citation_tokens":3,"num_search_queries":2,
        "cost":{"total_cost":0.006},"search_context_size":"low"}"#,
        &rules,
        Usage { input: 7, output: 18, reasoning: 5, web_searches: 2, ..Usage::default() },
    );
}

#[test]
fn caches_outside_the_input() {
    let rules = UsageRules { cache_outside_input: true, ..UsageRules::default() };
    check(
        r#"{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"output_tokens":1,
        "cache_creation":{"ephemeral_5m_input_tokens":25,"ephemeral_1h_input_tokens":5},"server_tool_use":{"web_search_requests":3}}"#,
        &rules,
        Usage {
            input: 60,
            cached: 20,
            cache_write: 30,
            cache_write_5m: 25,
            cache_write_1h: 5,
            output: 1,
            web_searches: 3,
            ..Usage::default()
        },
    );
}

#[test]
fn f30_what_is_not_a_usage_object_is_none() {
    for text in ["null", "7", "\"x\"", "[]", "{}", r#"{"cost":1}"#, r#"{"prompt_tokens":null}"#] {
        assert_eq!(read(text, &UsageRules::default()), None, "{text}");
    }
    check_default(r#"{"prompt_tokens":0,"completion_tokens":0}"#, Usage::default());
}

#[test]
fn f30_odd_values_are_bent_and_marked() {
    check_clamped(r#"{"prompt_tokens":-5,"completion_tokens":3}"#, 0, 3);
    check_clamped(r#"{"prompt_tokens":1.5,"completion_tokens":3}"#, 2, 3);
    check_clamped(r#"{"prompt_tokens":"12","completion_tokens":3}"#, 12, 3);
    check_clamped(r#"{"prompt_tokens":"NaN","completion_tokens":3}"#, 0, 3);
    check_clamped(r#"{"prompt_tokens":{},"completion_tokens":3}"#, 0, 3);
    check_clamped(r#"{"prompt_tokens":true,"completion_tokens":3}"#, 0, 3);
    for huge in ["1e400", "18446744073709551616", "18446744073709551615", "1e300"] {
        check_clamped(&format!("{{\"prompt_tokens\":{huge},\"completion_tokens\":3}}"), MAX_COUNT, 3);
    }
    check_default(
        r#"{"prompt_tokens":5.0,"completion_tokens":1e1}"#,
        Usage { input: 5, output: 10, ..Usage::default() },
    );
}

#[test]
fn f30_subsets_larger_than_their_totals_are_cut() {
    let reading = read(
        r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":8,
        "cache_write_tokens_details":{"ttl_30m_tokens":8}},"completion_tokens_details":{"reasoning_tokens":6}}"#,
        &UsageRules::default(),
    )
    .unwrap();
    assert!(reading.clamped);
    let usage = reading.usage;
    assert_eq!((usage.cached, usage.cache_write, usage.cache_write_30m, usage.reasoning), (8, 2, 2, 5));
}

proptest! {
    #[test]
    fn any_values_give_a_consistent_reading(
        values in prop::collection::vec("-?(0|[1-9][0-9]{0,24})|-?[0-9]\\.[0-9]{1,3}e[0-9]{1,3}|null|\"[0-9a-z]{0,4}\"|\\[\\]|\\{\\}", 12),
        rules in any::<[bool; 3]>(),
    ) {
        let names = ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens",
            "cache_write_tokens", "citation_tokens", "audio_prompt_tokens", "seconds", "num_search_queries"];
        let members: Vec<_> = names.iter().zip(&values).map(|(n, v)| format!("\"{n}\":{v}")).collect();
        let text = format!("{{{},\"cache_creation\":{{\"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":{}}}}}",
            members.join(","), values[10], values[11]);
        let rules = UsageRules {
            reasoning_outside_output: rules[0],
            citations_outside_output: rules[1],
            cache_outside_input: rules[2],
            ..UsageRules::default()
        };
        if let Some(Reading { usage, .. }) = read(&text, &rules) {
            prop_assert!(usage.cached + usage.cache_write <= usage.input);
            prop_assert!(usage.reasoning <= usage.output);
            prop_assert!(usage.cache_write_5m + usage.cache_write_1h <= usage.cache_write);
            prop_assert!(usage.input <= 8 * MAX_COUNT && usage.output <= 8 * MAX_COUNT);
        }
    }
}
