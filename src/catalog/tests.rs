use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("catalog")
}

/// Every provider file, by file name.
fn files() -> Vec<(String, Provider)> {
    let mut files: Vec<_> = std::fs::read_dir(directory().join("providers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let provider = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(path.extension().unwrap(), "toml");
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), provider)
        })
        .collect();
    files.sort_by(|a: &(String, Provider), b| a.1.id.cmp(&b.1.id));
    files
}

#[test]
fn every_provider_file_is_sound() {
    for (file, provider) in files() {
        assert_eq!(provider.id, file);
        assert_eq!(provider.faults(), [], "{file}");
        for name in provider.env.vars.keys().chain(provider.defaults.keys()) {
            let used = format!("{{{name}}}");
            let used = provider.base_url.contains(&used) || provider.query.values().any(|value| value.contains(&used));
            assert!(used, "{file}: {name} is set and never used");
        }
        let distinct: BTreeSet<_> = provider.operations.iter().collect();
        assert_eq!(distinct.len(), provider.operations.len(), "{file}: an operation twice");
        assert!(provider.paths.keys().all(|op| distinct.contains(op)), "{file}: a path of an operation not served");
        assert!(provider.models_of.is_none_or(|id| Catalog::embedded().models_of(&id).next().is_some()), "{file}");
    }
}

#[test]
fn what_is_embedded_is_what_the_files_say() {
    let expected: Vec<Provider> = files().into_iter().map(|(_, provider)| provider).collect();
    assert!(expected.len() > 190);
    assert_eq!(Catalog::embedded().providers(), expected, "run `cargo xtask catalog`");
}

#[test]
fn a_variable_enables_one_provider() {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for provider in Catalog::embedded().providers() {
        let enabling = if provider.auth.needs_key() { &provider.env.api_key } else { &provider.env.base_url };
        for var in enabling {
            let before = owners.insert(var.clone(), provider.id.clone());
            assert_eq!(before, None, "{var} enables {} too", provider.id);
        }
    }
    for provider in Catalog::embedded().providers() {
        let strangers = provider.env.api_key_shared.iter().filter(|var| provider.env.api_key.contains(var));
        assert_eq!(strangers.count(), 0, "{}", provider.id);
    }
}

fn enabled(vars: &[(&str, &str)]) -> Vec<(String, FromEnv)> {
    let get = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
    let on = |p: &Provider| p.from_env(&get).map(|found| (p.id.clone(), found));
    Catalog::embedded().providers().iter().filter_map(on).collect()
}

/// Variables, and the providers they turn on with their base URLs.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

