"""/v1 as OpenAI's own client sees it, unmodified, over a real server in a thread and the starter painter."""

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing, nullcontext
from socket import socket
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import uvicorn
from fakes import picture
from PIL import Image
from ray.exceptions import RayActorError
from starlette.testclient import TestClient

from gencv.core.contracts import CONTENT_FILTERED, DONE, Recipe
from gencv.core.errors import OutOfMemory
from gencv.images.decode import Limits, decode
from gencv.provenance import stamp
from gencv.services.diffusion import Studio, open_studio, verify
from gencv.services.orders import Accepted, Event, Order, Painted, Partial, Stepped
from serving.diffusion import DiffusionSettings, build_api
from serving.door import Door, digest_of
from serving.errors import Busy

SETTINGS = DiffusionSettings(
    painters={"starter": "starter", "other/name": "sd-1.5"}, num_inference_steps=4, max_steps=200, max_side_px=256
)
KEY = "key of a test"
BEARER = {"authorization": f"Bearer {KEY}"}
PIG = "a pink pig on a white background"


class Local:
    """A studio of this process as the service, for whatever model."""

    def __init__(self) -> None:
        self.studio: Studio = open_studio("starter", device="cpu")

    def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        return self.studio.events(order)

    async def verify(self, data: bytes) -> dict[str, Any]:
        return verify(data, Limits(max_pixels=100_000))

    async def ready(self) -> dict[str, Any]:
        return {"painters": {"starter": self.studio.weights}}


@pytest.fixture(scope="module")
def local() -> Local:
    return Local()


