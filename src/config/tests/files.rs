//! Files: where they are looked for, includes, secret files.

use std::fs;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load_file(folder: &TempDir, name: &str) -> Result<Config, String> {
    let source = ConfigSource::File(folder.path().join(name));
    let root = format!("{}/", folder.path().display());
    Config::load(&source, &env, &known()).map_err(|faults| lines(&faults).replace(&root, ""))
}

#[test]
fn the_file_is_searched_in_order() {
    let with = folder(&[("weir.yaml", "")]);
    let without = folder(&[]);
    let find = |folder: &TempDir, flag: Option<&str>, variable: Option<&str>| {
        let env = |name: &str| variable.filter(|_| name == "WEIR_CONFIG").map(str::to_owned);
        ConfigSource::find_in(folder.path(), flag.map(Into::into), &env)
    };
    assert_eq!(find(&with, Some("a"), Some("b")), ConfigSource::File("a".into()));
    assert_eq!(find(&with, None, Some("b")), ConfigSource::File("b".into()));
    assert_eq!(find(&with, None, Some("")), ConfigSource::File(with.path().join("weir.yaml")));
    assert_eq!(find(&without, None, None), ConfigSource::Defaults);
}

#[test]
fn without_a_file_the_environment_decides() {
    let env = |name: &str| match name {
        "WEIR_DATA_DIR" => Some("/srv/weir".to_owned()),
        "WEIR_ADMIN_KEY" => Some("hunter2".to_owned()),
        _ => None,
    };
    for config in [default_config(&env), Config::load(&ConfigSource::Defaults, &env, &known()).unwrap()] {
        assert_eq!(config.data_dir, PathBuf::from("/srv/weir"));
        assert_eq!(config.database.url.expose_secret(), "sqlite:///srv/weir/weir.db");
        assert_eq!(config.auth.admin_key.unwrap().expose_secret(), "hunter2");
    }
    let config = default_config(&|name| (name == "WEIR_ADMIN_KEY").then(|| " ".to_owned()));
    assert!(config.auth.admin_key.is_none());
    assert_eq!(config.database.url.expose_secret(), "sqlite://weir-data/weir.db");
}

#[test]
fn includes_merge_deeply_and_the_later_wins() {
    let folder = folder(&[
        ("weir.yaml", "include: [a.yaml, sub/b.toml]\nserver: {max_connections: 3}\n"),
        ("a.yaml", "server: {max_connections: 1, max_in_flight: 1, body_limit: 1}\nmodels: {m: demo/a, n: demo/a}\n"),
        ("sub/b.toml", "include = ['c.yaml']\n[server]\nmax_in_flight = 2\n[models]\nm = 'demo/b'\n"),
        ("sub/c.yaml", "server: {max_in_flight: 9, upload_limit: 9}\n"),
    ]);
    let config = load_file(&folder, "weir.yaml").unwrap();
    let server = &config.server;
    assert_eq!((server.max_connections, server.max_in_flight), (3, 2));
    assert_eq!((server.body_limit, server.upload_limit), (1, 9));
    assert_eq!(config.models["m"], Route::to("demo", "b"));
    assert_eq!(config.models["n"], Route::to("demo", "a"));
    assert_eq!(config.files.len(), 4, "every file is there to be watched");
}

#[test]
fn a_value_that_is_overruled_needs_no_variable() {
    let folder = folder(&[
        ("weir.yaml", "include: [base.yaml]\nauth: {admin_key: x}\n"),
        ("base.yaml", "auth: {admin_key: '${NONE}'}\n"),
    ]);
    assert!(load_file(&folder, "weir.yaml").is_ok());
}

fn check_faults(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(load_file(&folder(files), "weir.yaml").unwrap_err(), expected.join("\n"), "{files:?}");
}

#[test]
fn faults_name_the_file_they_are_in() {
    check_faults(
        &[("weir.yaml", "include: [base.yaml]\nservre: {}\n"), ("base.yaml", "server:\n  listn: x\n")],
        &[
            "weir.yaml:2:1: servre: unknown key, did you mean `server`?",
            "base.yaml:2:3: server.listn: unknown key, did you mean `listen`?",
        ],
    );
}

