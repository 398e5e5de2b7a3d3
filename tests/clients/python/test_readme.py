"""README.md is executed: a block behind `<!-- run -->` works as it stands, or this fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import first_start
import pytest

README = Path(os.environ["WEIR_README"])
NODE = Path(__file__).parent.parent / "node"
BLOCK = re.compile(r"^<!-- run -->\s*\n```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README.read_text())


def command_of(language, text):
    """The program that runs a block; console blocks show answers beside the commands."""
    if language == "console":
        text, language = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE)), "sh"
    runners = {
        "sh": ["sh", "-e", "-c", text],
        "bash": ["bash", "-e", "-c", text],
        "python": [sys.executable, "-c", text],
        "js": ["node", "--input-type=module", "--eval", text],
    }
    return runners[language]


@pytest.fixture(scope="module")
def started():
    """On the default address, which README's commands name; on a free one where another program has that."""
    free = first_start.is_free(first_start.DEFAULT_ADDRESS)
    with first_start.start(first_start.DEFAULT_ADDRESS if free else first_start.free_address()) as started:
        yield started


def test_there_is_something_to_run():
    assert BLOCKS, f"{README} has no block behind <!-- run -->"


@pytest.mark.parametrize(("language", "text"), BLOCKS, ids=[text.strip().splitlines()[0][:60] for _, text in BLOCKS])
def test_a_block_works_as_it_stands(started, language, text):
    text = text.replace(first_start.DEFAULT_ADDRESS, started.address)
    text = text.replace("localhost:8080", started.address)
    environment = {
        "PATH": f"{first_start.BIN.parent}:{os.environ['PATH']}",
        "HOME": str(started.directory),
        "WEIR_DATA_DIR": str(started.directory / "weir-data"),
        "WEIR_KEY": started.key,
        "WEIR_ADMIN_KEY": started.admin_key,
        "OPENAI_API_KEY": started.key,
        "OPENAI_BASE_URL": f"http://{started.address}/v1",
    }
    # Node resolves the SDK from where it is started.
    where = NODE if language == "js" else started.directory
    command = command_of(language, text)
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"error":{' not in done.stdout.replace(" ", ""), done.stdout