@pytest.fixture(scope="module")
def address(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(json.dumps({"name": "test", "sha256": digest_of(KEY), "scopes": ["diffusion"]}))
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            build_api(local, SETTINGS.model_copy(update={"door": Door(keys_path=str(keys))})),
            port=port,
            log_level="error",
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def sdk(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=address, api_key=KEY, max_retries=0)


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def hole(side: int = 96) -> bytes:
    alpha = np.full((side, side, 4), 255, np.uint8)
    alpha[: side // 2, :, 3] = 0
    return png(alpha)


def shown(text: str) -> np.ndarray:
    return decode(base64.b64decode(text))


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["starter", "other/name"]
    assert sdk.models.retrieve("other/name").owned_by == "gencv"
    with pytest.raises(openai.NotFoundError, match="known: starter") as caught:
        sdk.models.retrieve("../../etc")
    assert caught.value.code == "model_not_found" and caught.value.param == "model"


def test_generate_two_with_everything_that_a_client_may_say(sdk: openai.OpenAI) -> None:
    made = sdk.images.generate(
        prompt=PIG,
        model="starter",
        n=2,
        size="64x72",
        output_format="webp",
        output_compression=80,
        background="auto",
        quality="high",
        moderation="low",
        style="natural",
        user="me",
        response_format="b64_json",
        extra_body={"seed": [5, 9], "negative_prompt": "text", "guidance_scale": 3, "scheduler": "euler"},
    )
    assert (made.size, made.output_format, made.background, made.quality) == ("64x72", "webp", "opaque", "high")
    assert made.created > 1e9 and made.usage.total_tokens > 10
    assert [(one.seed, one.finish_reason) for one in made.data] == [(5, DONE), (9, DONE)]
    for one in made.data:
        data = base64.b64decode(one.b64_json)
        assert decode(data).shape == (72, 64, 3) and data[8:12] == b"WEBP"
        said = stamp.read(data).parameters.parameters
        assert (said.seed, said.negative_prompt, said.guidance_scale, said.scheduler) == (one.seed, "text", 3, "euler")
        assert (said.num_inference_steps, said.model, len(one.recipe)) == (4, "starter", 16)


def test_a_seed_is_drawn_and_told_and_gives_the_picture_again(sdk: openai.OpenAI) -> None:
    first, other = sdk.images.generate(prompt=PIG, n=2).data
    assert other.seed == first.seed + 1
    (again,) = sdk.images.generate(prompt=PIG, response_format="url", extra_body={"seed": other.seed}).data
    with Image.open(io.BytesIO(base64.b64decode(again.url.removeprefix("data:image/png;base64,")))) as same:
        away = np.abs(np.asarray(same).astype(int) - shown(other.b64_json))
    assert away.mean() < 3 < np.abs(shown(first.b64_json).astype(int) - shown(other.b64_json)).mean()  # the mark


def test_edit_with_a_mask_leaves_the_rest(sdk: openai.OpenAI) -> None:
    began = picture(0, 96, 96)
    (made,) = sdk.images.edit(
        image=("a.png", png(began)), mask=("m.png", hole()), prompt=PIG, size="96x96", extra_body={"seed": 1}
    ).data
    away = np.abs(shown(made.b64_json).astype(int) - began).mean(2)
    assert away[48:].mean() < 6 < 20 < away[:48].mean()
    said = stamp.read(base64.b64decode(made.b64_json))
    assert said.parameters.parameters.strength == 1 and said.credentials.is_valid


def test_edit_without_a_mask_and_numbers_as_a_form_has_them(sdk: openai.OpenAI) -> None:
    file = io.BytesIO(png(picture(0)))
    file.name = "a.png"
    asked = {"strength": 0.5, "num_inference_steps": 8, "seed": [4, 2]}
    made = sdk.images.edit(image=[file], prompt=PIG, n=2, input_fidelity="high", extra_body=asked)
    said = [stamp.read(base64.b64decode(one.b64_json)).parameters.parameters for one in made.data]
    assert [(one.seed, one.strength, one.num_inference_steps) for one in said] == [(4, 0.5, 8), (2, 0.5, 8)]


def test_variations(sdk: openai.OpenAI) -> None:
    made = sdk.images.create_variation(image=png(picture(3)), n=2, size="256x256", extra_body={"strength": 0.3})
    assert len(made.data) == 2 and shown(made.data[0].b64_json).shape == (256, 256, 3)


def test_a_stream_has_partial_pictures_and_ends_with_the_whole(sdk: openai.OpenAI) -> None:
    events = list(
        sdk.images.generate(prompt=PIG, stream=True, partial_images=2, extra_body={"seed": 3, "num_inference_steps": 9})
    )
    kinds = [f"image_generation.{kind}" for kind in ("partial_image", "partial_image", "completed")]
    assert [event.type for event in events] == kinds
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    last = events[-1]
    assert (last.size, last.output_format, last.seed, last.usage.output_tokens) == ("64x64", "png", 3, 0)
    whole = shown(last.b64_json).astype(int)
    near = [np.abs(shown(event.b64_json) - whole).mean() for event in events[:2]]
    assert near[1] < near[0]
    marks = [stamp.read(base64.b64decode(event.b64_json)) for event in events]
    assert [mark.agree for mark in marks] == [True] * 3 and "unfinished" in marks[0].parameters.parameters.extras


def test_an_edit_streams_too_and_several_have_an_index(sdk: openai.OpenAI) -> None:
    asked = {"image": png(picture(0, 96, 96)), "mask": hole(), "prompt": PIG, "n": 2}
    events = list(sdk.images.edit(**asked, stream=True))
    assert [event.type for event in events] == ["image_edit.completed"] * 2
    assert sorted(event.image_index for event in events) == [0, 1]


def test_async_client(address: str) -> None:
    async def main() -> list[str]:
        async with openai.AsyncOpenAI(base_url=address, api_key=KEY) as client:
            stream = await client.images.generate(prompt=PIG, stream=True, partial_images=1)
            return [event.type async for event in stream]

    assert asyncio.run(main())[-1] == "image_generation.completed"


def test_comments_tell_the_steps_and_the_end_is_done(address: str) -> None:
    with httpx2.stream(
        "POST", f"{address}/images/generations", json={"prompt": PIG, "stream": True}, headers=BEARER
    ) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[0].startswith(": accepted") and lines[1:5] == [f": step {number}/4" for number in (1, 2, 3, 4)]
    assert lines[5] == "event: image_generation.completed" and lines[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"extra_body": {"cfg": 3}}, "unknown_parameter", "cfg"),
        ({"n": 11}, "invalid_parameter", "n"),
        ({"n": 0}, "invalid_parameter", "n"),
        ({"size": "64"}, "invalid_parameter", "size"),
        ({"size": "512x64"}, "invalid_parameter", "size"),
        ({"size": "0x64"}, "invalid_parameter", "size"),
        ({"size": "64x65"}, "bad_input", None),
        ({"size": "56x64"}, "bad_input", None),
        ({"background": "transparent"}, "invalid_parameter", "background"),
        ({"output_format": "svg"}, "invalid_parameter", "output_format"),
        ({"partial_images": 2}, "invalid_parameter", "partial_images"),
        ({"partial_images": 4, "stream": True}, "invalid_parameter", "partial_images"),
        ({"extra_body": {"num_inference_steps": 201}}, "invalid_parameter", "num_inference_steps"),
        ({"extra_body": {"seed": [1, 2, 3]}, "n": 2}, "invalid_parameter", "seed"),
        ({"extra_body": {"seed": -1}}, "bad_input", None),
        ({"extra_body": {"seed": 2**63 - 1}, "n": 2}, "bad_input", None),
        ({"extra_body": {"guidance_scale": -1}}, "invalid_parameter", "guidance_scale"),
        ({"extra_body": {"scheduler": "fast"}}, "unknown_name", None),
        ({"extra_body": {"strength": 0.5}}, "unknown_parameter", "strength"),
        ({"extra_body": {"mask": "x"}}, "unknown_parameter", "mask"),
        ({"prompt": "underage nude", "stream": True}, "moderation_blocked", None),
        ({"prompt": "x" * 10_001}, "bad_input", None),
    ],
)
def test_what_is_refused_is_a_typed_error(sdk: openai.OpenAI, asked: dict[str, Any], code: str, param: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(**({"prompt": PIG} | asked))
    assert (caught.value.code, caught.value.param, caught.value.status_code) == (code, param, 400)
    assert caught.value.type == "invalid_request_error" and caught.value.body["message"]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"image": b"no picture"}, "not_an_image"),
        ({"image": png(picture(0))[:-40]}, "truncated"),
        ({"image": png(picture(0)), "mask": png(picture(1))}, "bad_input"),
        ({"image": png(picture(0)), "mask": hole(64)}, "bad_input"),
        ({"image": png(picture(0)), "mask": b"GIF89a"}, "truncated"),
        ({"image": [png(picture(0)), png(picture(1))]}, "too_many_images"),
    ],
)
def test_what_is_no_picture_and_no_mask(sdk: openai.OpenAI, files: dict[str, Any], code: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.images.edit(prompt=PIG, **files)
    assert caught.value.code == code and caught.value.status_code == (413 if code == "too_many_images" else 400)


def test_a_client_that_goes_away_stops_its_work(local: Local, address: str) -> None:
    asked = {"prompt": PIG, "num_inference_steps": 200, "size": "128x128"}
    for more in ({}, {"stream": True}):

        def leave(more: dict[str, Any] = more) -> None:
            where = f"{address}/images/generations"
            with httpx2.stream("POST", where, json=asked | more, headers=BEARER, timeout=1) as answer:
                for line in answer.iter_lines():
                    if line.startswith(": step"):
                        return

        with nullcontext() if more else pytest.raises(httpx2.ReadTimeout):
            leave()
        assert local.studio.num_pictures <= 1
        left = time.monotonic()
        until(lambda: local.studio.num_pictures == 0)
        assert time.monotonic() - left < 10  # 200 steps take a minute


def test_what_a_picture_says_of_where_it_comes_from(sdk: openai.OpenAI, address: str) -> None:
    (made,) = sdk.images.generate(prompt=PIG, extra_body={"seed": 11}).data

    def ask(data: bytes, **fields: str) -> Any:
        files = {"image": ("a.png", data)}
        return httpx2.post(f"{address}/provenance/verify", files=files, data=fields, headers=BEARER)

    told = ask(base64.b64decode(made.b64_json)).json()
    assert told["found"] == ["parameters", "credentials", "watermark"] and told["agree"] is True
    assert told["parameters"]["values"]["seed"] == 11
    assert ask(png(picture(0))).json()["found"] == []
    for data, more, code in (
        (b"text", {}, "not_an_image"),
        (png(picture(0, 400, 400)), {}, "too_many_pixels"),
        (png(picture(0)), {"prompt": "a"}, "unknown_parameter"),
    ):
        assert ask(data, **more).json()["error"]["code"] == code


class Scripted:
    """Says what it is told to, without painting."""

    def __init__(self, *script: Event | Exception) -> None:
        self.script, self.closed = script, False

    async def paint(self, model: str, order: Order) -> AsyncGenerator[Event, None]:
        try:
            for one in self.script:
                if isinstance(one, Exception):
                    raise one
                yield one
        finally:
            self.closed = True

    async def verify(self, data: bytes) -> dict[str, Any]:
        return {}

    async def ready(self) -> dict[str, Any]:
        return {}


ACCEPTED = Accepted(2, 1.5, 64, 64, 9)
SHOWN = Painted(0, Recipe(prompt="a", seed=1), "0" * 16, DONE, b"png")
HIDDEN = Painted(1, Recipe(prompt="a", seed=2), "0" * 16, CONTENT_FILTERED, None, ("Painted and not shown.",))


def asked_of(client: Callable[..., TestClient], *script: Event | Exception, **more: Any) -> Any:
    service = Scripted(*script)
    answer = client(build_api(service, SETTINGS)).post("/images/generations", json={"prompt": "a", "n": 2, **more})
    assert service.closed
    return answer


def test_filtered_content_has_a_reason_and_no_picture(client: Callable[..., TestClient]) -> None:
    first, second = asked_of(client, ACCEPTED, HIDDEN, SHOWN).json()["data"]
    assert first["b64_json"] == base64.b64encode(b"png").decode() and first["notes"] == []
    assert second["b64_json"] is None and second["finish_reason"] == CONTENT_FILTERED and second["seed"] == 2
    answer = asked_of(client, ACCEPTED, HIDDEN)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (400, "moderation_blocked", HIDDEN.notes[0])


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (OutOfMemory("It does not fit."), "out_of_memory", "invalid_request_error"),
        (RuntimeError("/secret/path"), "failed", "server_error"),
        (RayActorError(), "copies_died", "server_error"),
    ],
)
def test_an_error_in_a_stream_is_its_last_event(
    client: Callable[..., TestClient], error: Exception, code: str, kind: str
) -> None:
    answer = asked_of(client, ACCEPTED, Stepped(1, 8), Partial(0, 0, b"x"), error, stream=True)
    *_, last = [line for line in answer.text.splitlines() if line]
    told = json.loads(last.removeprefix("data: "))["error"]
    assert answer.status_code == 200 and "[DONE]" not in answer.text and "/secret" not in answer.text
    assert set(told) == {"message", "type", "code", "param"} and (told["code"], told["type"]) == (code, kind)


