import openai
import pytest
import weir

HELLO = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


def error_of(response):
    """The error object; the dialect has exactly these four keys."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def test_no_key():
    response = weir.call("POST", CHAT, key=None, json={"model": "demo/chat", "messages": HELLO})
    assert response.status_code == 401
    assert error_of(response)["code"] == "missing_api_key"


def test_a_bad_key(client_with):
    with pytest.raises(openai.AuthenticationError) as caught:
        client_with("sk-weir-no-such-key").chat.completions.create(model="demo/chat", messages=HELLO)
    assert caught.value.code == "invalid_api_key"
    assert "no-such-key" not in caught.value.message


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-goog-api-key"])
def test_every_way_to_show_a_key(header):
    body = {"model": "demo/chat", "messages": HELLO}
    response = weir.call("POST", CHAT, key=None, headers={header: weir.KEY}, json=body)
    assert response.status_code == 200, response.text


def test_an_unknown_model_names_its_neighbours(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="demo/chatt", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "demo/chatt" in caught.value.message
    assert "demo/chat" in caught.value.message.replace("demo/chatt", "")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(client, wrong, param):
    body = {"model": "demo/chat", "messages": HELLO} | wrong
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"messages": []}'])
def test_a_body_that_is_no_request(content):
    response = weir.call("POST", CHAT, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


def test_an_unknown_path_is_an_error_of_the_dialect():
    response = weir.call("POST", "/v1/chat/complet", json={})
    assert response.status_code == 404
    error_of(response)


def test_a_rate_limit_says_when_to_come_back(client_with):
    limited = client_with({"limits": {"rpm": 1}})
    first = limited.chat.completions.with_raw_response.create(model="demo/chat", messages=HELLO)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert first.headers["x-ratelimit-reset-requests"]
    with pytest.raises(openai.RateLimitError) as caught:
        limited.chat.completions.create(model="demo/chat", messages=HELLO)
    assert caught.value.code == "rate_limit_exceeded"
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 60_000


def test_a_model_that_the_key_may_not_use(client_with):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client_with({"models": ["demo/chat"]}).embeddings.create(model="demo/embed", input="a")
    assert caught.value.code == "model_not_allowed"


def test_a_budget_is_kept_and_a_wrong_one_refused():
    def create(budget):
        return weir.call("POST", "/admin/v1/keys", weir.ADMIN_KEY, json={"name": "poor", "budget": budget})

    response = create({"usd": "0.01", "period": "day"})
    assert response.status_code == 201, response.text
    assert response.json()["budget"]["remaining_usd"] == "0.010000000"
    response = create({"usd": "0.01", "period": "year"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == "budget.period"


def test_a_revoked_key_is_refused_at_once(client_with):
    created = weir.create_key()
    client = client_with(created["key"])
    client.chat.completions.create(model="demo/chat", messages=HELLO)
    assert weir.call("DELETE", f"/admin/v1/keys/{created['id']}", weir.ADMIN_KEY).is_success
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="demo/chat", messages=HELLO)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (422, openai.UnprocessableEntityError)],
)
def test_an_upstreams_own_error_keeps_its_class_message_and_code(client, status, expected):
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model=f"scripted/status-{status}", messages=HELLO)
    assert "as the script says" in caught.value.message
    assert caught.value.code == "scripted_error"


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateways_own_credentials_are_never_the_clients_fault(client, status):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=f"refusing/status-{status}", messages=HELLO)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_credentials_rejected"
    assert weir.UPSTREAM_KEY not in caught.value.response.text


def test_a_fault_on_request(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="demo/chat", messages=HELLO, extra_headers={"x-weir-fault": "status=503"})
    assert caught.value.status_code == 503


def test_the_admin_plane_refuses_a_virtual_key():
    response = weir.call("GET", "/admin/v1/keys")
    assert response.status_code in (401, 403)
    error_of(response)
