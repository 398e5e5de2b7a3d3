//! `cargo xtask sdk-suite`: the official Python SDK's own API tests, straight on a mock and through Weir.
//!
//! A test that passes against the mock must pass through Weir: the gateway may not be seen between the two.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::{self, Gateway};
use crate::setup::{clients, python};
use crate::shell::{Result, Service, free_port, root, run, work_dir};

/// The release whose tests run; `tests/clients/python/requirements.txt` pins the same one.
const SDK: &str = "openai-3.52.0";

/// The tests of the endpoints that Weir serves.
const SUITES: [&str; 11] = [
    "chat",
    "test_completions.py",
    "test_embeddings.py",
    "responses",
    "test_responses.py",
    "test_images.py",
    "audio",
    "test_moderations.py",
    "test_batches.py",
    "test_files.py",
    "test_models.py",
];

/// How many of them pass against the mock; fewer means that the mock is broken and the comparison worth nothing.
const PASS_DIRECTLY: usize = 948;

/// Stands in the SDK's conftest, and is replaced so that both runs take their key from the environment.
const FIXED_KEY: &str = "\napi_key = \"My API Key\"\n";
const KEY_FROM_ENVIRONMENT: &str = "\napi_key = os.environ[\"TEST_API_KEY\"]\n";

/// Runs both and lists every test that passes directly only; with `direct_only` the first run alone.
pub(crate) fn sdk_suite(direct_only: bool) -> Result {
    let reference = root().join("../shared/reference/openai-openapi.yml");
    if !reference.exists() {
        println!("{} is absent: the SDK's own suite has no mock to run on, nothing compared", reference.display());
        return Ok(());
    }
    let place = work_dir("sdk-suite")?;
    let tests = fetch(&place)?;
    let port = free_port()?;
    let _mock = start_mock(&reference, port, &place.join("mock.log"))?;
    let mock = format!("http://127.0.0.1:{port}");

    let direct = pytest(&tests, &mock, "any key", &place.join("direct.log"))?;
    println!("directly: {direct}");
    if direct.passed.len() < PASS_DIRECTLY {
        return Err(format!("{} tests pass on the mock, expected {PASS_DIRECTLY}", direct.passed.len()).into());
    }
    if direct_only {
        return Ok(());
    }
    compare(&direct, &through_weir(&tests, &mock, &place)?, &place)
}

fn through_weir(tests: &Path, mock: &str, place: &Path) -> Result<Outcome> {
    gateway::build()?;
    let gateway = Gateway::start(&config(mock), &place.join("weir.log"))?;
    let through = pytest(tests, &format!("{}/v1", gateway.url), &gateway.key, &place.join("through.log"))?;
    println!("through Weir: {through}");
    Ok(through)
}

/// One provider that takes every model name, so that the tests' own names reach the mock.
fn config(mock: &str) -> String {
    format!(
        r#"auth: {{ admin_key: "${{WEIR_ADMIN_KEY}}" }}
providers:
  openai: {{ base_url: "{mock}", api_key: "key of the mock", default: true }}
"#
    )
}

fn compare(direct: &Outcome, through: &Outcome, place: &Path) -> Result {
    let lost: Vec<&String> = direct.passed.difference(&through.passed).collect();
    if lost.is_empty() {
        return Ok(());
    }
    for test in &lost {
        println!("passes directly, fails through Weir: {test}");
    }
    let log = place.join("through.log");
    Err(format!("{} tests of the SDK fail through Weir; why: {}", lost.len(), log.display()).into())
}

/// The SDK's source package, unpacked in `target/sdk-suite`, with the key taken from the environment.
fn fetch(place: &Path) -> Result<PathBuf> {
    let source = place.join(SDK);
    let stamp = source.join(".ready");
    if stamp.exists() {
        return Ok(source);
    }
    println!("fetching the source of {SDK}");
    let pinned = SDK.replacen('-', "==", 1);
    run(Command::new(python())
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        // The package alone as source: what it is built with may come as wheels, which saves half a minute.
        .args(["--no-binary", "openai", "--dest", "."])
        .arg(pinned)
        .current_dir(place))?;
    run(Command::new("tar").args(["xzf", &format!("{SDK}.tar.gz")]).current_dir(place))?;
    let conftest = source.join("tests/conftest.py");
    let patched = take_key_from_environment(&std::fs::read_to_string(&conftest)?)?;
    std::fs::write(conftest, patched)?;
    std::fs::write(stamp, "")?;
    Ok(source)
}

fn take_key_from_environment(conftest: &str) -> Result<String> {
    if conftest.matches(FIXED_KEY).count() != 1 {
        return Err(format!("tests/conftest.py of {SDK} does not set its key the way this task knows").into());
    }
    Ok(conftest.replace(FIXED_KEY, KEY_FROM_ENVIRONMENT))
}

