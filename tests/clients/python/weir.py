"""Where the gateway under test is, and how to reach the parts of it that no SDK knows."""

import os
import time

import httpx2

URL = os.environ["WEIR_URL"]
KEY = os.environ["WEIR_KEY"]
ADMIN_KEY = os.environ["WEIR_ADMIN_KEY"]
UPSTREAM_URL = os.environ["WEIR_UPSTREAM_URL"]
UPSTREAM_KEY = os.environ["WEIR_UPSTREAM_KEY"]


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def call(method, path, key=KEY, **kwargs):
    """One plain HTTP call with the given key; `key=None` sends none."""
    headers = kwargs.pop("headers", {}) | (bearer(key) if key else {})
    return httpx2.request(method, URL + path, headers=headers, timeout=30, **kwargs)


def create_key(**fields):
    """A fresh virtual key: `{"id", "key", ..}`."""
    response = call("POST", "/admin/v1/keys", ADMIN_KEY, json={"name": "a test's own"} | fields)
    assert response.is_success, response.text
    return response.json()


def upstream_saw(path="/v1/chat/completions"):
    """What the upstream received last on this path: `{"headers", "body"}`."""
    return httpx2.get(UPSTREAM_URL + "/_last", params={"path": path}).json()


def upstream_lost_its_reader():
    return httpx2.get(UPSTREAM_URL + "/_gone", timeout=30).json()


def usage_row(request_id, key=KEY):
    """The usage row of a request. Rows are written in batches, so a row may take a moment to appear."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        page = call("GET", "/v1/usage", key, params={"from": "1h", "limit": 100}).json()
        for row in page["data"]:
            if row["id"] == request_id:
                return row
        time.sleep(0.05)
    raise AssertionError(f"no usage row for {request_id} within 15 s; the newest are {page['data'][:3]}")
