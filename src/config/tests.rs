//! The configuration from text to types: every key, every fault, the files that ship.

mod faults;
mod files;
mod keys;
mod shipped;

use super::*;

/// A small catalogue.
fn known() -> Known<'static> {
    Known {
        providers: &["anthropic", "azure", "bedrock", "openai", "vertex"],
        operations: &["chat", "embeddings", "models"],
        quirks: &["no_stream_options", "stop_as_array"],
        usage: &["no_done", "reasoning_outside_output"],
        auth_styles: &["bearer", "header", "none"],
        ..Known::default()
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "SET" => Some("from-env".into()),
        "PORT" => Some("9000".into()),
        "YES" => Some("true".into()),
        "SECRET" => Some("hunter2".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load_as(text: &str, format: Format) -> Result<Config, Vec<Fault>> {
    let source = ConfigSource::Text { name: "weir.yaml".into(), text: text.into(), format };
    Config::load(&source, &env, &known())
}

/// The configuration of a YAML text that must be right.
fn load(text: &str) -> Config {
    match load_as(text, Format::Yaml) {
        Ok(config) => config,
        Err(faults) => panic!("{text}\n{}", lines(&faults)),
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