#[test]
fn the_environment_enables_what_is_meant() {
    let cases: [Case<'_>; 11] = [
        (&[], &[]),
        (&[("OPENAI_API_KEY", "k")], &[("openai", "https://api.openai.com/v1")]),
        (
            &[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")],
            &[("openai", "http://127.0.0.1:9/v1")],
        ),
        (&[("OPENAI_API_KEY", "")], &[]),
        (&[("HF_TOKEN", "k")], &[("huggingface", "https://router.huggingface.co")]),
        (&[("OLLAMA_API_KEY", "k")], &[("ollama_cloud", "https://ollama.com/v1")]),
        (&[("OLLAMA_HOST", "10.0.0.5:11434")], &[("ollama", "http://10.0.0.5:11434/v1")]),
        (&[("AZURE_OPENAI_API_KEY", "k")], &[]),
        (
            &[("AZURE_OPENAI_API_KEY", "k"), ("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/")],
            &[("azure", "https://r.openai.azure.com/openai/v1")],
        ),
        (
            &[("DATABRICKS_TOKEN", "k"), ("DATABRICKS_HOST", "https://d.example/")],
            &[("databricks", "https://d.example/ai-gateway/mlflow/v1")],
        ),
        (&[("GITHUB_TOKEN", "k"), ("AWS_REGION", "eu-west-1"), ("VLLM_API_KEY", "k")], &[]),
    ];
    for (vars, expected) in cases {
        let found = enabled(vars);
        let found: Vec<(&str, &str)> = found.iter().map(|(id, on)| (id.as_str(), on.base_url.as_str())).collect();
        assert_eq!(found, expected, "{vars:?}");
    }
}

#[test]
fn a_shared_key_serves_a_configured_local_provider() {
    let found = enabled(&[("TGI_BASE_URL", "http://127.0.0.1:3000"), ("HF_TOKEN", "k")]);
    let tgi = &found.iter().find(|(id, _)| id == "tgi").unwrap().1;
    assert_eq!((tgi.base_url.as_str(), tgi.api_key_var.as_deref()), ("http://127.0.0.1:3000/v1", Some("HF_TOKEN")));
}

#[test]
fn a_base_url_is_filled_or_the_lack_is_named() {
    let provider = |id| Catalog::embedded().provider(id).unwrap();
    let none = |_: &str| None;
    let vars = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let cloudflare = provider("cloudflare");
    let missing = cloudflare.base_url(None, &BTreeMap::new(), &none).unwrap_err().to_string();
    assert_eq!(missing, "the base URL needs \"account_id\": set it in the config or in CLOUDFLARE_ACCOUNT_ID");
    for bad in ["a/../b", "a?x", "a b", "", "a@b", "a#b", "a%2f"] {
        let refused = cloudflare.base_url(None, &vars("account_id", bad), &none);
        assert_eq!(refused, Err(BaseUrlError::BadValue { name: "account_id".to_owned() }), "{bad:?}");
    }
    assert_eq!(
        provider("azure").base_url(None, &vars("resource", "res"), &none).as_deref(),
        Ok("https://res.openai.azure.com/openai/v1"),
    );
    assert_eq!(
        provider("openai-compatible").base_url(Some("http://box:8000/v1"), &BTreeMap::new(), &none).as_deref(),
        Ok("http://box:8000/v1"),
    );
    assert_eq!(
        provider("neon").base_url(None, &vars("ai_gateway_base_url", "https://n.example/"), &none).as_deref(),
        Ok("https://n.example/v1"),
    );
    assert_eq!(cloudflare.base_url(Some("https://{x"), &BTreeMap::new(), &none), Err(BaseUrlError::Syntax));
}

#[test]
fn a_region_may_have_a_base_url_of_its_own() {
    let vertex = Catalog::embedded().provider("vertex").unwrap();
    let project = ("project".to_owned(), "p-1".to_owned());
    let url = |region: Option<&str>| {
        let region = region.map(|region| ("region".to_owned(), region.to_owned()));
        let vars = std::iter::once(project.clone()).chain(region).collect();
        vertex.base_url(None, &vars, &|_| None).unwrap()
    };
    assert_eq!(url(None), "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global");
    assert_eq!(url(Some("global")), url(None));
    assert_eq!(url(Some("eu")), "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu");
    assert_eq!(url(Some("us-east5")), "https://us-east5-aiplatform.googleapis.com/v1/projects/p-1/locations/us-east5");
    let get = |name: &str| (name == "GOOGLE_CLOUD_LOCATION").then(|| "us".to_owned());
    assert_eq!(
        vertex.base_url(None, &BTreeMap::from([project.clone()]), &get).as_deref(),
        Ok("https://aiplatform.us.rep.googleapis.com/v1/projects/p-1/locations/us")
    );
    let missing = vertex.base_url(None, &BTreeMap::new(), &|_| None).unwrap_err().to_string();
    assert!(missing.contains("GOOGLE_CLOUD_PROJECT"), "{missing}");
}

#[test]
fn usage_is_told_by_operation_where_it_differs() {
    let vertex = Catalog::embedded().provider("vertex").unwrap();
    assert!(vertex.usage_of(Operation::Messages).cache_outside_input);
    assert!(!vertex.usage_of(Operation::GenerateContent).cache_outside_input);
    // Anthropic's form counts that way wherever it is spoken.
    for provider in Catalog::embedded().providers() {
        let speaks = provider.operations.contains(&Operation::Messages);
        assert!(!speaks || provider.usage_of(Operation::Messages).cache_outside_input, "{}", provider.id);
    }
}

#[test]
fn rules_lead_models_to_their_operations() {
    let rule = |provider: &str, model: &str| {
        let rules = &Catalog::embedded().provider(provider).unwrap().models;
        let last = rules.iter().rev().find(|rule| rule.fits(model) && !rule.conversation.is_empty()).unwrap();
        (last.conversation.clone(), last.paths.len(), last.body.len())
    };
    use Operation::{Chat, Converse, GenerateContent, Messages, Responses};
    assert_eq!(rule("vertex", "gemini-2.5-pro"), (vec![GenerateContent], 0, 0));
    assert_eq!(rule("vertex", "claude-opus-4-7@default"), (vec![Messages], 0, 1));
    assert_eq!(rule("vertex", "meta/llama-4-maverick-17b-128e-instruct-maas"), (vec![Chat], 0, 0));
    assert_eq!(rule("vertex", "mistral-large@2411-001"), (vec![Chat], 1, 0));
    assert_eq!(rule("bedrock", "us.anthropic.claude-opus-4-7"), (vec![Converse], 0, 0));
    assert_eq!(rule("bedrock", "openai.gpt-oss-120b-1:0"), (vec![Chat, Converse], 0, 0));
    assert_eq!(rule("bedrock_mantle", "anthropic.claude-opus-5-5"), (vec![Messages], 0, 0));
    assert_eq!(rule("bedrock_mantle", "openai.gpt-6-sol"), (vec![Chat, Responses], 0, 0));
    assert_eq!(rule("bedrock", "openai.gpt-5.4"), (vec![Responses, Chat], 0, 0));
}

#[test]
fn rules_tell_how_models_embed() {
    let bedrock = Catalog::embedded().provider("bedrock").unwrap();
    let of = |model: &str| {
        let rules = bedrock.models.iter().filter(|rule| rule.fits(model));
        let (mut api, mut limits) = (bedrock.embeddings_api, bedrock.embeddings_limits);
        for rule in rules {
            api = rule.embeddings_api.unwrap_or(api);
            limits = rule.embeddings_limits.unwrap_or(limits);
        }
        (api, limits.inputs)
    };
    assert_eq!(of("amazon.titan-embed-text-v2:0"), (EmbedApi::BedrockTitan, Some(1)));
    assert_eq!(of("cohere.embed-v4:0"), (EmbedApi::BedrockCohere, Some(96)));
    assert_eq!(of("eu.cohere.embed-v4:0"), (EmbedApi::BedrockCohere, Some(96)));
}

#[test]
fn profiles_of_bedrock_stand_for_their_model() {
    let find = |id| Catalog::embedded().find("bedrock", id, None).map(|row| (row.id, row.region));
    assert_eq!(find("anthropic.claude-opus-4-7"), Some(("anthropic.claude-opus-4-7", "")));
    assert_eq!(find("eu.anthropic.claude-opus-4-7"), Some(("anthropic.claude-opus-4-7", "eu")));
    assert_eq!(find("global.anthropic.claude-opus-4-7"), Some(("anthropic.claude-opus-4-7", "global")));
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-7";
    assert_eq!(find(arn), Some(("anthropic.claude-opus-4-7", "us")));
    let arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7";
    assert_eq!(find(arn), Some(("anthropic.claude-opus-4-7", "")));
    assert_eq!(find("arn:aws:bedrock:us-east-1:1:application-inference-profile/x1"), None);
    assert_eq!(find("us."), None);
    assert_eq!(find("arn:"), None);
    assert_eq!(Catalog::embedded().find("openai", "us.gpt-4o", None), None);
}

#[test]
fn faults_of_regions_paths_and_rules_are_found() {
    let text = r#"
        id = "a"
        name = "A"
        dialect = "openai"
        base_url = "https://a.example"
        operations = ["chat"]
        source = "test"
        auth = { style = "none" }
        regions = { eu = "http://eu.example/" }
        paths = { embeddings = "/e" }
        usage_of = { messages = {} }
        capabilities = { unknown = true }

        [[models]]
        models = []
        conversation = ["models", "responses"]
        stream_paths = { chat = "chat" }
    "#;
    let keys: Vec<_> = toml::from_str::<Provider>(text).unwrap().faults().iter().map(|fault| fault.key).collect();
    let of_models = ["capabilities", "models", "models.conversation", "models.conversation"];
    let expected = ["regions", "regions"].into_iter().chain(of_models).chain(["paths", "usage_of", "paths"]);
    assert_eq!(keys, expected.collect::<Vec<_>>());
}

#[test]
fn faults_of_a_provider_are_all_found() {
    let text = r#"
        id = "a b"
        name = "A"
        dialect = "openai"
        base_url = "http://example.com/?x"
        operations = []
        source = "test"
        paths = { chat = "chat/" }
        auth = { style = "header" }
        env = { api_key = ["lower"] }
    "#;
    let keys: Vec<_> = toml::from_str::<Provider>(text).unwrap().faults().iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["id", "operations", "base_url", "base_url", "auth.header", "env", "paths", "paths"]);
    assert!(toml::from_str::<Provider>("idd = 1").is_err());
}

