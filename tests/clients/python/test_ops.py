import httpx2
import pytest
import weir
from prometheus_client.parser import text_string_to_metric_families

HELLO = [{"role": "user", "content": "hello"}]
# The parser strips `_total` off a counter's family.
FAMILIES = {
    "weir_requests",
    "weir_request_duration_seconds",
    "weir_overhead_seconds",
    "weir_time_to_first_token_seconds",
    "weir_tokens",
    "weir_cost_usd",
    "weir_upstream_attempts",
    "weir_in_flight",
    "weir_usage_journal_pending",
    "weir_usage_dropped",
}


@pytest.fixture
def families(client):
    list(client.chat.completions.create(model="echo", messages=HELLO, stream=True))
    text = httpx2.get(weir.URL + "/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(families, name):
    return [sample for sample in families[name].samples if not sample.name.endswith("_created")]


def test_the_metrics_parse_and_are_all_there(families):
    assert not FAMILIES - set(families)
    assert any(name.startswith("process_") for name in families)


def test_requests_are_counted_with_bounded_labels(families):
    counted = samples(families, "weir_requests")
    assert {label for sample in counted for label in sample.labels} == {"endpoint", "provider", "model", "status"}
    mine = [sample for sample in counted if sample.labels["provider"] == "scripted" and sample.labels["status"] == "ok"]
    assert sum(sample.value for sample in mine) >= 1
    assert not [sample for sample in counted if "chatt" in sample.labels["model"]], "a client's typo must not be a label"


def test_no_usage_was_dropped(families):
    assert sum(sample.value for sample in samples(families, "weir_usage_dropped")) == 0


def test_no_metric_holds_a_key():
    text = httpx2.get(weir.URL + "/metrics").text
    assert weir.KEY not in text
    assert weir.UPSTREAM_KEY not in text


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_needs_no_key(path):
    assert httpx2.get(weir.URL + path).status_code == 200


def test_health_details_are_the_admins():
    assert weir.call("GET", "/health/details", key=None).status_code == 401
    assert weir.call("GET", "/health/details", weir.ADMIN_KEY).status_code == 200


@pytest.fixture(scope="module")
def openapi():
    return httpx2.get(weir.URL + "/openapi.json").json()


def test_the_document_describes_what_is_served(openapi):
    assert openapi["openapi"].startswith("3.")
    assert openapi["info"]["title"]
    expected = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/usage", "/admin/v1/keys"}
    assert expected <= set(openapi["paths"])


def test_every_reference_of_the_document_leads_somewhere(openapi):
    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(openapi):
        target = openapi
        for part in reference.removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]


def test_every_operation_has_answers_and_a_name_of_its_own(openapi):
    methods = {"get", "put", "post", "delete", "patch", "head", "options"}
    operations = [body for path in openapi["paths"].values() for method, body in path.items() if method in methods]
    assert all(operation["responses"] for operation in operations)
    names = [operation["operationId"] for operation in operations if "operationId" in operation]
    assert len(names) == len(set(names))
