"""The search endpoint: over a service that says what it was asked, and over a small index in this process."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import COLOURS, ColourEncoder, colour_index, colour_png
from starlette.testclient import TestClient

from gencv.core.errors import BadImage, BadInput, BrokenIndex, GencvError, Gone, InUse, NotFound
from gencv.images.decode import decode
from gencv.index import layout
from gencv.index.lock import writing
from gencv.services import search
from serving.errors import Busy
from serving.questions import Asked, Said, SearchSettings
from serving.search import build_api
from serving.searchers import Latest, Searchers

Client = Callable[..., TestClient]
NAMES = [name for name in COLOURS for _ in range(4)]
ERRORS: dict[str, Exception] = {
    "bad": BadInput("The filter is none."),
    "none": NotFound("The index has no picture 'none'."),
    "gone": Gone("The version is gone."),
    "writer": InUse("Another writer is at work."),
    "busy": Busy(3),
    "broken": BrokenIndex("The index is damaged."),
    "mistake": KeyError("x"),
}


class Fake:
    """Says what it was asked; some words are an error."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, asked: Asked, image: bytes | None) -> dict[str, Any]:
        self.asked.append((asked, image))
        if error := ERRORS.get(asked.text):
            raise error
        return {"hits": [{"id": "a1", "score": 0.5}], "cursor": None, "no_good_match": False, "timing_ms": {}}

    async def item(self, id: str) -> dict[str, Any]:
        if error := ERRORS.get(id):
            raise error
        return {"id": id, "label": 1}

    async def thumbnail(self, id: str, size_px: int) -> bytes:
        await self.item(id)
        return f"{id} {size_px}".encode()

    async def add(self, images: list[bytes], said: Said) -> list[dict[str, Any] | GencvError]:
        self.asked.append((said, images))
        for image in images:
            if error := ERRORS.get(image.decode()):
                raise error
        return [
            BadImage("truncated")
            if image == b"cut"
            else {"id": image.decode(), "added": image != b"there", "version": 7}
            for image in images
        ]

    async def remove(self, id: str) -> dict[str, Any]:
        await self.item(id)
        return {"version": 8}

    async def ready(self) -> dict[str, Any]:
        return {"index": {"version": 3}}


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def here(client: Client, fake: Fake) -> TestClient:
    return client(build_api(fake, SearchSettings(index="/indices/one", writable=True)))


def files(*names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{name}.png", name.encode())) for name in names]


def test_a_question_in_json_and_in_a_form(here: TestClient, fake: Fake) -> None:
    said = {"text": "a cat", "negative": "a dog", "where": "label = 0", "k": 3, "collapse": True}
    answer = here.post("/v1/query", json={**said, "image": base64.b64encode(b"a").decode(), "region": [1, 2, 3, 4]})
    assert answer.status_code == 200 and answer.json()["id"] and len(answer.json()["id"]) == 32
    (hit,) = answer.json()["hits"]
    assert hit["thumbnail"] == "/v1/items/a1/thumbnail" and answer.json()["timing_ms"]["total"] >= 0
    form = {**{name: str(value) for name, value in said.items()}, "region": ["1", "2", "3", "4"]}
    here.post("/v1/query", files=files("a"), data=form)
    first, second = fake.asked
    assert first[0].model_dump() | {"image": None} == second[0].model_dump() | {"image": None}
    assert first[1] == second[1] == b"a" and second[0].region == (1, 2, 3, 4)
    here.post("/v1/query", json={"vector": [[1, 0], [0, 1]]})
    assert fake.asked[-1][0].vector == [[1, 0], [0, 1]] and fake.asked[-1][1] is None


def test_more_like_one_takes_the_same_words(here: TestClient, fake: Fake) -> None:
    answer = here.get("/v1/similar/a1", params={"where": "label = 0", "k": 3, "cursor": "c", "text": "a cat"})
    assert answer.status_code == 200
    asked, image = fake.asked[0]
    assert (asked.like, asked.where, asked.k, asked.cursor, asked.text, image) == (
        "a1", "label = 0", 3, "c", "a cat", None
    )  # fmt: skip
    answer = here.get("/v1/similar/a1", params={"speed": 3})
    assert answer.json()["error"]["code"] == "unknown_parameter" and answer.json()["error"]["param"] == "speed"


@pytest.mark.parametrize(
    ("text", "status", "code", "after"),
    [
        ("bad", 400, "bad_input", None),
        ("none", 404, "not_found", None),
        ("gone", 410, "gone", None),
        ("writer", 503, "in_use", "5"),
        ("busy", 429, "busy", "3"),
        ("broken", 503, "index_broken", None),
        ("mistake", 500, "failed", None),
    ],
)
def test_errors_have_one_shape(here: TestClient, text: str, status: int, code: str, after: str | None) -> None:
    answer = here.post("/v1/query", json={"text": text})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], answer.headers.get("retry-after")) == (status, code, after)
    assert set(error) == {"message", "type", "code", "param"}