/// One line per provider and operation: what would be sent where. Reviewed by eye; after a change
/// of the files, the test says which lines moved.
#[test]
fn requests_are_those_of_the_snapshot() {
    let mut out =
        String::from("# provider | request line under the base URL | header with the key | what enables it\n");
    for provider in Catalog::embedded().providers() {
        out += &snapshot_of(provider);
    }
    let path = directory().join("providers.snap");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &out).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (made, committed) in out.lines().zip(expected.lines()) {
        assert_eq!(made, committed, "review it, then set UPDATE_SNAPSHOTS=1");
    }
    assert_eq!(out.lines().count(), expected.lines().count());
}

fn snapshot_of(provider: &Provider) -> String {
    let auth = provider.auth.header_and_prefix();
    let auth = auth.map_or("-".to_owned(), |(header, prefix)| format!("{header}: {prefix}<key>"));
    let enabling = if provider.auth.needs_key() { &provider.env.api_key } else { &provider.env.base_url };
    let enabling = if enabling.is_empty() { "-".to_owned() } else { enabling.join(" or ") };
    let query: Vec<_> = provider.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let line = |verb: &str, path: &str, of: &str| {
        let Provider { id, base_url, api_path, .. } = provider;
        format!("{id}{of} | {verb} {base_url}{api_path}{path}{query} | {auth} | {enabling}\n")
    };
    let of_operation = |operation: &Operation| {
        let verb = if *operation == Operation::Models { "GET" } else { "POST" };
        let streamed = provider.stream_paths.get(operation).map(String::as_str).or(operation.stream_path());
        let plain = line(verb, provider.path(*operation).unwrap_or_default(), "");
        plain + &streamed.map(|path| line(verb, path, " (streamed)")).unwrap_or_default()
    };
    let of_rule = |rule: &ModelRule| {
        let globs = format!(" ({})", rule.models.join(" "));
        rule.paths.values().chain(rule.stream_paths.values()).map(|path| line("POST", path, &globs)).collect::<String>()
    };
    let regions = provider.regions.iter().map(|(region, url)| format!("{} in {region} | {url}\n", provider.id));
    let operations = provider.operations.iter().map(of_operation);
    operations.chain(provider.models.iter().map(of_rule)).chain(regions).collect()
}

