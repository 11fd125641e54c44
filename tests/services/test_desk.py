"""The desk without Ray and without a painter: what waits, what is told, what is kept, and what a kill leaves."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakePainters, png
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.contracts import Recipe
from gencv.core.errors import BadInput, ContentFiltered, KeyReused, NotFound, OutOfMemory, QueueFull
from gencv.core.record import picture_id
from gencv.images.decode import decode
from gencv.services import desk as desks
from gencv.services.desk import AT_ONCE, Desk
from gencv.services.jobs import Job, from_json, new_job, to_json
from gencv.services.orders import MockupOrder, Order


def order(*seeds: int, **more: Any) -> Order:
    return Order(recipes=tuple(Recipe(prompt="a", seed=seed) for seed in seeds), **more)


async def ask(desk: Desk, *seeds: int, caller: str = "", key: str = "", kind: str = "generation", **more: Any) -> Job:
    asked = order(*seeds, **more)
    job = new_job(kind, "starter", asked, caller=caller, key=key, digest=str(seeds))
    told = await desk.submit(job, asked)
    return desk.jobs[told["id"]]


async def follow(desk: Desk, job: Job) -> list[tuple[str, dict[str, Any]]]:
    return [one async for one in desk.events(job.caller, job.id) if one]


async def until(desk: Desk, is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.wait_for(desk.news.wait(), 10)


def kept(folder: Path, job: Job) -> dict[str, Any]:
    """What a process that came now would read."""
    return dict(json.loads((folder / job.id / "job.json").read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def run(folder: Path) -> Callable[..., Any]:
    """Run a scene with a desk that is started, and stopped at last."""

    def play(scene: Callable[[Desk, FakePainters], Any], painters: FakePainters | None = None, **more: Any) -> Any:
        async def main() -> Any:
            who = painters or FakePainters()
            desk = Desk(who, str(folder), **more)
            desk.start()
            try:
                return await asyncio.wait_for(scene(desk, who), 30)
            finally:
                await desk.stop()

        return asyncio.run(main())

    return play


def test_a_job_is_told_in_order_and_kept(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 5, 6, 7)
        told = await follow(desk, job)
        assert told[-1][0] == "succeeded" and [kind for kind, _ in told].count("succeeded") == 1
        pictures = [about for kind, about in told if kind == "picture"]
        assert [(one["place"], one["seed"], one["finish_reason"]) for one in pictures] == [
            (0, 5, "done"),
            (1, 6, "done"),
            (2, 7, "done"),
        ]
        shares = [about["share"] for kind, about in told if kind == "progress"]
        assert shares == sorted(shares) and shares[-1] == 1 and any(0 < share < 1 / 3 for share in shares)
        assert told[-1][1]["result"]["data"] == pictures and told[-1][1]["error"] is None
        for number, one in enumerate(pictures):
            assert await desk.picture("", job.id, number) == (one["id"], "png", png(5 + number))
            assert one["id"] == picture_id(png(5 + number)) and one["recipe"] == job.order.recipes[number].digest()
        assert await follow(desk, job) == [("picture", one) for one in pictures] + told[-2:], "late, and all at once"
        assert kept(folder, job)["status"] == "succeeded" and not list((folder / job.id).glob(".*"))
        for place in (3, 99):
            with pytest.raises(NotFound, match="no picture"):
                await desk.picture("", job.id, place)

    run(scene)


def test_each_picture_that_is_kept_is_told_of_once(run: Callable[..., Any]) -> None:
    made: list[Any] = []

    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 5, 6, caller="shop")
        await follow(desk, job)
        assert [(one.id, one.caller, painted.recipe.seed) for one, _, painted in made] == [
            (job.id, "shop", 5),
            (job.id, "shop", 6),
        ]
        asked = MockupOrder(product=png(1), template="mug")
        mockup = new_job("mockup", "starter", asked)
        await desk.submit(mockup, asked)
        await follow(desk, desk.jobs[mockup.id])
        assert made[2][1].product == png(1) and made[2][2].file == png(0) and len(made) == 3

    run(scene, on_made=lambda *told: made.append(told))


def test_who_listens_to_one_that_waits_hears_his_position(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        before = [await ask(desk, 1, 2) for _ in range(AT_ONCE)]
        last = await ask(desk, 9)
        assert [job.status for job in before] == ["running"] * AT_ONCE and last.status == "queued"
        events = desk.events("", last.id)
        assert await anext(events) == ("position", {"position": 2 * AT_ONCE, "eta_s": None})
        for _ in range(3 * AT_ONCE):
            painters.may.release()
        rest = [one async for one in events if one]
        places = [about["position"] for kind, about in rest if kind == "position"]
        assert places == sorted(places, reverse=True) and rest[-1][0] == "succeeded"
        assert desk.pace_s is not None and (await desk.get("", last.id))["position"] == 0

    run(scene, FakePainters(0))


def test_one_who_listens_slowly_hears_of_every_picture(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1, 2)
        kinds = []
        async for one in desk.events("", job.id):
            if one and one[0] == "picture" and not kinds:
                painters.may.release()
                await until(desk, lambda: job.is_over)
            kinds += [one[0]] if one and one[0] != "progress" else []
        assert kinds == ["picture", "picture", "succeeded"]

    run(scene, FakePainters(1))


def test_who_leaves_stops_nothing_and_nothing_new_is_told_too(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "QUIET_S", 0.01)

    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1)
        await until(desk, lambda: painters.at_work == 1)
        events = desk.events("", job.id)
        while await anext(events) is not None:
            pass
        await events.aclose()
        painters.may.release()
        assert (await follow(desk, job))[-1][0] == "succeeded"

    run(scene, FakePainters(0))


@given(done=st.integers(0, 11))
@settings(max_examples=12, deadline=None)
def test_what_a_kill_leaves_is_finished_and_nothing_is_painted_twice(
    tmp_path_factory: pytest.TempPathFactory, done: int
) -> None:
    """The folder as it is after so many pictures is what a process finds that comes after a kill -9."""
    folder, found = (tmp_path_factory.mktemp("jobs") / name for name in ("first", "found"))

    async def killed() -> Job:
        painters = FakePainters(done)
        desk = Desk(painters, str(folder))
        desk.start()
        job = await ask(desk, *range(12), init=b"began")
        await until(desk, lambda: len(job.pictures) == done and painters.at_work == 1)
        shutil.copytree(folder, found)
        await desk.stop()
        return job

    async def again() -> tuple[Job, FakePainters, Desk]:
        painters = FakePainters()
        desk = Desk(painters, str(found))
        desk.start()
        job = desk.jobs[first.id]
        assert (await follow(desk, job))[-1][0] == "succeeded"
        await desk.stop()
        return job, painters, desk

    first = asyncio.run(killed())
    (found / first.id / f".{done}.png.0123").write_bytes(b"half")  # as storage writes before it renames
    (found / first.id / f"{done}.png").write_bytes(b"written, and not named yet")
    (found / ("0" * 32)).mkdir()
    (found / ("0" * 32) / "init").write_bytes(b"of a job that never came to be")
    (found / "notes.txt").write_text("not ours")
    job, painters, desk = asyncio.run(again())
    assert painters.seeds == list(range(done, 12)) and all(one.init == b"began" for one in painters.orders)
    assert [said["seed"] for said in job.pictures.values()] == list(range(12)) and job.created == first.created
    assert [(found / job.id / f"{place}.png").read_bytes() for place in range(12)] == [png(n) for n in range(12)]
    assert list(desk.jobs) == [job.id] and not (found / ("0" * 32)).exists() and (found / "notes.txt").exists()


def test_a_desk_begins_with_what_was_being_painted(run: Callable[..., Any], folder: Path) -> None:
    async def before(desk: Desk, painters: FakePainters) -> list[str]:
        jobs = [await ask(desk, number) for number in range(AT_ONCE + 2)]
        await desk.cancel("", jobs[0].id)
        await until(desk, lambda: len(desk.running) == AT_ONCE)
        return [job.id for job in jobs]

    async def after(desk: Desk, painters: FakePainters) -> None:
        assert [job.status for job in desk.jobs.values()] == ["cancelled"] + ["running"] * AT_ONCE + ["queued"]
        assert list(desk.jobs) == ids and [job.id for job in desk.running] == ids[1:-1]
        for id in ids[1:]:
            assert (await follow(desk, desk.jobs[id]))[-1][0] == "succeeded"
        assert sorted(painters.seeds) == list(range(1, AT_ONCE + 2)) and desk.jobs[ids[0]].status == "cancelled"

    ids = run(before, FakePainters(0))
    run(after)


def test_a_job_that_waits_and_one_that_is_painted_are_cancelled(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        jobs = [await ask(desk, 1, 2) for _ in range(AT_ONCE + 1)]
        await until(desk, lambda: painters.at_work == AT_ONCE)
        painters.may.release()
        await until(desk, lambda: any(job.pictures for job in jobs))
        half = next(job for job in jobs if job.pictures)
        listener = asyncio.create_task(follow(desk, half))
        for job in (half, jobs[-1], half):
            told = await desk.cancel("", job.id)
            assert told["status"] == "cancelled" == kept(folder, job)["status"]
        assert (await listener)[-1][0] == "cancelled" and len(half.pictures) == 1
        assert (await desk.picture("", half.id, next(iter(half.pictures))))[2]
        await until(desk, lambda: len(desk.running) == AT_ONCE - 1)
        assert painters.at_work == AT_ONCE - 1 and not desk.waiting
        for job in jobs[1:-1]:
            await desk.cancel("", job.id)
        done = await ask(desk, 3)
        painters.may.release()
        assert (await follow(desk, done))[-1][0] == "succeeded" and 3 in painters.seeds
        assert (await desk.cancel("", done.id))["status"] == "succeeded"

    run(scene, FakePainters(0))


def test_one_that_is_cancelled_before_its_first_step_gives_its_place_to_the_next(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        asked = order(1)
        job = new_job("generation", "starter", asked)
        desk.jobs[job.id] = job
        desk.waiting.append(job)
        desk._next()  # a task that has not begun
        await desk.cancel("", job.id)
        assert (await follow(desk, await ask(desk, 2)))[-1][0] == "succeeded"
        await until(desk, lambda: not desk.running)
        assert painters.seeds == [2]

    run(scene)


def test_the_same_key_is_the_same_job(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> str:
        first, second = await asyncio.gather(ask(desk, 1, key="k"), ask(desk, 1, key="k"))
        assert first is second and len(painters.checked) == 1 and len(desk.jobs) == 1
        assert (await ask(desk, 1, caller="another", key="k")) is not first
        assert (await ask(desk, 1)) is not first, "without a key each is another one"
        with pytest.raises(KeyReused, match="another body"):
            await ask(desk, 2, key="k")
        await follow(desk, first)
        return first.id

    async def later(desk: Desk, painters: FakePainters) -> None:
        assert (await ask(desk, 1, key="k")).id == id and painters.checked == []
        with pytest.raises(KeyReused):
            await ask(desk, 2, key="k")
        await desk.delete("", id)
        assert (await ask(desk, 2, key="k")).id != id

    id = run(scene)
    run(later)


def test_the_same_id_is_the_same_job_for_one_who_could_not_hear_the_answer(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        asked = order(1)
        job = new_job("generation", "starter", asked)
        told = await asyncio.gather(desk.submit(replace(job), asked), desk.submit(replace(job), asked))
        assert told[0]["id"] == told[1]["id"] and len(painters.checked) == 1
        assert (await desk.submit(replace(job), asked))["id"] == job.id and len(desk.jobs) == 1

    run(scene)


def test_what_would_be_refused_is_refused_before_anything_waits(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        refused = await asyncio.gather(*(ask(desk, 1, key="k") for _ in range(2)), return_exceptions=True)
        assert [str(one) for one in refused] == ["No such size."] * 2 and isinstance(refused[0], BadInput)
        assert not desk.jobs and not desk.beginning and not folder.exists()
        painters.refuses = None
        assert (await follow(desk, await ask(desk, 1, key="k")))[-1][0] == "succeeded"

    run(scene, FakePainters(refuses=BadInput("No such size.")))


def test_more_than_may_wait_are_refused_and_a_key_is_answered_all_the_same(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        jobs = [await ask(desk, 1, key=str(number)) for number in range(AT_ONCE + 2)]
        with pytest.raises(QueueFull, match="2 jobs wait"):
            await ask(desk, 1)
        assert await ask(desk, 1, key="0") is jobs[0]
        await desk.cancel("", jobs[-1].id)
        assert (await ask(desk, 1)).status == "queued"

    run(scene, FakePainters(0), max_queued=2)


def test_a_caller_sees_his_own_jobs_alone(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1, caller="mine")
        await follow(desk, job)
        other = await ask(desk, 2, caller="other")
        for method in (desk.get, desk.cancel, desk.delete, desk.sheet):
            for caller, id in (("other", job.id), ("", job.id), ("mine", other.id), ("mine", "0" * 32)):
                with pytest.raises(NotFound):
                    await method(caller, id)
        with pytest.raises(NotFound):
            await desk.picture("other", job.id, 0)
        with pytest.raises(NotFound):
            await anext(desk.events("other", job.id))
        assert [one["id"] for one in (await desk.page("mine", 9, ""))["data"]] == [job.id] and job.id in desk.jobs

    run(scene)


@given(limit=st.integers(1, 7), created=st.lists(st.sampled_from([1.0, 2.5, 1_800_000_000.123456]), max_size=9))
@settings(max_examples=40, deadline=None)
def test_pages_hold_every_job_once_newest_first(
    tmp_path_factory: pytest.TempPathFactory, limit: int, created: list[float]
) -> None:
    async def main() -> None:
        desk = Desk(FakePainters(), str(tmp_path_factory.getbasetemp() / "none"))
        for when in created:
            job = replace(new_job("generation", "starter", order(1)), created=when)
            desk.jobs[job.id] = job
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await desk.page("", limit, cursor)
            found += [one["id"] for one in page["data"]]
            cursor = page["cursor"]
        assert found == sorted(desk.jobs, key=lambda id: (desk.jobs[id].created, id), reverse=True)

    asyncio.run(main())


def test_a_deleted_job_is_gone_and_stays_gone(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1, 2, init=b"x")
        await until(desk, lambda: painters.at_work == 1)
        listener = asyncio.create_task(follow(desk, job))
        painters.may.release()
        await until(desk, lambda: len(job.pictures) == 1)
        done = await asyncio.gather(desk.delete("", job.id), desk.delete("", job.id), return_exceptions=True)
        assert done == [None, None] and not (folder / job.id).exists() and (await listener)[-1][0] == "cancelled"
        with pytest.raises(NotFound):
            await desk.delete("", job.id)
        await until(desk, lambda: not desk.running)
        assert list(folder.iterdir()) == [] and painters.at_work == 0

    run(scene, FakePainters(0))


def test_old_jobs_are_forgotten(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1)
        await follow(desk, job)
        assert job.finished is not None
        await desk.expire(job.finished + 2 * 86_400 - 1)
        assert job.id in desk.jobs
        await desk.expire(job.finished + 2 * 86_400 + 1)
        assert job.id not in desk.jobs and list(folder.iterdir()) == []

    async def forever(desk: Desk, painters: FakePainters) -> None:
        await follow(desk, await ask(desk, 1))
        await desk.expire(1e12)
        assert len(desk.jobs) == 1

    run(scene, days=2)
    run(forever, days=0)


def test_painters_that_die_are_asked_again_for_what_is_missing(run: Callable[..., Any]) -> None:
    asked_again: list[int] = []

    def again_s(error: Exception, failed: int) -> float | None:
        asked_again.append(failed)
        return 0 if isinstance(error, ConnectionError) and failed < 3 else None

    async def scene(desk: Desk, painters: FakePainters) -> None:
        painters.fails = [ConnectionError(), ConnectionError()]
        assert (await follow(desk, await ask(desk, 1, 2)))[-1][0] == "succeeded"
        assert painters.seeds == [1, 2] and asked_again == [1, 2]
        painters.fails = [ConnectionError() for _ in range(3)]
        assert (await follow(desk, await ask(desk, 3)))[-1][1]["error"] == {"told": ""}
        assert (await follow(desk, await ask(desk, 4)))[-1][0] == "succeeded"

    run(scene, again_s=again_s, told=lambda error: {"told": str(error)})


def test_a_job_that_fails_says_why_and_keeps_what_it_has(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        job = await ask(desk, 1, 2)
        await until(desk, lambda: len(job.pictures) == 1)
        painters.fails = [OutOfMemory("Too large.")]
        painters.may.release()
        kind, view = (await follow(desk, job))[-1]
        assert (kind, view["error"]) == ("failed", {"message": "Too large."}) and len(view["result"]["data"]) == 1
        assert kept(folder, job)["error"] == view["error"]

    run(scene, FakePainters(1))


def test_what_is_not_shown_is_a_reason_and_all_of_it_an_error(run: Callable[..., Any]) -> None:
    errors: list[Exception] = []

    async def scene(desk: Desk, painters: FakePainters) -> None:
        some = (await follow(desk, await ask(desk, 1, 2)))[-1]
        assert some[0] == "succeeded"
        assert [one["finish_reason"] for one in some[1]["result"]["data"]] == ["done", "content_filtered"]
        with pytest.raises(NotFound):
            await desk.picture("", some[1]["id"], 1)
        assert (await follow(desk, await ask(desk, 2)))[-1][0] == "failed"
        assert isinstance(errors[0], ContentFiltered) and str(errors[0]) == "Not shown."

    run(scene, FakePainters(hides=[2]), told=lambda error: errors.append(error) or {})


def test_a_sweep_ends_with_a_sheet(run: Callable[..., Any]) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        recipes = [
            Recipe(prompt="a", seed=s, guidance_scale=g, strength=t) for s in (1, 2) for t in (1, 0.5) for g in (2, 3)
        ]
        asked = Order(recipes=tuple(recipes))
        told = await desk.submit(new_job("sweep", "starter", asked), asked)
        job = desk.jobs[told["id"]]
        view = (await follow(desk, job))[-1][1]
        assert view["status"] == "succeeded" and view["result"]["has_sheet"]
        swept = [(one["seed"], one["strength"], one["guidance_scale"]) for one in view["result"]["data"]]
        assert swept == [(one.seed, one.strength, one.guidance_scale) for one in recipes]
        strengths = [recipe.strength for one in painters.orders for recipe in one.recipes]
        assert strengths == sorted(strengths), "what shares a batch comes together"
        id, kind, data = await desk.sheet("", job.id)
        assert kind == "png" and id == picture_id(data) and min(decode(data).shape[:2]) > 300
        plain = await ask(desk, 1)
        await follow(desk, plain)
        with pytest.raises(NotFound, match="no sheet"):
            await desk.sheet("", plain.id)

    run(scene)


def test_a_mockup_is_a_job_of_one_picture(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        asked = MockupOrder(product=b"cup", scene="studio", seed=3)
        job = new_job("mockup", "starter", asked)
        assert job.order.product == b"" and job.starts == ("product",)
        await desk.submit(job, asked)
        (said,) = (await follow(desk, job))[-1][1]["result"]["data"]
        assert (said["name"], said["fidelity"]["halo"], said["cut"]) == ("studio", 0.5, "key")
        assert painters.orders == [asked] and (await desk.picture("", job.id, 0))[2] == png(3)
        assert from_json(to_json(job)) == job

    run(scene)


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_caller(run: Callable[..., Any], folder: Path) -> None:
    async def scene(desk: Desk, painters: FakePainters) -> None:
        folder.write_text("in the way")
        with pytest.raises(OSError, match="cannot be written"):
            await ask(desk, 1)
        assert not desk.jobs

    run(scene)


texts = st.text(max_size=20)
recipes = st.builds(
    Recipe,
    prompt=texts,
    negative_prompt=texts,
    seed=st.integers(0, 2**63 - 1),
    guidance_scale=st.floats(0, 1000),
    strength=st.none() | st.floats(0, 1),
)


@given(st.lists(recipes, min_size=1, max_size=5), texts, texts, st.none() | st.binary(max_size=9))
@settings(deadline=None)
def test_a_job_is_read_as_it_was_written(asked: list[Recipe], caller: str, key: str, init: bytes | None) -> None:
    job = new_job("edit", "starter", Order(recipes=tuple(asked), init=init), caller=caller, key=key)
    job.pictures[len(asked) - 1] = {"place": len(asked) - 1, "id": None, "notes": [caller]}
    assert from_json(to_json(job)) == job