#[test]
fn includes_that_go_wrong() {
    check_faults(
        &[("weir.yaml", "include: [a.yaml]\n"), ("a.yaml", "include: [weir.yaml]\n")],
        &["a.yaml:1:11: include: weir.yaml includes itself"],
    );
    check_faults(
        &[("weir.yaml", "include: [none.yaml, 7]\n")],
        &[
            "weir.yaml:1:11: include: cannot read none.yaml: No such file or directory (os error 2)",
            "weir.yaml:1:22: include: expected the name of a file, found a number",
        ],
    );
    check_faults(
        &[("weir.yaml", "include: a.yaml\n")],
        &["weir.yaml:1:10: include: expected a list of files, found text"],
    );
    check_faults(
        &[("weir.yaml", "include: ['${NONE}']\n")],
        &["weir.yaml:1:11: include: the environment variable NONE is not set; set it or write `${NONE:-default}`"],
    );
    check_faults(
        &[("weir.yaml", "include: [a.yaml]\n"), ("a.yaml", "- x\n")],
        &["a.yaml:1:1: expected a map, found a list"],
    );
}

#[test]
fn includes_are_bounded() {
    let deep: Vec<_> = (0..20).map(|i| (format!("{i}.yaml"), format!("include: [{}.yaml]\n", i + 1))).collect();
    let mut files = vec![("weir.yaml", "include: [0.yaml]\n")];
    files.extend(deep.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    check_faults(&files, &["7.yaml:1:11: include: includes more than 8 deep, or more than 64 files"]);
    let wide = format!("include: [{}]\n", vec!["a.yaml"; 100].join(", "));
    let faults = load_file(&folder(&[("weir.yaml", &wide), ("a.yaml", "")]), "weir.yaml").unwrap_err();
    assert_eq!(faults.lines().count(), 37);
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = folder(&[("latin.yaml", ""), ("long.yaml", "")]);
    fs::write(folder.path().join("latin.yaml"), b"a: \xe9\n").unwrap();
    fs::write(folder.path().join("long.yaml"), " ".repeat((4 << 20) + 1)).unwrap();
    let fault = |name: &str| load_file(&folder, name).unwrap_err();
    assert_eq!(fault("none.yaml"), "none.yaml: cannot read the file: No such file or directory (os error 2)");
    assert_eq!(fault("latin.yaml"), "latin.yaml: cannot read the file: not UTF-8 at byte 3");
    assert_eq!(fault("long.yaml"), "long.yaml: cannot read the file: longer than 4194304 bytes");
}

#[test]
fn secrets_come_from_files() {
    let folder =
        folder(&[("weir.yaml", "auth: {admin_key: 'file:secrets/admin'}\n"), ("secrets/admin", "\n hunter2 \n")]);
    let config = load_file(&folder, "weir.yaml").unwrap();
    assert_eq!(config.auth.admin_key.unwrap().expose_secret(), "hunter2");
    assert_eq!(config.files.len(), 2, "the secret file is watched as well");
    let absolute = format!("auth: {{admin_key: 'file:{}'}}\n", folder.path().join("secrets/admin").display());
    assert_eq!(load(&absolute).auth.admin_key.unwrap().expose_secret(), "hunter2");
}

#[test]
fn secret_files_that_go_wrong() {
    let long = "x".repeat(70_000);
    check_faults(
        &[
            ("weir.yaml", "auth: {admin_key: 'file:none'}\nproviders: {openai: {keys: ['file:empty', 'file:long']}}\n"),
            ("empty", " \n"),
            ("long", &long),
        ],
        &[
            "weir.yaml:1:19: auth.admin_key: cannot read the secret file none: No such file or directory (os error 2)",
            "weir.yaml:2:29: providers.openai.keys[0]: the secret is empty",
            "weir.yaml:2:43: providers.openai.keys[1]: cannot read the secret file long: longer than 65536 bytes",
        ],
    );
}

/// Loads `weir.yaml` in an environment.
fn load_in(folder: &TempDir, environment: &str) -> Result<Config, String> {
    let source = ConfigSource::File(folder.path().join("weir.yaml"));
    let root = format!("{}/", folder.path().display());
    let env = |name: &str| if name == "WEIR_ENV" { Some(environment.to_owned()) } else { env(name) };
    Config::load(&source, &env, &known()).map_err(|faults| lines(&faults).replace(&root, ""))
}

#[test]
fn an_environments_overlay_goes_over_the_file_and_its_includes() {
    let folder = folder(&[
        ("weir.yaml", "include: [base.yaml]\nserver: {max_connections: 2, max_in_flight: 2}\n"),
        ("base.yaml", "server: {max_connections: 1, body_limit: 1}\nmodels: {m: demo/a}\n"),
        ("weir.staging.yaml", "include: [more.yaml]\nserver: {max_connections: 3}\n"),
        ("more.yaml", "server: {max_connections: 9}\nmodels: {n: demo/b}\n"),
        ("weir.empty.yaml", "# nothing\n"),
    ]);
    let config = load_in(&folder, "staging").unwrap();
    let server = &config.server;
    assert_eq!((server.max_connections, server.max_in_flight, server.body_limit), (3, 2, 1));
    assert_eq!(config.models.len(), 2);
    assert_eq!(config.files.len(), 4, "the overlay is watched, too");
    for without in ["", "empty"] {
        assert_eq!(load_in(&folder, without).unwrap().server.max_connections, 2, "{without:?}");
    }
}

#[test]
fn an_overlay_that_is_not_there_is_told() {
    let folder = folder(&[("weir.yaml", ""), ("weir.bad.yaml", "servr: 1\n")]);
    let missing = "weir.prod.yaml: cannot read the file: No such file or directory (os error 2)";
    assert_eq!(load_in(&folder, "prod").unwrap_err(), missing);
    assert!(load_in(&folder, "../x").unwrap_err().contains("WEIR_ENV may hold letters"));
    let unknown = "weir.bad.yaml:1:1: servr: unknown key, did you mean `server`?";
    assert_eq!(load_in(&folder, "bad").unwrap_err(), unknown);
}

#[test]
fn the_document_is_kept_without_the_secrets_that_stand_in_it() {
    let folder = folder(&[
        (
            "weir.yaml",
            "include: [sub/base.yaml]\nserver: {max_connections: 3}\nkeys:\n  - {name: a, key: literal-a}\n  - {name: b, key: '${SET}'}\n",
        ),
        (
            "sub/base.yaml",
            "providers:\n  openai: {api_key: literal-k, keys: ['file:k.key', '${SET:-literal-d}'], headers: {x: 'Bearer ${SET}'}}\n\
             database: {url: 'postgres://u:literal-p@h/d'}\n",
        ),
        ("sub/k.key", "literal-f"),
    ]);
    let config = load_file(&folder, "weir.yaml").unwrap();
    let shown = config.document.shown().to_string();
    assert!(!shown.contains("literal") && !format!("{config:?}").contains("literal"), "{shown}");
    let provider = &config.document.shown()["providers"]["openai"];
    let file = format!("file:{}", folder.path().join("sub/k.key").display());
    assert_eq!(provider["keys"], serde_json::json!([file, "***"]));
    assert_eq!((&provider["api_key"], &provider["headers"]["x"]), (&"***".into(), &"Bearer ${SET}".into()));
    let literal = ["database.url", "keys[0].key", "providers.openai.api_key", "providers.openai.keys[1]"];
    assert_eq!(config.document.literal_secrets(), literal);

    let text = format!("{:#}", config.document.shown());
    let name = folder.path().join("version-1.yaml");
    let kept = ConfigSource::Text { name, text, format: Format::Yaml };
    let again = Config::load_over(&kept, &env, &known(), &[&config.document]).unwrap();
    assert!(again.document.literal_secrets().is_empty(), "none is new");
    assert_eq!(diff(&config, &again), []);
    assert_eq!(config.document.hash(), again.document.hash());
    assert_eq!(diff_documents(config.document.shown(), again.document.shown()), []);
}

#[test]
fn a_secret_that_is_in_force_nowhere_is_asked_for() {
    let load = |yaml: &str, base: Option<&Config>| {
        let source = ConfigSource::Text { name: "w.yaml".into(), text: yaml.to_owned(), format: Format::Yaml };
        Config::load_over(&source, &env, &known(), base.map(|base| &base.document).as_slice())
    };
    let base = load("keys: [{name: a, key: literal-a}, {name: b, key: literal-b}]", None).unwrap();
    let config = load("keys: [{name: b, key: '***'}]", Some(&base)).unwrap();
    assert_eq!(config.keys[0].key.expose_secret(), "literal-b", "by its name, not its place");
    let faults = load("keys: [{name: c, key: '***'}]", Some(&base)).unwrap_err();
    assert_eq!((faults[0].key.as_str(), faults[0].column, faults.len()), ("keys[0].key", 23, 1));
    assert!(faults[0].problem.contains("there is none"));
}
