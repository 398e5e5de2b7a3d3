use weir_wire::hub::{MaxTokensName, SchemaStyle};

use super::*;
use crate::catalog::Catalog;

use ReasoningStyle::{Adaptive, Budget, Effort};

fn can(provider: &str, model: &str) -> Capabilities {
    let catalog = Catalog::embedded();
    let kind = catalog.provider(provider).unwrap();
    capabilities(kind, model, catalog.model(provider, model).as_ref())
}

#[test]
fn what_nobody_knows_takes_all() {
    assert_eq!(can("openai-compatible", "anything"), Capabilities::default());
    assert_eq!(can("openai", "a-model-to-come"), Capabilities::default());
}

#[test]
fn claudes_that_always_think() {
    for (provider, model) in [
        ("anthropic", "claude-opus-5-5"),
        ("anthropic", "claude-sonnet-5-5"),
        ("vertex", "claude-opus-5-5@default"),
        ("bedrock", "global.anthropic.claude-sonnet-5-5"),
        ("bedrock_mantle", "anthropic.claude-opus-5-5"),
    ] {
        let can = can(provider, model);
        assert_eq!((can.reasoning, can.reasoning_off), (Adaptive, false), "{provider}/{model}");
        assert!(!can.sampling && !can.forced_tools && !can.prefill, "{provider}/{model}");
        assert!(can.late_instructions && can.images && can.documents, "{provider}/{model}");
        assert!(!can.audio && !can.video, "{provider}/{model}");
        assert_eq!(can.max_output, Some(128_000), "{provider}/{model}");
    }
}

#[test]
fn claudes_that_can_be_told_not_to_think() {
    let haiku = can("anthropic", "claude-haiku-5-5");
    assert_eq!((haiku.reasoning, haiku.reasoning_off, haiku.forced_tools), (Adaptive, true, true));
    let opus = can("anthropic", "claude-opus-4-8");
    assert!(opus.reasoning_off && !opus.sampling && opus.late_instructions);
    let before = can("anthropic", "claude-opus-4-6");
    assert_eq!((before.reasoning, before.sampling, before.prefill), (Adaptive, true, false));
    assert!(!before.late_instructions && before.temperature_with_top_p);
}

#[test]
fn claudes_that_think_by_a_budget() {
    for (provider, model) in [
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("anthropic", "claude-haiku-4-5"),
        ("vertex", "claude-sonnet-4-5@20250929"),
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("bedrock_mantle", "anthropic.claude-haiku-4-5"),
    ] {
        let can = can(provider, model);
        assert_eq!((can.reasoning, can.min_budget, can.reasoning_off), (Budget, 1024, true), "{provider}/{model}");
        assert!(can.sampling && !can.temperature_with_top_p && can.prefill, "{provider}/{model}");
        assert!(!can.late_instructions, "{provider}/{model}");
        assert_eq!(can.max_output, Some(64_000), "{provider}/{model}");
    }
    let opus = can("anthropic", "claude-opus-4-1-20250805");
    assert_eq!((opus.reasoning, opus.max_output, opus.temperature_with_top_p), (Budget, Some(32_000), true));
}

#[test]
fn claudes_that_the_table_knows_by_name_alone() {
    let fable = can("anthropic", "claude-fable-5-2");
    assert_eq!((fable.reasoning, fable.reasoning_off, fable.sampling), (Adaptive, false, false));
    assert_eq!(fable.max_output, Some(128_000));
    for (provider, model) in [
        ("anthropic", "claude-3-5-haiku-latest"),
        ("anthropic", "claude-2"),
        ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("vertex", "claude-3-haiku@20240307"),
    ] {
        assert_eq!(can(provider, model).reasoning, ReasoningStyle::None, "{provider}/{model}");
    }
    // One to come is taken for the newest.
    assert_eq!(can("anthropic", "claude-opus-9").reasoning, Adaptive);
}

#[test]
fn openai_models_that_reason() {
    for (provider, model) in [("openai", "o3"), ("openai", "gpt-5"), ("openai", "gpt-6-sol"), ("azure", "gpt-5-mini")] {
        let can = can(provider, model);
        assert_eq!(can.max_tokens_name, MaxTokensName::MaxCompletionTokens, "{provider}/{model}");
        assert_eq!((can.sampling, can.reasoning), (false, Effort), "{provider}/{model}");
        assert!(can.tools && can.json_schema && can.images && can.developer_role, "{provider}/{model}");
    }
    assert!(!can("openai", "o3").parallel_tools && can("openai", "gpt-5").parallel_tools);
    assert!(!can("openai", "o3-mini").images);
    assert!(!can("openai", "o1-mini").developer_role);
}