def test_an_error_before_the_first_event_is_a_plain_answer(client: Callable[..., TestClient]) -> None:
    answer = asked_of(client, Busy(7), stream=True)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_all_filtered_in_a_stream_is_an_error(client: Callable[..., TestClient]) -> None:
    answer = asked_of(client, ACCEPTED, HIDDEN, n=1, stream=True)
    assert '"moderation_blocked"' in answer.text and "completed" not in answer.text


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        ("/images/generations", {"content": b"{"}, 400, "invalid_json"),
        ("/images/generations", {"content": b"[1]"}, 400, "invalid_parameter"),
        ("/images/generations", {"json": {}}, 400, "missing_parameter"),
        ("/images/generations", {"json": {"prompt": None}}, 400, "missing_parameter"),
        ("/images/generations", {"data": {"prompt": "a"}}, 415, "unsupported_media_type"),
        ("/images/edits", {"json": {"prompt": "a"}}, 415, "unsupported_media_type"),
        ("/images/edits", {"files": {"mask": b"x"}}, 400, "missing_parameter"),
        ("/images/edits", {"files": {"image": b"x"}}, 400, "missing_parameter"),
        ("/images/edits", {"files": {"image": b"x", "hat": b"y"}, "data": {"prompt": "a"}}, 400, "unknown_parameter"),
        ("/images/edits", {"data": {"image": "x", "prompt": "a"}, "files": {"mask": b"x"}}, 400, "invalid_parameter"),
        ("/images/variations", {"files": {"image": b"x", "mask": b"y"}}, 400, "unknown_parameter"),
        ("/images/generations", {"json": {"prompt": "a", "model": "sd-1.5"}}, 404, "model_not_found"),
    ],
)
def test_what_no_sdk_would_send(
    client: Callable[..., TestClient], path: str, sent: dict[str, Any], status: int, code: str
) -> None:
    headers = {"content-type": "application/json"} if "content" in sent else {}
    answer = client(build_api(Scripted(ACCEPTED, SHOWN), SETTINGS)).post(path, headers=headers, **sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_nulls_are_left_out(client: Callable[..., TestClient]) -> None:
    assert asked_of(client, ACCEPTED, SHOWN, n=None, size=None, seed=None).status_code == 200


def test_settings_name_a_default_that_is_there() -> None:
    with pytest.raises(ValueError, match="none of the painters"):
        DiffusionSettings(painters={"a": "starter"}, default="b")