/// The mock with the options of the SDK's own `scripts/mock`; its paths have no `/v1`.
fn start_mock(reference: &Path, port: u16, log: &Path) -> Result<Service> {
    let mut command = Command::new("node");
    command.arg(clients().join("node/node_modules/@stdy/cli/steady.js"));
    command.args(["--quiet", "--host", "127.0.0.1", "--port", &port.to_string()]);
    for part in ["query-array", "query-object", "form-array", "form-object"] {
        command.arg(format!("--validator-{part}-format=brackets"));
    }
    let mut service = Service::start("the mock", command.arg(reference), log)?;
    service.wait_for(&format!("http://127.0.0.1:{port}/_x-steady/health"))?;
    Ok(service)
}

/// Failing tests are an outcome, not an error: what counts is the difference of two runs.
fn pytest(tests: &Path, base_url: &str, key: &str, log: &Path) -> Result<Outcome> {
    let mut command = Command::new(python());
    command.args(["-m", "pytest", "-o", "addopts=", "-n", "2", "-q", "-rpfE", "--tb=short", "-p", "no:cacheprovider"]);
    command.args(SUITES.map(|suite| format!("tests/api_resources/{suite}")));
    command.current_dir(tests).env("TEST_API_BASE_URL", base_url).env("TEST_API_KEY", key);
    let output = command.output().map_err(|error| format!("cannot start pytest: {error}; run `cargo xtask setup`"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    std::fs::write(log, text.as_bytes())?;
    let outcome = Outcome::read(&text);
    if outcome.ran() == 0 {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("pytest ran no test: {} {}", text.trim(), errors.trim()).into());
    }
    Ok(outcome)
}

/// Which tests passed and which did not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Outcome {
    /// Reads pytest's short summary: `PASSED <test>`, `FAILED <test> - <why>`, `ERROR <test> - <why>`.
    fn read(output: &str) -> Self {
        let mut outcome = Self::default();
        for line in output.lines() {
            let Some((word, rest)) = line.split_once(' ') else {
                continue;
            };
            let test = rest.split(" - ").next().unwrap_or(rest);
            match word {
                _ if !test.starts_with("tests/") => false,
                "PASSED" => outcome.passed.insert(test.to_owned()),
                "FAILED" | "ERROR" => outcome.failed.insert(test.to_owned()),
                _ => false,
            };
        }
        // A test that passes and whose teardown fails is in both.
        outcome.passed.retain(|test| !outcome.failed.contains(test));
        outcome
    }

    fn ran(&self) -> usize {
        self.passed.len() + self.failed.len()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} tests pass", self.passed.len(), self.ran())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_line_by_line() {
        let outcome = Outcome::read(
            "PASSED words of a test's own output\n\
             ==== short test summary info ====\n\
             PASSED tests/a.py::A::one[loose]\n\
             PASSED tests/a.py::A::torn\n\
             ERROR tests/a.py::A::torn - RuntimeError: loop is closed\n\
             FAILED tests/a.py::A::two[strict] - openai.BadRequestError: 400 - no\n\
             1 failed, 2 passed, 1 error in 0.1s\n",
        );
        assert_eq!(outcome.passed, BTreeSet::from(["tests/a.py::A::one[loose]".to_owned()]));
        assert_eq!(
            outcome.failed,
            BTreeSet::from(["tests/a.py::A::torn".to_owned(), "tests/a.py::A::two[strict]".to_owned()])
        );
        assert_eq!(outcome.to_string(), "1 of 3 tests pass");
    }

    #[test]
    fn the_key_is_replaced_once_or_the_change_is_reported() {
        let patched =
            take_key_from_environment("import os\napi_key = \"My API Key\"\nadmin_api_key = \"A\"\n").unwrap();
        assert_eq!(patched, "import os\napi_key = os.environ[\"TEST_API_KEY\"]\nadmin_api_key = \"A\"\n");
        take_key_from_environment("key = 1\n").unwrap_err();
    }

    #[test]
    fn a_test_that_is_lost_on_the_way_is_a_failure_and_one_that_is_won_is_not() {
        let of = |names: &[&str]| Outcome {
            passed: names.iter().map(|&name| name.to_owned()).collect(),
            failed: BTreeSet::new(),
        };
        let place = Path::new("logs");
        compare(&of(&["a"]), &of(&["a", "b"]), place).unwrap();
        let error = compare(&of(&["a", "b"]), &of(&["a"]), place).unwrap_err();
        assert!(error.to_string().starts_with("1 tests of the SDK fail through Weir"));
    }

    #[test]
    fn the_release_under_test_is_the_one_the_clients_are_pinned_to() {
        let requirements = root().join("tests/clients/python/requirements.txt");
        let text = std::fs::read_to_string(requirements).unwrap();
        assert!(text.lines().any(|line| line == SDK.replacen('-', "==", 1)));
    }
}