#[test]
fn openai_models_take_their_own_words_for_thinking() {
    // gpt-5 has `minimal` and no `none`, gpt-5.1 and later the other way round.
    let first = can("openai", "gpt-5");
    assert_eq!((first.reasoning_off, first.minimal_effort), (false, true));
    for model in ["gpt-5.1", "gpt-5.4", "gpt-6-luna", "gpt-6.1-terra"] {
        let can = can("openai", model);
        assert_eq!((can.reasoning_off, can.minimal_effort), (true, false), "{model}");
    }
    assert!(!can("openai", "gpt-6-astra").reasoning_off);
    assert!(!can("openai", "gpt-5.4-pro").json_schema);
    assert_eq!(can("openai", "gpt-5.6").cache_style, CacheStyle::Breakpoint);
    assert_eq!(can("openai", "gpt-5.5").cache_style, CacheStyle::AsWritten);
}

#[test]
fn openai_models_that_do_not_reason() {
    let gpt = can("openai", "gpt-4o-2024-11-20");
    assert_eq!((gpt.reasoning, gpt.max_tokens_name), (ReasoningStyle::None, MaxTokensName::AsWritten));
    assert!(gpt.sampling && gpt.parallel_tools && gpt.images && gpt.documents && !gpt.audio && !gpt.video);
    assert_eq!(gpt.max_output, Some(16_384));
    let old = can("openai", "gpt-3.5-turbo");
    assert!(!old.images && !old.json_schema && !old.documents && old.json_object);
    assert!(can("openai", "gpt-5.3-chat-latest").sampling && !can("openai", "gpt-5.2-chat-latest").sampling);
    assert!(can("openai", "gpt-audio").audio && !can("openai", "gpt-audio").images);
}

#[test]
fn geminis_by_a_budget() {
    for provider in ["gemini", "vertex"] {
        let flash = can(provider, "gemini-2.5-flash");
        assert_eq!((flash.reasoning, flash.min_budget, flash.reasoning_off), (Budget, 0, true), "{provider}");
        assert!(flash.unsealed_calls && !flash.tool_result_images && flash.sampling, "{provider}");
        assert!(flash.audio && flash.video && flash.documents, "{provider}");
        assert_eq!((flash.max_stops, flash.schemas), (Some(5), SchemaStyle::JsonSchema), "{provider}");
        let pro = can(provider, "gemini-2.5-pro");
        assert_eq!((pro.reasoning, pro.min_budget, pro.reasoning_off), (Budget, 128, false), "{provider}");
        assert_eq!(can(provider, "gemini-2.5-flash-lite").min_budget, 512, "{provider}");
        assert_eq!(can(provider, "gemini-2.0-flash").reasoning, ReasoningStyle::None, "{provider}");
        assert_eq!(can(provider, "gemini-2.5-pro-preview-tts").reasoning, ReasoningStyle::None, "{provider}");
    }
    assert!(!can("gemini", "gemini-2.5-flash").labels && can("vertex", "gemini-2.5-flash").labels);
    assert_eq!(can("gemini", "gemini-1.5-pro").schemas, SchemaStyle::OpenApi);
}

#[test]
fn geminis_by_words() {
    for provider in ["gemini", "vertex"] {
        let flash = can(provider, "gemini-3-flash-preview");
        assert_eq!((flash.reasoning, flash.reasoning_off, flash.minimal_effort), (Effort, false, true), "{provider}");
        assert!(!flash.unsealed_calls && flash.tool_result_images && flash.sampling, "{provider}");
        assert!(!can(provider, "gemini-3.1-pro-preview").minimal_effort, "{provider}");
        let newer = can(provider, "gemini-3.6-flash");
        assert_eq!((newer.sampling, newer.reasoning), (false, Effort), "{provider}");
    }
}

