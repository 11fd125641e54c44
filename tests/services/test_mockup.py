"""Mockups for callers: the pictures of the job, a painter that is shared, and one who leaves."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import disc_layer, picture
from painters import make_sd, painter_of

from gencv.core import storage, tables
from gencv.core.contracts import Recipe
from gencv.core.errors import BadImage, BadInput
from gencv.diffusion.replay import How
from gencv.images.decode import Limits, decode
from gencv.images.degrade import encode_png
from gencv.mockup.scenes import scene_of
from gencv.pipelines.mockup import PRODUCTS, Catalogue, MakeMockups, PaintScenes
from gencv.pipelines.products import products_in
from gencv.provenance import stamp
from gencv.services import mockup
from gencv.services.diffusion import Studio
from gencv.services.mockup import Mockups, said_of
from gencv.services.orders import MockupOrder, Order, Painted

PRODUCT = encode_png(disc_layer())
SMALL = replace(scene_of("oak-table"), width=128, height=128, num_inference_steps=6)


@pytest.fixture
def studio() -> Studio:
    return Studio(painter_of(make_sd()), How(device="cpu", threads=1))


@pytest.fixture(autouse=True)
def small_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mockup, "scene_of", lambda name: SMALL)


def make(asked: MockupOrder, studio: Studio | None = None) -> Any:
    return asyncio.run(Mockups(Limits(max_pixels=100_000)).make(asked, studio))


def test_a_mockup_is_the_picture_that_the_job_makes(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "disc.png").write_bytes(PRODUCT)
    out = str(tmp_path / "out")
    tables.write_table(products_in([str(tmp_path / "disc.png")]), storage.join(out, PRODUCTS))
    catalogue = Catalogue(templates=("mug",), art="cutout", fit="contain", scenes=(SMALL,), seed=5)
    rows = PaintScenes(out, catalogue, studio.painter, studio.weights)(MakeMockups(out, catalogue)(0)).to_pylist()
    printed = make(MockupOrder(product=PRODUCT, template="mug", art="cutout", fit="contain"))
    scene = make(MockupOrder(product=PRODUCT, scene="oak-table", seed=5), studio)
    for row, made in zip(rows, (printed, scene), strict=True):
        told, file = (
            said_of(made, MockupOrder(product=PRODUCT, scene=row["template"])),
            (tmp_path / "out" / row["path"]),
        )
        away = np.abs(decode(made.file).astype(int) - decode(file.read_bytes()))
        assert away.max() <= 4, row["template"]
        assert {**told["fidelity"]} == pytest.approx({name: row[name] for name in told["fidelity"]}, nan_ok=True)
        assert (told["watermarked"], told["cut"], told["tries"]) == (row["watermarked"], row["cut"], row["tries"])
        ours, theirs = (stamp.read(data) for data in (made.file, file.read_bytes()))
        assert ours.parameters.parameters == theirs.parameters.parameters is not None
        assert ours.credentials.is_valid and ours.credentials.source_type == theirs.credentials.source_type
    assert scene.recipe is not None and told["recipe"] == scene.recipe.digest() and printed.recipe is None


def test_another_file_is_marked_as_well(studio: Studio) -> None:
    made = make(MockupOrder(product=PRODUCT, scene="oak-table", format="webp", quality=80), studio)
    found = stamp.read(made.file)
    assert made.file[8:12] == b"WEBP" and found.credentials.is_valid and found.parameters.parameters is not None


@pytest.mark.parametrize(
    ("product", "kind", "words"),
    [
        (b"no picture", BadImage, "no JPEG"),
        (encode_png(picture(0, 400, 300)), BadImage, "limit"),
        (encode_png(np.full((96, 96, 3), 240, np.uint8)), BadInput, "no object"),
    ],
)
def test_a_product_that_cannot_be_shown(studio: Studio, product: bytes, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        make(MockupOrder(product=product, scene="oak-table"), studio)
    assert studio.num_pictures == 0


def test_a_header_is_enough_to_refuse_a_product() -> None:
    mockups = Mockups(Limits(max_pixels=1_000))
    with pytest.raises(BadImage, match="limit"):
        mockups.check(MockupOrder(product=PRODUCT, template="mug"))
    Mockups(Limits()).check(MockupOrder(product=PRODUCT, template="mug"))


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_a_scene_waits_among_orders_and_stops_within_a_step_where_its_caller_leaves(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, unet = [], studio.painter.pipeline.unet.forward
    seen, go = threading.Event(), threading.Event()

    def slow(*args: Any, **named: Any) -> Any:
        steps.append(len(args[0]))
        seen.set()
        go.wait(10)
        return unet(*args, **named)

    async def main() -> None:
        mockups = Mockups(Limits())
        leaver = asyncio.create_task(mockups.make(MockupOrder(product=PRODUCT, scene="oak-table"), studio))
        assert await asyncio.to_thread(seen.wait, 20)
        recipe = Recipe(prompt="a", num_inference_steps=2, width=64, height=64)
        stays = asyncio.create_task(collect(studio, Order(recipes=(recipe,))))
        await until(lambda: len(studio.waiting) == 1)
        assert studio.num_pictures == 2 and len(steps) == 1
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert leaver.cancelled()
        go.set()
        assert len(await stays) == 1
        assert len(steps) == 1 + 2, "of the scene no step more, of the order all"
        mockups.threads.shutdown(wait=True)  # nothing hangs on a picture that never comes
        assert studio.num_pictures == 0 or studio.worker is not None

    monkeypatch.setattr(studio.painter.pipeline.unet, "forward", slow)
    asyncio.run(main())


def test_a_scene_that_waits_while_its_caller_leaves_is_never_begun(studio: Studio) -> None:
    async def main() -> None:
        mockups = Mockups(Limits())
        studio.worker = threading.current_thread()  # as if the painter were busy
        leaver = asyncio.create_task(mockups.make(MockupOrder(product=PRODUCT, scene="oak-table"), studio))
        await until(lambda: len(studio.waiting) == 1)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        studio.worker = threading.Thread(target=studio._work, daemon=True)
        studio.worker.start()
        mockups.threads.shutdown(wait=True)

    sizes: list[int] = []
    studio.on_batch = sizes.append
    asyncio.run(main())
    assert sizes == []


async def collect(studio: Studio, order: Order) -> list[Painted]:
    return [one async for one in studio.events(order) if isinstance(one, Painted)]