@pytest.mark.parametrize(
    ("asked", "status", "code", "param"),
    [
        ({"json": {"text": "x", "speed": 1}}, 400, "unknown_parameter", "speed"),
        ({"data": {"text": "x", "speed": "1"}, "files": files("a")}, 400, "unknown_parameter", "speed"),
        ({"json": {"text": "x", "k": "many"}}, 400, "invalid_parameter", "k"),
        ({"json": {"image": "%%"}}, 400, "invalid_base64", "image"),
        ({"json": {"text": "x", "region": [1, 2, 3, 4]}}, 400, "invalid_parameter", "region"),
        ({"json": {"image": "YQ==", "region": [1, 2]}}, 400, "invalid_parameter", "region"),
        ({"json": {"like": "../../etc/passwd"}}, 400, "invalid_parameter", "like"),
        ({"json": {"like": "a' OR 'a'='a"}}, 400, "invalid_parameter", "like"),
        ({"json": {"text": 3}}, 400, "invalid_parameter", "text"),
        (
            {"content": b'{"text": "\\ud800"}', "headers": {"content-type": "application/json"}},
            400,
            "invalid_json",
            None,
        ),
        ({"content": b"[" * 10**5, "headers": {"content-type": "application/json"}}, 400, "invalid_json", None),
        ({"content": b"a", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type", None),
        ({"files": files("a", "b")}, 413, "too_many_images", "image"),
    ],
)
def test_bad_requests_are_one_sentence(
    here: TestClient, fake: Fake, asked: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = here.post("/v1/query", **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error
    assert not fake.asked


def test_pictures_are_added_and_each_is_told_of(here: TestClient, fake: Fake) -> None:
    said = {"caption": ["a cat", "a pet"], "label": "1", "split": "test"}
    answer = here.post("/v1/items", files=files("new", "there", "cut"), data=said)
    assert answer.status_code == 200 and answer.json()["version"] == 7
    new, there, cut = answer.json()["items"]
    assert new == {"name": "new.png", "id": "new", "added": True, "error": None}
    assert there["added"] is False and there["error"] is None
    assert cut["id"] is None and cut["error"]["code"] == "truncated" and cut["error"]["param"] == "image"
    assert fake.asked[0][0] == Said(caption=["a cat", "a pet"], label=1, split="test")


@pytest.mark.parametrize(
    ("names", "status", "code"),
    [
        (("cut", "cut"), 400, "truncated"),
        (("new", "writer"), 503, "in_use"),
        (("new", "busy"), 429, "busy"),
        (("new", "mistake"), 500, "failed"),
        ((), 415, "unsupported_media_type"),
    ],
)
def test_what_keeps_all_pictures_out_is_the_answer(
    here: TestClient, names: tuple[str, ...], status: int, code: str
) -> None:
    answer = here.post("/v1/items", files=files(*names))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_one_item_and_its_thumbnail(here: TestClient) -> None:
    assert here.get("/v1/items/a1").json() == {"id": "a1", "label": 1, "thumbnail": "/v1/items/a1/thumbnail"}
    answer = here.get("/v1/items/a1/thumbnail", params={"size_px": 64})
    assert (answer.content, answer.headers["content-type"], answer.headers["etag"]) == (
        b"a1 64", "image/jpeg", '"a1-64"'
    )  # fmt: skip
    assert "max-age" in answer.headers["cache-control"]
    again = here.get("/v1/items/a1/thumbnail?size_px=64", headers={"If-None-Match": '"x", W/"a1-64"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"a1-64"')
    gone = here.get("/v1/items/none/thumbnail", headers={"If-None-Match": '"none-256"'})
    assert gone.status_code == 404, "a deleted picture is not said to be unchanged"
    for size in ("15", "257", "1e9", "x"):
        assert here.get(f"/v1/items/a1/thumbnail?size_px={size}").status_code == 400
    assert here.get("/v1/items/..%2F..%2Fetc").status_code == 404
    assert here.get("/v1/items/a%00b").json()["error"]["param"] == "id"


def test_an_index_to_read_only(client: Client, fake: Fake) -> None:
    here = client(build_api(fake, SearchSettings(index="/indices/one")))
    for answer in (here.post("/v1/items", files=files("new")), here.delete("/v1/items/a1")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "read_only")
    assert not fake.asked


def test_health_and_the_openapi_page(here: TestClient) -> None:
    assert here.get("/readyz").json()["index"] == {"version": 3}
    paths = here.get("/openapi.json").json()["paths"]
    assert set(paths) >= {"/v1/query", "/v1/similar/{id}", "/v1/items", "/v1/items/{id}", "/v1/items/{id}/thumbnail"}
    form = paths["/v1/query"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert "image" in form["properties"] and "image" not in form.get("required", ())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(search, "load_encoder", lambda name, **how: ColourEncoder())
    colour_index(tmp_path / "index", NAMES)
    return tmp_path / "index"


@pytest.fixture
def real(client: Client, folder: Path) -> Iterator[TestClient]:
    settings = SearchSettings(index=str(folder), writable=True)
    with client(build_api(Searchers(settings), settings)) as here:
        yield here


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_a_question_is_answered_in_pages(real: TestClient) -> None:
    asked = {"text": "a red wall somewhere", "k": 5}
    first = real.post("/v1/query", json=asked).json()
    second = real.post("/v1/query", json={**asked, "cursor": first["cursor"]}).json()
    third = real.post("/v1/query", json={**asked, "cursor": second["cursor"]}).json()
    assert third["cursor"] is None and first["no_good_match"] is None and first["encoder"] == "fake"
    listed = [hit["id"] for page in (first, second, third) for hit in page["hits"]]
    assert len(listed) == len(set(listed)) == 12
    hit = first["hits"][0]
    assert hit["generator"] == "red" and hit["caption"] == ["a red wall"] and "uri" not in hit and hit["copies"] == []
    assert first["asked"]["text"] == asked["text"] and first["index"]["pictures"] == 12
    assert {"prepare", "encode", "search", "total"} == set(first["timing_ms"])
    other = real.post("/v1/query", json={"text": "a blue wall", "cursor": first["cursor"]})
    assert other.status_code == 400 and "another query" in other.json()["error"]["message"]
    empty = real.post("/v1/query", json={**asked, "where": "label = 1 AND label = 0"}).json()
    assert empty["hits"] == [] and empty["no_good_match"] is True
    leak = real.post("/v1/query", json={**asked, "where": "uri LIKE '/%'"})
    assert leak.status_code == 400 and leak.json()["error"]["code"] == "unknown_name"


def test_pictures_and_vectors_are_asked_with(real: TestClient) -> None:
    picture = {"image": ("x.png", colour_png("blue", 99))}
    assert set(ids(real.post("/v1/query", files=picture, data={"k": 4}))) == set(
        ids(real.post("/v1/query", json={"vector": [0, 0, 1, 0], "k": 4}))
    )
    like = ids(real.post("/v1/query", json={"text": "green", "k": 1}))[0]
    found = ids(real.get(f"/v1/similar/{like}", params={"k": 3}))
    assert like not in found and all(real.get(f"/v1/items/{id}").json()["generator"] == "green" for id in found)
    for vector in ([1.0], [[1, 0, 0, 0], [1, 0]], [[1, 0, 0, 0]] * 65, [0, 0, 0, 0], [], [1e39, 0, 0, 0]):
        assert real.post("/v1/query", json={"vector": vector}).status_code == 400, vector
    assert real.get("/v1/similar/nobody").status_code == 404
    assert real.post("/v1/query", files={"image": ("x.png", b"text")}).json()["error"]["code"] == "not_an_image"
    assert real.post("/v1/query", json={}).json()["error"]["message"].startswith("The query is empty")


def test_a_picture_comes_and_goes(real: TestClient, folder: Path) -> None:
    asked = {"text": "a blue wall somewhere", "k": 2}
    before = real.post("/v1/query", json=asked).json()
    data = colour_png("blue", 99)
    for was_new in (True, False):
        answer = real.post("/v1/items", files={"image": ("x.png", data)}, data={"caption": "a door", "label": "1"})
        (item,) = answer.json()["items"]
        assert item["added"] is was_new
    path = f"/v1/items/{item['id']}"
    assert real.get(path).json()["caption"] == ["a door"] and "uri" not in real.get(path).json()
    assert item["id"] in ids(real.post("/v1/query", json={**asked, "where": "label = 1 AND source = 'posted'"}))
    assert decode(real.get(f"{path}/thumbnail?size_px=32").content).shape == (24, 32, 3)
    version = real.get("/readyz").json()["index"]["version"]
    several = [("image", ("x.png", one)) for one in (colour_png("red", 98), b"text", colour_png("red", 97), data)]
    answer = real.post("/v1/items", files=several).json()
    assert [one["added"] for one in answer["items"]] == [True, False, True, False] and answer["version"] == version + 1
    assert answer["items"][1]["error"]["code"] == "not_an_image" and answer["items"][3]["id"] == item["id"]
    for bad, says in (({"label": "2"}, "label is 2"), ({"split": "all"}, "Unknown split")):
        answer = real.post("/v1/items", files={"image": ("x.png", data)}, data=bad)
        assert answer.status_code == 400 and says in answer.json()["error"]["message"]
    assert real.delete(path).json()["deleted"] == item["id"]
    assert real.delete(path).status_code == real.get(path).status_code == 404
    after = real.post("/v1/query", json={**asked, "cursor": before["cursor"]}).json()
    assert after["index"]["version"] == before["index"]["version"] < real.get("/readyz").json()["index"]["version"]
    assert item["id"] not in [hit["id"] for hit in after["hits"]]


def test_two_replicas_meet_at_the_lock(real: TestClient, client: Client, folder: Path) -> None:
    settings = SearchSettings(index=str(folder), writable=True)
    with client(build_api(Searchers(settings), settings)) as other:
        new = other.post("/v1/items", files={"image": ("x.png", colour_png("red", 77))}).json()["items"][0]["id"]
        assert real.get(f"/v1/items/{new}").status_code == 200
    slow = Searchers(settings)
    slow.writer.wait_s = 0.1
    with client(build_api(slow, settings)) as other, writing(str(folder)):
        answer = other.delete(f"/v1/items/{new}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert str(folder) not in answer.text and "process" not in answer.text


def test_a_damaged_index_is_said_without_its_place(real: TestClient, folder: Path) -> None:
    for file in (folder / layout.TABLE / "data").iterdir():
        file.write_bytes(b"")
    answer = real.post("/v1/query", json={"text": "red"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_broken")
    assert str(folder) not in answer.text


def test_questions_that_wait_for_the_encoder_are_one_call(folder: Path) -> None:
    service = Searchers(SearchSettings(index=str(folder)))
    sizes: list[int] = []
    service.encode.on_batch = sizes.append

    async def ask() -> list[dict[str, Any]]:
        asked = [Asked(text=f"{name} wall number {n} of many", k=1) for name in COLOURS for n in range(4)]
        return await asyncio.gather(*(service.ask(one, None) for one in asked))

    found = asyncio.run(ask())
    assert [json.loads(json.dumps(one))["hits"][0]["generator"] for one in found] == NAMES
    assert sum(sizes) == 12 and len(sizes) <= 3


def test_work_that_follows_changes_is_done_once_more_for_many() -> None:
    done: list[int] = []

    async def change() -> None:
        latest = Latest(lambda: done.append(1))
        for _ in range(10):
            latest()
        await asyncio.sleep(0)
        latest()
        assert latest.task is not None
        await latest.task

    asyncio.run(change())
    assert len(done) == 2