#[test]
fn deepseek_takes_thoughts_back_and_no_schema() {
    for model in ["deepseek-reasoner", "deepseek-chat", "deepseek-v4-pro"] {
        let can = can("deepseek", model);
        assert!(!can.json_schema && can.json_object && !can.parallel_tools && !can.many_choices, "{model}");
        assert_eq!(can.max_tokens_name, MaxTokensName::MaxTokens, "{model}");
    }
    let reasoner = can("deepseek", "deepseek-reasoner");
    assert_eq!((reasoner.reasoning_replay, reasoner.tools), (ReasoningReplay::ReasoningContent, false));
    let flash = can("deepseek", "deepseek-flash");
    assert_eq!((flash.reasoning_replay, flash.tools), (ReasoningReplay::ReasoningContent, true));
    let chat = can("deepseek", "deepseek-chat");
    assert_eq!((chat.reasoning_replay, chat.reasoning), (ReasoningReplay::AsWritten, ReasoningStyle::None));
}

#[test]
fn mistral_knows_other_names() {
    let large = can("mistral", "mistral-large-latest");
    assert_eq!((large.max_tokens_name, large.developer_role), (MaxTokensName::MaxTokens, false));
    assert!(large.forced_tools && large.images && !large.seed && !large.stream_options && !large.custom_tools);
    assert_eq!(large.reasoning, ReasoningStyle::None);
    let medium = can("mistral", "mistral-medium-latest");
    assert_eq!((medium.reasoning, medium.reasoning_off), (Effort, true));
    assert!(!can("mistral", "codestral-latest").images);
    let elsewhere = can("vertex", "mistral-large@2411-001");
    assert!(!elsewhere.developer_role && !elsewhere.seed && elsewhere.late_instructions);
}

#[test]
fn groks_that_reason_take_no_stop() {
    assert_eq!(can("xai", "grok-4.6").max_stops, Some(0));
    let plain = can("xai", "grok-4.20-0309-non-reasoning");
    assert_eq!((plain.max_stops, plain.reasoning), (Some(4), ReasoningStyle::None));
    assert_eq!(can("xai", "grok-3").max_stops, None);
}

#[test]
fn cohere_takes_documents_as_text() {
    let command = can("cohere", "command-a-03-2025");
    assert!(command.documents && !command.images && command.tools && !command.many_choices);
    assert_eq!((command.reasoning, command.max_output), (ReasoningStyle::None, Some(8000)));
    assert_eq!(can("cohere", "command-a-reasoning-08-2025").reasoning, Budget);
    let sees = can("cohere", "command-a-vision-07-2025");
    assert!(sees.images && !sees.tools);
}

#[test]
fn bedrock_by_profile_and_arn() {
    let plain = can("bedrock", "anthropic.claude-opus-4-7");
    assert_eq!((plain.reasoning, plain.sampling, plain.json_schema), (Adaptive, false, false));
    assert!(plain.tool_result_images && plain.documents && !plain.late_instructions);
    let arn = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-4-7";
    for model in ["us.anthropic.claude-opus-4-7", "global.anthropic.claude-opus-4-7", arn] {
        assert_eq!(can("bedrock", model), plain, "{model}");
    }
    assert!(can("bedrock", "anthropic.claude-opus-4-8").late_instructions);
    assert!(!can("bedrock", "anthropic.claude-v2:1").tools);
}

#[test]
fn bedrock_by_family() {
    let nova = can("bedrock", "us.amazon.nova-lite-v1:0");
    assert!(nova.images && nova.video && nova.documents && nova.forced_tools && !nova.audio);
    assert_eq!((nova.reasoning, nova.max_output), (ReasoningStyle::None, Some(10_000)));
    assert!(!can("bedrock", "amazon.nova-micro-v1:0").images);

    let llama = can("bedrock", "us.meta.llama3-3-70b-instruct-v1:0");
    assert!(llama.tools && !llama.forced_tools && llama.documents && !llama.images && !llama.tool_result_images);
    assert_eq!((llama.reasoning, llama.cache_style), (ReasoningStyle::None, CacheStyle::Never));
    assert!(can("bedrock", "meta.llama4-scout-17b-instruct-v1:0").images);
    assert!(!can("bedrock", "meta.llama3-8b-instruct-v1:0").tools);

    let titan = can("bedrock", "amazon.titan-text-express-v1");
    assert!(!titan.tools && !titan.images && titan.documents);
    assert!(!can("bedrock", "amazon.titan-text-premier-v1:0").documents);
    let jamba = can("bedrock", "ai21.jamba-1-5-large-v1:0");
    assert!(jamba.tools && jamba.documents && !jamba.images);
    assert!(!can("bedrock", "cohere.command-text-v14").tools);
    assert!(can("bedrock", "cohere.command-r-plus-v1:0").tools);
    assert!(!can("bedrock", "mistral.mistral-7b-instruct-v0:2").tools);
    assert!(can("bedrock", "mistral.pixtral-large-2502-v1:0").images);
    let oss = can("bedrock", "openai.gpt-oss-120b-1:0");
    assert_eq!((oss.reasoning, oss.images), (Effort, false));
    assert!(!can("bedrock", "deepseek.r1-v1:0").tools);
}