#[test]
fn every_model_line_parses_and_is_in_order() {
    let catalog = Catalog::embedded();
    let mut previous = None;
    let mut count = 0;
    for row in catalog.models.all() {
        let model = row.parse().unwrap_or_else(|| panic!("{} {} {}", row.provider, row.id, row.region));
        let key = row.key();
        assert!(previous < Some(key), "{key:?} is out of order");
        previous = Some(key);
        assert_eq!(model.prices.is_empty(), model.price_hash.is_none());
        count += 1;
        let found = catalog.models.find(row.provider, row.id, Some(row.region)).unwrap();
        assert_eq!(found, row);
    }
    assert_eq!(count, include_str!("../../catalog/models.tsv").lines().count());
    assert!(count > 4_600);
}

#[test]
fn a_model_has_its_facts() {
    let model = Catalog::embedded().model("openai", "gpt-4o-mini").unwrap();
    assert_eq!((model.mode, model.context_window, model.max_output), (Mode::Chat, Some(128_000), Some(16_384)));
    assert_eq!(model.tokenizer.as_deref(), Some("o200k_base"));
    let thinks = Catalog::embedded().model("openai", "gpt-5.2").unwrap();
    assert_eq!(thinks.reasoning_efforts, ["none", "low", "medium", "high", "xhigh"]);
    assert_eq!(thinks.default_reasoning_effort.as_deref(), Some("none"));
    let always = Catalog::embedded().model("anthropic", "claude-opus-5-5").unwrap();
    assert!(always.thinking_always_on && always.capabilities().mid_conversation_system == Some(true));
    let replays = Catalog::embedded().model("deepseek", "deepseek-reasoner").unwrap();
    assert_eq!(replays.reasoning_field, Some(ReasoningField::ReasoningContent));
    assert!(Catalog::embedded().model("openai", "computer-use-preview").unwrap().responses_only);
    let can = model.capabilities();
    assert_eq!((can.tools, can.audio_input, can.computer_use), (Some(true), Some(false), None));
    assert_eq!(Catalog::embedded().model("openai", "text-embedding-3-small").unwrap().embedding_dims, Some(1536));
}

