"""A studio with a tiny painter: who shares a batch, who is told what, and what stops."""

import asyncio
import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fakes import picture
from painters import make_sd, painter_of
from PIL import Image

from gencv.core.contracts import CONTENT_FILTERED, Picture, Recipe
from gencv.core.errors import BadImage, BadInput, ContentFiltered, OutOfMemory
from gencv.core.record import picture_id
from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.replay import How
from gencv.diffusion.schedulers import SCHEDULERS
from gencv.images.decode import Limits, decode
from gencv.provenance import stamp
from gencv.services.diffusion import Studio, open_studio
from gencv.services.orders import Accepted, Order, Painted, Partial, Stepped


@pytest.fixture(scope="module")
def painter() -> DiffusionPainter:
    return painter_of(make_sd(), batch_size=4)


@pytest.fixture
def studio(painter: DiffusionPainter) -> Studio:
    painter.batch_size = 4
    return Studio(painter, How())


def order(*seeds: int, steps: int = 3, **more: Any) -> Order:
    asked = {name: more.pop(name) for name in ("prompt", "strength", "scheduler", "width") if name in more}
    recipe = {"prompt": "a", "num_inference_steps": steps, "width": 64, "height": 64} | asked
    return Order(recipes=tuple(Recipe(seed=seed, **recipe) for seed in seeds), **more)


async def told(studio: Studio, asked: Order) -> list[Any]:
    return [event async for event in studio.events(asked)]


def painted(events: list[Any]) -> list[Painted]:
    return sorted((event for event in events if isinstance(event, Painted)), key=lambda one: one.place)


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_an_order_is_accepted_told_and_stamped() -> None:
    studio = open_studio("starter", device="cpu")  # whose pictures, unlike random weights' noise, hold a mark
    events = asyncio.run(told(studio, order(7, 8, prompt="a pig", num_partials=2, tells_steps=True)))
    first, *rest = events
    assert isinstance(first, Accepted) and (first.ahead, first.width, first.num_tokens) == (0, 64, 8)
    assert [(one.done, one.total) for one in rest if isinstance(one, Stepped)] == [(2, 6), (4, 6), (6, 6)]
    for place in (0, 1):
        mine = [one for one in rest if not isinstance(one, Stepped) and one.place == place]
        assert [type(one) for one in mine] == [Partial, Partial, Painted] and [one.number for one in mine[:2]] == [0, 1]
    for one, seed in zip(painted(events), (7, 8), strict=True):
        found = stamp.read(one.data)
        assert found.found == ("parameters", "credentials", "watermark") and found.agree
        assert found.parameters.parameters.seed == seed == one.recipe.seed and one.digest == one.recipe.digest()
    unfinished = stamp.read(next(one.data for one in events if isinstance(one, Partial)))
    assert unfinished.found == ("parameters", "watermark") and unfinished.agree
    assert unfinished.parameters.parameters.extras["unfinished"] == "1 of 3"


