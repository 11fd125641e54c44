"""/v1/mockups over HTTP, with painters that give a small picture."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakePainters, png
from fastapi import FastAPI
from starlette.testclient import TestClient

from gencv.core.errors import ContentFiltered
from gencv.mockup.scenes import scenes
from gencv.mockup.templates import TEMPLATES
from serving.diffusion import build_api
from serving.orders import DiffusionSettings

SETTINGS = DiffusionSettings(painters={"starter": "starter", "other": "sd-1.5"})


@pytest.fixture
def http(client: Callable[[FastAPI], TestClient]) -> TestClient:
    painters: Any = FakePainters()
    return client(build_api(painters, SETTINGS))


def post(http: TestClient, **fields: str) -> Any:
    return http.post("/mockups", files={"product": ("cup.png", png(1))}, data=fields)


def test_what_there_is_has_a_sentence_each(http: TestClient) -> None:
    told = http.get("/mockups").json()
    assert [one["name"] for one in told["templates"]] == list(TEMPLATES)
    assert [one["name"] for one in told["scenes"]] == list(scenes())
    described = [one["description"] for one in told["templates"] + told["scenes"]]
    assert all(len(said) > 20 and said.endswith(".") for said in described) and len(set(described)) == len(described)


def test_an_answer_has_the_picture_and_how_faithful_it_is(http: TestClient) -> None:
    for fields in ({"scene": "studio", "seed": "7", "model": "other"}, {"template": "mug"}):
        answer = post(http, **fields).json()
        (made,) = answer["data"]
        assert base64.b64decode(made["b64_json"]) == png(int(fields.get("seed", 0)))
        assert made["name"] in fields.values() and made["fidelity"]["halo"] == 0.5
        assert (made["finish_reason"], made["notes"], made["width"]) == ("done", [], 16) and answer["created"] > 1e9


@pytest.mark.parametrize(
    ("fields", "status", "code", "words"),
    [
        ({}, 400, "invalid_parameter", "template or scene"),
        ({"template": "mug", "scene": "studio"}, 400, "invalid_parameter", "one of them"),
        ({"template": "../../etc"}, 400, "unknown_name", "mug"),
        ({"scene": "/data/scene.json"}, 400, "unknown_name", "studio"),
        ({"scene": "studio", "art": "cutout"}, 400, "invalid_parameter", "art says nothing of a scene"),
        ({"template": "mug", "seed": "1"}, 400, "invalid_parameter", "seed says nothing"),
        ({"template": "mug", "fit": "stretch"}, 400, "invalid_parameter", "fit"),
        ({"scene": "studio", "seed": "-1"}, 400, "invalid_parameter", "seed"),
        ({"scene": "studio", "model": "sd-1.5"}, 404, "model_not_found", "starter"),
        ({"scene": "studio", "relight": "1"}, 400, "unknown_parameter", "relight"),
    ],
)
def test_what_is_refused(http: TestClient, fields: dict[str, str], status: int, code: str, words: str) -> None:
    answer = post(http, **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert words in answer.json()["error"]["message"]


def test_what_is_no_form_and_has_no_product(http: TestClient) -> None:
    assert http.post("/mockups", json={"template": "mug"}).status_code == 415
    answer = http.post("/mockups", data={"template": "mug"}, files={"image": b"x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "product")


def test_what_a_painter_does_not_show_is_an_error(client: Callable[[FastAPI], TestClient]) -> None:
    class Prudish(FakePainters):
        async def mockup(self, model: str, order: Any) -> Any:
            raise ContentFiltered("Not painted.")

    painters: Any = Prudish()
    answer = post(client(build_api(painters, SETTINGS)), scene="studio")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "moderation_blocked")