#[test]
fn the_others_by_their_provider() {
    let sonar = can("perplexity", "sonar");
    assert!(!sonar.seed && !sonar.many_choices && !sonar.late_instructions && !sonar.developer_role);
    assert_eq!(sonar.max_tokens_name, MaxTokensName::MaxTokens);
    // Its agents speak the Responses API, with the roles of that.
    let agent = can("perplexity", "anthropic/claude-sonnet-5");
    assert!(agent.late_instructions && agent.developer_role && !agent.seed);
    let oss = can("groq", "openai/gpt-oss-120b");
    assert_eq!((oss.reasoning_replay, oss.reasoning), (ReasoningReplay::Reasoning, Effort));
    assert!(!oss.logprobs && !oss.many_choices && oss.seed);
    let llama = can("vertex", "meta/llama-4-maverick-17b-128e-instruct-maas");
    assert!(llama.late_instructions && llama.unsealed_calls && llama.reasoning_off && llama.images);
    assert_eq!(can("openrouter", "anthropic/claude-sonnet-4.5").cache_style, CacheStyle::CacheControl);
    assert_eq!(can("openrouter", "openai/gpt-4o").reasoning_replay, ReasoningReplay::Details);
    let kimi = can("moonshot", "kimi-k2.5");
    assert_eq!((kimi.reasoning_replay, kimi.sampling), (ReasoningReplay::ReasoningContent, false));
    for provider in ["ollama", "ollama-native"] {
        let local = can(provider, "llama3.1");
        assert!(!local.forced_tools && !local.media_urls && !local.many_choices, "{provider}");
    }
    assert!(!can("lm_studio", "any").json_object && can("lm_studio", "any").json_schema);
}

#[test]
fn rules_lie_over_each_other_in_order_and_bad_ones_tell_nothing() {
    let text = r#"
        id = "a"
        name = "A"
        dialect = "openai"
        base_url = "https://a.example"
        operations = ["chat"]
        source = "test"
        auth = { style = "none" }
        capabilities = { seed = false, max_stops = 2 }

        [[models]]
        models = ["m-*"]
        capabilities = { seed = true, tools = false }

        [[models]]
        models = ["m-1", "x"]
        capabilities = { tools = true }

        [[models]]
        models = ["*"]
        capabilities = { logprobs = "what" }
    "#;
    let kind: catalog::Provider = toml::from_str(text).unwrap();
    let told = |model: &str| {
        let can = capabilities(&kind, model, None);
        (can.seed, can.tools, can.max_stops, can.logprobs)
    };
    assert_eq!(told("M-1"), (true, true, Some(2), true));
    assert_eq!(told("m-2"), (true, false, Some(2), true));
    assert_eq!(told("y"), (false, true, Some(2), true));
}

/// Rules lie over the table, and could give back what it denies.
#[test]
fn no_rule_gives_back_what_the_table_denies() {
    let catalog = Catalog::embedded();
    for kind in catalog.providers().iter().filter(|kind| !kind.models.is_empty()) {
        for row in catalog.models_of(&kind.id) {
            let Some(info) = row.parse() else { continue };
            let (known, can) = (info.capabilities(), capabilities(kind, row.id, Some(&info)));
            let denied = [
                (known.vision, can.images),
                (known.audio_input, can.audio),
                (known.video_input, can.video),
                (known.tools, can.tools),
                (known.forced_tool_use, can.forced_tools),
                (known.assistant_prefill, can.prefill),
                (known.sampling_params, can.sampling),
                (known.parallel_tools, can.parallel_tools),
                (known.json_schema, can.json_schema),
                (known.native_json_schema, can.json_schema),
            ];
            for (fact, able) in denied {
                assert!(!(fact == Some(false) && able), "{}/{}: {denied:?}", kind.id, row.id);
            }
        }
    }
}
