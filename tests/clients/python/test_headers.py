import re

import weir

HELLO = [{"role": "user", "content": "hello"}]


def headers_of(client, **kwargs):
    return client.chat.completions.with_raw_response.create(messages=HELLO, **kwargs).headers


def test_an_answer_says_who_gave_it(client):
    headers = headers_of(client, model="echo")
    assert headers["x-request-id"]
    assert headers["x-weir-provider"] == "scripted"
    assert headers["x-weir-model"] == "echo"
    assert headers["x-weir-attempts"] == "1"
    assert headers["x-weir-cost-usd"] == "0.000022400"


def test_the_time_is_split(client):
    timing = headers_of(client, model="demo/chat")["server-timing"]
    assert re.fullmatch(r"weir;dur=\d+(\.\d+)?, upstream;dur=\d+(\.\d+)?", timing)


def test_a_streams_headers_come_first(client):
    headers = headers_of(client, model="demo/chat", stream=True)
    assert headers["x-request-id"]
    assert headers["x-weir-provider"] == "demo"


def test_a_request_id_of_the_client_is_kept(client):
    headers = headers_of(client, model="demo/chat", extra_headers={"x-request-id": "client-made-0001"})
    assert headers["x-request-id"] == "client-made-0001"


def test_an_ill_formed_request_id_is_replaced(client):
    headers = headers_of(client, model="demo/chat", extra_headers={"x-request-id": "no id at all;" * 40})
    assert headers["x-request-id"]
    assert "no id" not in headers["x-request-id"]


def test_request_ids_are_unique(client):
    ids = {headers_of(client, model="demo/chat")["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


def test_an_error_has_its_request_id_too():
    response = weir.call("POST", "/v1/chat/completions", json={"model": "nobody/nothing", "messages": HELLO})
    assert response.headers["x-request-id"]