#[test]
fn look_up_tolerates_case_dates_and_tags() {
    let id = |provider, id| Catalog::embedded().find(provider, id, None).map(|row| row.id);
    assert_eq!(id("openai", "GPT-4o-Mini"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "GPT-4o-Mini-2031-01-02:x"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini-2031-01-02"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini-20310102"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini@latest"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini:nitro"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini-2031-01-02:nitro"), Some("gpt-4o-mini"));
    assert_eq!(id("openai", "gpt-4o-mini-99999999"), None);
    assert_eq!(id("openai", ""), None);
    assert_eq!(id("openai", "-2025-01-01"), None);
    assert_eq!(id("openai", "é-20250101"), None);
    assert_eq!(id("nobody", "gpt-4o-mini"), None);
    // A tagged row of its own wins over its family.
    assert_eq!(id("openrouter", "google/gemini-3.8-flash:batch"), Some("google/gemini-3.8-flash:batch"));
}

#[test]
fn a_provider_may_borrow_rows_and_regions_have_their_own() {
    let catalog = Catalog::embedded();
    assert!(catalog.models_of("alibaba").count() > 100);
    assert_eq!(catalog.models_of("alibaba").count(), catalog.models_of("dashscope").count());
    let regional = catalog.models_of("azure").find(|row| row.region == "eu").unwrap();
    assert_eq!(catalog.model_in("azure", regional.id, "eu").unwrap().region.as_deref(), Some("eu"));
    assert!(catalog.providers_with("gpt-4o-mini").contains(&"openai"));
    assert_eq!(catalog.providers_with("no-such-model"), Vec::<&str>::new());
}

#[test]
fn the_nearest_names_are_offered() {
    let ids = || Catalog::embedded().models_of("openai").map(|row| row.id);
    assert_eq!(nearest("gpt-4o-mimi", ids(), 1), ["gpt-4o-mini"]);
    assert_eq!(nearest("opnai", Catalog::embedded().providers().iter().map(|p| p.id.as_str()), 1), ["openai"]);
    assert_eq!(nearest("zzzzzzzz", ids(), 3), Vec::<&str>::new());
    assert_eq!(nearest(&"x".repeat(100_000), ids(), 3), Vec::<&str>::new());
}

#[test]
fn the_notices_name_every_source() {
    let notices = include_str!("../../catalog/NOTICES.md");
    let holders = [
        ("litellm", "Berri AI"),
        ("models.dev", "models.dev"),
        ("model-prices", "wakamex"),
        ("genai-prices", "Pydantic"),
    ];
    for row in Catalog::embedded().models.all() {
        let source = row.parse().unwrap().source.unwrap();
        let known = holders.iter().find(|(name, _)| source.starts_with(name)).unwrap_or_else(|| panic!("{source}"));
        assert!(notices.contains(&format!("## {}", known.0)) && notices.contains(known.1), "{source}");
    }
    assert_eq!(notices.matches("THE SOFTWARE IS PROVIDED \"AS IS\"").count(), 4);
    assert!(VERSION.len() > 12 && VERSION.starts_with("20"));
}
