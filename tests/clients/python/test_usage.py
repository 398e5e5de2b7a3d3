import csv
import io
import json
from datetime import datetime
from decimal import Decimal

import openai
import pytest
import weir

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def key():
    """A key of this file's own, so that its totals can be counted."""
    return weir.create_key(name="usage")


@pytest.fixture(scope="module")
def rows(client, key):
    """One row per kind of call, by its kind."""
    mine = client.with_options(api_key=key["key"])
    chat = mine.chat.completions.with_raw_response
    ids = {
        "chat": chat.create(model="echo", messages=HELLO, user="end-user-1", extra_headers={"x-weir-tags": "team=a,env=b"}),
        "demo": chat.create(model="demo/chat", messages=HELLO),
        "embeddings": mine.embeddings.with_raw_response.create(model="demo/embed", input="a"),
    }
    ids = {kind: raw.headers["x-request-id"] for kind, raw in ids.items()}
    with pytest.raises(openai.NotFoundError) as caught:
        mine.chat.completions.create(model="demo/chatt", messages=HELLO)
    ids["rejected"] = caught.value.response.headers["x-request-id"]
    with pytest.raises(openai.BadRequestError) as caught:
        mine.chat.completions.create(model="scripted/status-400", messages=HELLO)
    ids["refused"] = caught.value.response.headers["x-request-id"]
    return {kind: weir.usage_row(request_id, key["key"]) for kind, request_id in ids.items()}


def test_a_row_says_who_what_and_how_much(rows, key):
    row = rows["chat"]
    assert row["key_id"] == key["id"]
    assert row["end_user"] == "end-user-1"
    assert row["tags"] == {"team": "a", "env": "b"}
    assert (row["model"], row["provider"], row["served_model"]) == ("echo", "scripted", "echo")
    assert (row["status"], row["http_status"]) == ("ok", 200)
    tokens = [row[f"{kind}_tokens"] for kind in ("input", "cached", "cache_write", "output", "reasoning")]
    assert tokens == [12, 4, 0, 7, 2]
    assert row["cost_usd"] == "0.000022400"
    assert row["unpriced"] is False
    assert row["latency_ms"] >= 0
    assert row["overhead_us"] >= 0
    [attempt] = row["attempts"]
    assert (attempt["provider"], attempt["model"], attempt["outcome"]) == ("scripted", "echo", "ok")
    datetime.fromisoformat(row["at"].replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("kind", "status", "http_status"),
    [
        ("demo", "ok", 200),
        ("embeddings", "ok", 200),
        ("rejected", "rejected", 404),
        ("refused", "client_error", 400),
    ],
)
def test_every_end_of_a_call_has_its_status(rows, kind, status, http_status):
    assert (rows[kind]["status"], rows[kind]["http_status"]) == (status, http_status)


def test_a_failure_says_why(rows):
    assert rows["rejected"]["error_code"] == "model_not_found"
    assert rows["refused"]["error_code"] == "scripted_error"
    assert rows["refused"]["error_message"]


def test_a_key_sees_itself_alone(rows, key):
    page = weir.call("GET", "/v1/usage", key["key"], params={"from": "1h", "limit": 100}).json()
    assert page["object"] == "list"
    assert {row["key_id"] for row in page["data"]} == {key["id"]}
    assert {row["id"] for row in rows.values()} <= {row["id"] for row in page["data"]}


def test_pages_join_without_a_gap_or_a_repeat(rows, key):
    seen, cursor = [], None
    while True:
        params = {"from": "1h", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = weir.call("GET", "/v1/usage", key["key"], params=params).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == len(rows)


def test_totals_are_the_sum_of_the_rows(rows, key):
    params = {"from": "1h", "group_by": "model", "key_id": key["id"]}
    page = weir.call("GET", "/v1/usage", weir.ADMIN_KEY, params=params).json()
    totals = {group["model"]: group for group in page["data"]}
    assert Decimal(totals["echo"]["cost_usd"]) == Decimal(rows["chat"]["cost_usd"])
    assert totals["echo"]["input_tokens"] == 12


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("status", "rejected", {"rejected"}),
        ("provider", "scripted", {"chat", "refused"}),
        ("model", "demo/embed", {"embeddings"}),
    ],
)
def test_a_filter_keeps_what_it_says(rows, key, name, value, kinds):
    params = {"from": "1h", "limit": 100, name: value}
    page = weir.call("GET", "/v1/usage", key["key"], params=params).json()
    assert {row["id"] for row in page["data"]} == {rows[kind]["id"] for kind in kinds}


def test_other_formats_hold_the_same_rows(rows, key):
    def export(kind):
        response = weir.call("GET", "/v1/usage", key["key"], params={"from": "1h", "limit": 100, "format": kind})
        assert response.is_success, response.text
        return response.text

    expected = {row["id"] for row in rows.values()}
    assert {row["id"] for row in csv.DictReader(io.StringIO(export("csv")))} == expected
    assert {json.loads(line)["id"] for line in export("ndjson").splitlines()} == expected
