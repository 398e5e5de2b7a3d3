//! Seeds a provider file for each long-tail provider of the source table that has none yet.
//!
//! A variable that already enables another provider does not enable the new one too: it is listed
//! under `api_key_shared`, which is read only once the provider is configured.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Writes the missing files; existing ones are never touched.
pub(super) fn seed(source: &str, dir: &Path) -> Result<(), String> {
    let source: Value = serde_json::from_str(source).map_err(|e| format!("providers.json: {e}"))?;
    let mut taken = taken_variables(dir)?;
    for provider in source["long_tail"].as_array().into_iter().flatten() {
        let id = provider["id"].as_str().ok_or("providers.json: a provider without id")?;
        let path = dir.join(format!("{id}.toml"));
        if provider["compat"] != "openai" || path.exists() {
            continue;
        }
        let text = render(provider, &mut taken)?;
        fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(())
}

/// The variables that enable a provider which has a file already.
fn taken_variables(dir: &Path) -> Result<BTreeSet<String>, String> {
    let mut taken = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(|e| format!("cannot read {}: {e}", dir.display()))?.flatten() {
        let table: toml::Table =
            toml::from_str(&super::read(&entry.path())?).map_err(|e| format!("{}: {e}", entry.path().display()))?;
        let names = table.get("env").and_then(|env| env.get("api_key")).and_then(toml::Value::as_array);
        taken.extend(names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)));
    }
    Ok(taken)
}

fn render(provider: &Value, taken: &mut BTreeSet<String>) -> Result<String, String> {
    let text = |name: &str| provider[name].as_str().unwrap_or_default();
    let quoted = |s: &str| toml::Value::String(s.to_owned()).to_string();
    let id = text("id");
    let names: Vec<&str> = provider["env"][0].as_str().unwrap_or_default().split(';').collect();
    let (base_url, vars) = base_url(text("base_url"));
    let local = ["http://127.0.0.1", "http://localhost"].iter().any(|prefix| base_url.starts_with(prefix));
    let of_url = |name: &&str| vars.iter().any(|(_, var)| var == name) || name.ends_with("_ENDPOINT");
    let key = *names.iter().find(|name| !of_url(name)).ok_or(format!("providers.json: {id} has no key variable"))?;
    let style = if local { "optional_bearer" } else { "bearer" };
    let list = if taken.insert(key.to_owned()) { "api_key" } else { "api_key_shared" };
    let mut out = format!(
        "id = {}\nname = {}\ndialect = \"openai\"\nbase_url = {}\noperations = [\"chat\", \"models\"]\ndocs = {}\nsource = {}\n\n[auth]\nstyle = \"{style}\"\n\n[env]\n{list} = [{}]\n",
        quoted(id),
        quoted(text("name")),
        quoted(&base_url),
        quoted(text("doc")),
        quoted(text("source")),
        quoted(key),
    );
    if local {
        let var = names.iter().find(|name| name.ends_with("_ENDPOINT")).map_or_else(
            || format!("{}_BASE_URL", id.to_uppercase().replace(['-', '.'], "_")),
            |name| (*name).to_owned(),
        );
        out += &format!("base_url = [{}]\n", quoted(&var));
    }
    if !vars.is_empty() {
        out += "\n[env.vars]\n";
        out.extend(vars.iter().map(|(name, var)| format!("{name} = {}\n", quoted(var))));
    }
    Ok(out)
}

/// Turns `${SOME_VARIABLE}` into `{variable}` and trims what is not the base of the API.
fn base_url(source: &str) -> (String, Vec<(String, String)>) {
    let trimmed = source.trim_end_matches('/').trim_end_matches("/chat/completions");
    let mut out = trimmed.to_owned();
    let mut vars = Vec::new();
    while let Some((before, rest)) = out.split_once("${")
        && let Some((var, after)) = rest.split_once('}')
    {
        let name = var.split_once('_').map_or(var, |(_, name)| name).to_lowercase();
        vars.push((name.clone(), var.to_owned()));
        out = format!("{before}{{{name}}}{after}");
    }
    (out, vars)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_of_the_url_become_placeholders() {
        let source = "https://${SNOWFLAKE_ACCOUNT}.example/v1/chat/completions";
        let expected =
            ("https://{account}.example/v1".to_owned(), vec![("account".to_owned(), "SNOWFLAKE_ACCOUNT".to_owned())]);
        assert_eq!(base_url(source), expected);
    }

    #[test]
    fn a_variable_enables_one_provider_only() {
        let mut taken = BTreeSet::new();
        let provider = json!({"id": "a", "name": "A", "base_url": "https://a.example/v1", "env": ["KEY"]});
        assert!(render(&provider, &mut taken).unwrap().contains("\napi_key = [\"KEY\"]"));
        assert!(render(&provider, &mut taken).unwrap().contains("\napi_key_shared = [\"KEY\"]"));
    }

    #[test]
    fn a_local_provider_needs_its_address() {
        let provider = json!({"id": "my-box", "name": "A", "base_url": "http://127.0.0.1:1/v1", "env": ["KEY"]});
        let text = render(&provider, &mut BTreeSet::new()).unwrap();
        assert!(text.contains("optional_bearer") && text.contains("base_url = [\"MY_BOX_BASE_URL\"]"), "{text}");
    }
}
