import json
import os
import subprocess

import first_start
import httpx2
import pytest
import weir


@pytest.fixture(scope="module")
def started():
    with first_start.start(first_start.free_address()) as started:
        yield started


def test_the_printed_curl_line_works_as_it_stands(started):
    command = started.curl_line()
    assert started.address in command
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    assert '"error"' not in done.stdout, done.stdout
    assert "choices" in done.stdout, done.stdout


def test_the_printed_keys_open_what_they_should(started):
    url = f"http://{started.address}"
    answer = httpx2.get(url + "/admin/v1/keys", headers=weir.bearer(started.admin_key))
    assert answer.status_code == 200, answer.text
    answer = httpx2.get(url + "/v1/models", headers=weir.bearer(started.key))
    assert "demo/chat" in [model["id"] for model in answer.json()["data"]]
    assert httpx2.get(url + "/v1/models").status_code == 401


def test_the_greeting_says_where_and_what(started):
    assert started.address in started.output
    assert "demo" in started.output


def test_no_secret_is_stored_in_the_clear(started):
    for path in started.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert started.admin_key.encode() not in content, path
            assert started.key.encode() not in content, path


def test_keys_are_printed_once(tmp_path):
    """A second start on the same data prints neither key."""
    environment = {"PATH": os.environ["PATH"], "WEIR_DATA_DIR": str(tmp_path)}

    def keys_printed():
        address = first_start.free_address()
        with subprocess.Popen(
            [first_start.BIN, "serve", "--listen", address],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            transport = httpx2.HTTPTransport(retries=20)
            with httpx2.Client(transport=transport) as http:
                http.get(f"http://{address}/health")
            process.terminate()
            return process.stdout.read().count("sk-weir-")

    assert keys_printed() > 0
    assert keys_printed() == 0


def test_a_bad_flag_is_a_usage_error():
    done = subprocess.run([first_start.BIN, "serve", "--no-such-flag"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "--no-such-flag" in done.stderr


def test_a_config_that_does_not_hold_is_refused_with_its_place(tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("server:\n  listn: 127.0.0.1:0\n")
    done = subprocess.run([first_start.BIN, "check", "--config", config], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    told = done.stdout + done.stderr
    assert "weir.yaml:2:" in told
    assert "listen" in told


def test_an_export_is_json_for_a_script(started):
    data = started.directory / "weir-data"
    environment = {"PATH": os.environ["PATH"], "WEIR_DATA_DIR": str(data)}
    command = [first_start.BIN, "usage", "--since", "7d", "--group-by", "model", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, cwd=started.directory)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