def test_a_picture_is_the_same_alone_and_among_others(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    studio.on_batch = sizes.append
    images: list[tuple[int, np.ndarray]] = []
    finish = studio._finish

    def noting(work: Any, place: int, picture: Picture, threads: int) -> None:
        assert picture.image is not None
        images.append((picture.recipe.seed, picture.image))  # as it is before it is marked
        finish(work, place, picture, threads)

    monkeypatch.setattr(studio, "_finish", noting)
    asyncio.run(told(studio, order(3)))

    async def together() -> list[list[Any]]:
        hold(studio)
        calls = [asyncio.create_task(told(studio, one)) for one in (order(9), order(3), order(1, prompt="b"))]
        await until(lambda: len(studio.waiting) == 3)
        release(studio)
        return await asyncio.gather(*calls)

    seeds = [[one.recipe.seed for one in painted(events)] for events in asyncio.run(together())]
    assert sizes == [1, 3] and seeds == [[9], [3], [1]]
    alone, among = (image for seed, image in images if seed == 3)
    assert np.abs(alone.astype(int) - among).max() <= 1  # a byte that is rounded the other way


def hold(studio: Studio) -> None:
    """Let orders wait as if the painter were busy."""
    studio.worker = threading.current_thread()


def release(studio: Studio) -> None:
    studio.worker = threading.Thread(target=studio._work, daemon=True)
    studio.worker.start()


def until_idle(studio: Studio) -> None:
    asyncio.run(until(lambda: studio.worker is None))
    assert studio.num_pictures == 0


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_what_cannot_share_a_batch_takes_turns_and_no_batch_is_too_large(studio: Studio) -> None:
    sizes: list[int] = []
    studio.on_batch = sizes.append

    async def many() -> list[list[Any]]:
        hold(studio)
        calls = []
        for one, so_far in ((order(1, 2), 2), (order(3, steps=2), 3), (order(4, 5, 6), 6)):  # in this order
            calls.append(asyncio.create_task(told(studio, one)))
            await until(lambda so_far=so_far: len(studio.waiting) == so_far)  # type: ignore[misc]
        release(studio)
        return await asyncio.gather(*calls)

    found = asyncio.run(many())
    assert [[one.recipe.seed for one in painted(events)] for events in found] == [[1, 2], [3], [4, 5, 6]]
    assert sizes == [4, 1, 1]
    until_idle(studio)


def test_a_batch_stops_within_a_step_once_all_have_left(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, unet = [], studio.painter.pipeline.unet.forward
    seen, go = threading.Event(), threading.Event()

    def slow(*args: Any, **named: Any) -> Any:
        steps.append(len(args[0]))
        seen.set()
        go.wait(5)
        return unet(*args, **named)

    monkeypatch.setattr(studio.painter.pipeline.unet, "forward", slow)

    async def leave(asked: tuple[Order, ...], leavers: int) -> list[Any]:
        seen.clear()
        go.clear()
        hold(studio)
        calls = [asyncio.create_task(told(studio, one)) for one in asked]
        await until(lambda: len(studio.waiting) == len(asked))
        release(studio)
        await asyncio.to_thread(seen.wait, 5)
        for call in calls[:leavers]:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True) if leavers == len(asked) else []
        go.set()
        await until(lambda: studio.worker is None)
        return done or await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(leave((order(1, steps=20), order(2, steps=20)), 2))
    assert len(steps) == 1 and studio.num_pictures == 0
    steps.clear()
    left, stayed = asyncio.run(leave((order(1, steps=5), order(2, steps=5)), 1))
    assert len(steps) == 5 and isinstance(left, asyncio.CancelledError) and len(painted(stayed)) == 1


def test_what_waits_is_not_begun_for_one_who_left(studio: Studio) -> None:
    async def leave() -> None:
        hold(studio)
        call = asyncio.create_task(told(studio, order(1)))
        await until(lambda: len(studio.waiting) == 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        release(studio)
        await until(lambda: studio.worker is None)

    sizes: list[int] = []
    studio.on_batch = sizes.append
    asyncio.run(leave())
    assert sizes == []


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        (order(1, prompt="underage nude"), ContentFiltered, "nude"),
        (order(1, width=60), BadInput, "8 divides"),
        (order(1, width=56), BadInput, "64 px"),
        (order(1, scheduler="fast"), BadInput, "scheduler"),
        (order(1, strength=0.5), BadInput, "without a picture"),
        (order(1, mask=b"x"), BadInput, "without a picture"),
        (order(1, init=b"GIF"), BadImage, "no JPEG"),
        (order(1, init=png(picture(0, 300, 300))), BadImage, "limit"),
        (order(1, init=png(picture(0)), strength=0.01), BadInput, "none of 3 steps"),
        (order(1, init=png(picture(0)), mask=png(picture(1))), BadInput, "no alpha"),
        (order(1, init=png(picture(0)), mask=png(np.zeros((9, 8, 4), np.uint8))), BadInput, "8 x 9 px"),
        (order(1, init=png(picture(0)), mask=png(np.full((72, 96, 4), 255, np.uint8))), BadInput, "empty"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(studio: Studio, asked: Order, kind: Any, words: str) -> None:
    studio.limits = Limits(max_pixels=80_000)
    with pytest.raises(kind, match=words):
        asyncio.run(told(studio, asked))
    assert studio.num_pictures == 0


def test_only_what_is_transparent_is_painted_and_the_file_says_what_it_began_with(studio: Studio) -> None:
    began = picture(0, 64, 64)
    hole = np.full((64, 64, 4), 255, np.uint8)
    hole[16:48, 16:48, 3] = 0
    init, mask = png(began), png(hole)
    events = asyncio.run(told(studio, order(1, init=init, mask=mask, num_partials=1)))
    inside = hole[..., 3] == 0
    for data in (painted(events)[0].data, next(one.data for one in events if isinstance(one, Partial))):
        away = np.abs(decode(data).astype(int) - began).max(2)
        assert away[~inside].max() <= 24 < away[inside].mean()  # the watermark
        stated = stamp.read(data).parameters.parameters
        assert (stated.init_digest, stated.extras["mask"]) == (picture_id(init), picture_id(mask))


def test_an_error_of_one_order_does_not_touch_the_others(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    paint = studio.painter.paint

    def failing(recipes: Any, **more: Any) -> Any:
        if any(recipe.seed == 2 for recipe in recipes):
            raise OutOfMemory("too large")
        return paint(recipes, **more)

    monkeypatch.setattr(studio.painter, "paint", failing)

    async def both() -> list[Any]:
        hold(studio)
        calls = [asyncio.create_task(told(studio, order(seed))) for seed in (1, 2)]
        await until(lambda: len(studio.waiting) == 2)
        release(studio)
        return await asyncio.gather(*calls, return_exceptions=True)

    good, bad = asyncio.run(both())
    assert len(painted(good)) == 1 and isinstance(bad, OutOfMemory)


def test_steps_add_up_where_the_pictures_of_an_order_take_different_ones(studio: Studio) -> None:
    recipes = tuple(
        Recipe(prompt="a", strength=strength, num_inference_steps=8, width=64, height=64) for strength in (0.25, 1)
    )
    events = asyncio.run(told(studio, Order(recipes=recipes, init=png(picture(0)), tells_steps=True)))
    steps = [(event.done, event.total) for event in events if isinstance(event, Stepped)]
    assert {total for _, total in steps} == {10} and [done for done, _ in steps] == list(range(1, 11))


def test_an_order_is_checked_without_any_work(studio: Studio) -> None:
    studio.check(order(1))
    with pytest.raises(BadInput, match="8 divides"):
        studio.check(order(1, width=60))
    assert studio.num_pictures == 0 and studio.worker is None


def test_filtered_content_is_a_reason_and_no_picture(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio.painter, "_filtered", lambda images: [number == 0 for number in range(len(images))])
    first, second = painted(asyncio.run(told(studio, order(1, 2))))
    assert (first.data, first.finish_reason) == (None, CONTENT_FILTERED) and first.notes
    assert second.data is not None


def test_a_mistake_is_told_and_the_next_order_is_served(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(studio.painter, "paint", lambda *args, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(told(studio, order(1)))
    assert len(painted(asyncio.run(told(studio, order(1))))) == 1


@pytest.mark.parametrize("scheduler", ["default", *SCHEDULERS])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_what_is_expected_of_a_perfect_prediction_is_the_picture(scheduler: str, kind: str) -> None:
    """Under any scheduler, at any step: a network that knows the noise gives the clean latents away."""
    from painters import make_scheduler as own_scheduler

    from gencv.diffusion.denoise import expected
    from gencv.diffusion.schedulers import make_scheduler

    made = make_scheduler(scheduler, own_scheduler(kind))
    made.set_timesteps(7)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    for number, timestep in enumerate(made.timesteps):
        if hasattr(made, "set_begin_index"):
            made._step_index = None
            made.set_begin_index(number)
        noisy = made.add_noise(clean, noise, timestep.repeat(2))
        seen = made.scale_model_input(noisy, timestep)
        parts = torch.stack([clean.flatten(), noise.flatten()], 1)
        kept, lost = torch.linalg.lstsq(parts, seen.reshape(-1, 1)).solution.flatten().tolist()
        predicted = {"epsilon": noise, "v_prediction": kept * noise - lost * clean, "sample": clean}
        found = expected(made, predicted[kind], seen, timestep)
        assert torch.allclose(found, clean, atol=1e-3 / kept)
