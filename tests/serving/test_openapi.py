"""Requests that are made up from the OpenAPI documents, and the documents themselves."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from answerers import applications
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.testclient import TestClient

from serving import answers
from serving.openapi import EXAMPLES, FAILURES, HEALTH, HISTORY

NAMES = ("spoof", "search", "diffusion")
NUM_REQUESTS = 700
"""Of each application, about."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)
LOCAL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FastAPI]]:
    with pytest.MonkeyPatch.context() as patch:
        yield applications(tmp_path_factory.mktemp("apis"), patch)


class Local:
    """An application as a request on this machine sees it."""

    def __init__(self, api: FastAPI) -> None:
        self.api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            host = (b"host", b"127.0.0.1:8000")
            scope = {**scope, "client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 8000)}
            scope["headers"] = [one for one in scope["headers"] if one[0] != b"host"] + [host]
        await self.api(scope, receive, send)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_document_lets_one_ask_is_answered_as_it_says(apis: dict[str, FastAPI], name: str) -> None:
    """Both what it allows and what it does not."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", Local(apis[name]), config=SchemathesisConfig())
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    for operation in operations:
        varies = "parameters" in operation.definition.raw or "requestBody" in operation.definition.raw
        for mode in GenerationMode if varies else (GenerationMode.POSITIVE,):

            @seed(20_300_101)
            @settings(
                max_examples=NUM_REQUESTS // len(operations) // 2,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                answer = case.call()
                statuses[answer.status_code] += 1
                # An empty list of a form is nothing on the wire, and to schemathesis a 413 is no refusal.
                is_judged = case.media_type != "multipart/form-data" and answer.status_code != 413
                case.validate_response(answer, checks=[*CHECKS, *([negative_data_rejection] if is_judged else [])])

            with suppress(*[Unsatisfiable] if mode is GenerationMode.NEGATIVE else []):  # a path that may be any text
                ask()
    assert sum(statuses.values()) > NUM_REQUESTS * 0.7 and statuses[200] > 50, statuses


def operations_of(api: FastAPI) -> list[tuple[str, dict[str, Any]]]:
    paths = api.openapi()["paths"]
    return [(f"{method.upper()} {path}", one) for path, methods in paths.items() for method, one in methods.items()]


@pytest.mark.parametrize("name", NAMES)
def test_every_route_is_described(apis: dict[str, FastAPI], name: str) -> None:
    document = apis[name].openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    text = json.dumps(document)
    assert "#/$defs" not in text, "a reference that leads nowhere"
    tags = [tag["name"] for tag in document["tags"]]
    assert tags[0] == name and tags[-2:] == [HISTORY, HEALTH]
    assert "build" not in document["info"]["description"], "what is for readers of the code"
    for route, operation in operations_of(apis[name]):
        assert operation["summary"] and operation["description"], route
        good = [one for status, one in operation["responses"].items() if status < "300" and status != "204"]
        assert all(content["schema"] for one in good for content in one["content"].values()), route
        assert good or "204" in operation["responses"], route
        for status, one in operation["responses"].items():
            if status >= "400":
                assert one["content"]["application/json"]["schema"]["$ref"].endswith("/Failure"), (route, status)
                answers.Failure.model_validate(one["content"]["application/json"]["example"])
        if HEALTH not in operation.get("tags", ()):
            assert {"400", "401", "403", "413", "429", "503"} <= set(operation["responses"]), route
            assert operation["security"] == [{"bearer": []}, {"key": []}, {}]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_answers_of_their_routes(apis: dict[str, FastAPI], name: str) -> None:
    examples = json.loads((EXAMPLES / f"{name}.json").read_text())
    operations = dict(operations_of(apis[name]))
    assert set(operations) == set(examples), "each has one"
    for route, example in examples.items():
        path, operation = route.partition(" ")[2], operations[route]
        for status, contents in example["responses"].items():
            models = [one.responses[int(status)]["model"] for one in apis[name].routes
                      if getattr(one, "path_format", "") == path and route.split()[0] in getattr(one, "methods", ())
                      and "model" in getattr(one, "responses", {}).get(int(status), {})]  # fmt: skip
            for kind, answer in contents.items():
                assert operation["responses"][status]["content"][kind]["example"] == answer
                if kind == "application/json":
                    (model,) = models
                    TypeAdapter(model).validate_python(answer)
        if "requestBody" in operation:
            assert example["request"], route


def test_each_status_of_the_table_has_an_example() -> None:
    for status, (meaning, example) in FAILURES.items():
        assert meaning.endswith(".") and example["error"]["message"].endswith("."), status


@pytest.mark.parametrize("prefix", ["", "/spoof"])
def test_the_page_asks_for_nothing_from_elsewhere(apis: dict[str, FastAPI], prefix: str) -> None:
    here = TestClient(apis["spoof"], base_url=LOCAL, client=("127.0.0.1", 1), root_path=prefix)
    text = here.get(f"{prefix}/docs").text
    addresses = [one.split('"')[0] for mark in ('src="', 'href="', "url: '") for one in text.split(mark)[1:]]
    addresses = [one.split("'")[0] for one in addresses]
    assert len(addresses) >= 2 and all(one.startswith(f"{prefix}/") for one in addresses), addresses
    for one in addresses:
        assert here.get(one).status_code == 200, one


def test_where_the_examples_lie() -> None:
    assert {path.stem for path in Path(EXAMPLES).glob("*.json")} == set(NAMES)
