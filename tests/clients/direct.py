"""Runs the translation suites without a gateway: each SDK on the scripted upstream, in its own dialect.

    .venv/bin/python direct.py [python] [node] [-- arguments for pytest]

What passes here proves the upstream, so that a failure through the gateway is the gateway's.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
KEY = "upstream-key-of-one-direct-run"


def main(arguments):
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, rest = arguments[:split] or ["python", "node"], arguments[split + 1 :]
    suites = {
        "python": ([sys.executable, "-m", "pytest", "-q", *rest], HERE / "python/translation"),
        "node": (["node", "--test", "--test-reporter=spec", *tests_of("node/translation")], HERE / "node/translation"),
    }
    port = free_port()
    environment = os.environ | {
        "DIRECT": "1",
        "WEIR_URL": f"http://127.0.0.1:{port}",
        "WEIR_KEY": KEY,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen([sys.executable, HERE / "dialects", str(port), KEY]) as upstream:
        try:
            wait_for(port)
            codes = [subprocess.run(suites[name][0], cwd=suites[name][1], env=environment).returncode for name in chosen]
        finally:
            upstream.terminate()
    return max(codes)


def tests_of(place):
    return sorted(path.name for path in (HERE / place).glob("*.test.js"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"the scripted upstream does not listen on {port}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
