"""Claude Code and the Codex CLI, without an account, in an empty home: one prompt, one tool, one answer.

The scripted model asks for a tool to read a file; what is in the file comes back in the last message, so that the whole loop
is proved: the agent's long instructions, its tools, a streamed call, thoughts with their seal, and the result.
"""

import json
import os
import subprocess
from pathlib import Path

import script
from script import model, upstreams

PROGRAMS = Path(__file__).parents[2] / "agents/node_modules/.bin"
SECRET = "the secret word is Heidelbeere"
CODEX_CONFIG = """
model = "{model}"
model_provider = "weir"
[model_providers.weir]
name = "Weir"
base_url = "{url}"
env_key = "WEIR_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


def run(home, program, arguments, **environment):
    """A program's standard output; its home and its working directory are empty but for the note."""
    place = home / "work"
    place.mkdir()
    (place / "note.txt").write_text(SECRET + "\n")
    environment |= {"PATH": os.environ["PATH"], "HOME": str(home)}
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@upstreams("anthropic", among=["anthropic", "openai", "responses-only", "gemini", "bedrock"])
def test_claude_code(tmp_path, upstream):
    arguments = json.dumps({"file_path": str(tmp_path / "work/note.txt")})
    options = ["--output-format", "json", "--model", model(upstream), "--allowedTools", "Read"]
    output = run(
        tmp_path,
        "claude",
        ["-p", f"script:call Read {arguments}", *options],
        ANTHROPIC_BASE_URL=script.base_url("anthropic"),
        ANTHROPIC_API_KEY=script.KEY,
        ANTHROPIC_SMALL_FAST_MODEL=model(upstream),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        CLAUDE_CODE_MAX_RETRIES="0",
        MAX_THINKING_TOKENS="2048",
    )
    result = json.loads(output)
    assert not result["is_error"], output
    assert result["result"].startswith("the tool says: ")
    assert SECRET in result["result"]
    assert result["num_turns"] == 2
    assert result["usage"]["output_tokens"] == 2 * script.OUTPUT


@upstreams("responses-only", among=["responses-only", "anthropic", "gemini", "bedrock"])
def test_codex(tmp_path, upstream):
    (tmp_path / ".codex").mkdir()
    config = CODEX_CONFIG.format(model=model(upstream), url=script.base_url("openai", "/v1"))
    (tmp_path / ".codex/config.toml").write_text(config)
    # Its own sandbox needs kernel features that a container may not have; the command only prints a file.
    options = ["--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox"]
    arguments = json.dumps({"cmd": "cat note.txt"})
    output = run(
        tmp_path, "codex", ["exec", *options, f"script:call exec_command {arguments}"], WEIR_KEY=script.KEY
    )
    events = [json.loads(line) for line in output.splitlines()]
    messages = [event["item"]["text"] for event in events if is_done(event, "agent_message")]
    assert messages[0] == "I use a tool."
    assert messages[-1].startswith("the tool says: ")
    assert SECRET in messages[-1]
    assert events[-1]["type"] == "turn.completed"
    assert events[-1]["usage"]["output_tokens"] == 2 * script.OUTPUT


def is_done(event, kind):
    return event["type"] == "item.completed" and event["item"]["type"] == kind
