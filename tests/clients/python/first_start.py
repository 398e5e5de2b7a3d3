"""A gateway started with nothing: no configuration, no database, no key."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BIN = Path(os.environ["WEIR_BIN"]).resolve()
DEFAULT_ADDRESS = "127.0.0.1:8080"


@dataclass
class Started:
    address: str
    output: str
    admin_key: str
    key: str
    directory: Path

    def curl_line(self):
        """The paste-ready command, with the lines it is continued on."""
        command = re.search(r"^\s*(?:\$ )?(curl (?:.*\\\n)*.*)$", self.output, re.MULTILINE)
        assert command, f"no curl line in:\n{self.output}"
        return command[1]


def is_free(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
        return True


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def start(address):
    """Starts `weir` as a newcomer does; the default address needs no argument."""
    arguments = [] if address == DEFAULT_ADDRESS else ["serve", "--listen", address]
    with tempfile.TemporaryDirectory(prefix="weir-first-") as directory:
        data = Path(directory) / "weir-data"
        environment = {"PATH": os.environ["PATH"], "WEIR_DATA_DIR": str(data), "HOME": directory}
        process = subprocess.Popen(
            [BIN, *arguments], cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output = read_greeting(process)
            yield Started(address, output, *keys_of(output), Path(directory))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=40) == 0, "SIGTERM is an orderly end"
            process.stdout.close()


def read_greeting(process):
    """Everything up to half a second of silence behind the curl line."""
    output, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.5)
        if ready:
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                break
            output += part
        elif b"curl " in output:
            return output.decode()
    raise AssertionError(f"the gateway did not greet:\n{output.decode(errors='replace')}")


def keys_of(output):
    """The admin key says what it is; the other one is the first virtual key."""
    keys = re.findall(r"sk-weir-[\w-]+", output)
    admin = [key for key in keys if key.startswith("sk-weir-admin-")]
    virtual = [key for key in keys if key not in admin]
    assert admin and virtual, f"an admin key and a virtual key are missing in:\n{output}"
    return admin[0], virtual[0]
