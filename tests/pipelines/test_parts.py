import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gencv.core import tables
from gencv.core.errors import BadInput, GencvError
from gencv.pipelines.parts import InferPart, PartWork, from_ipc, map_parts, to_ipc

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def prepare(part: int) -> pa.Table:
    return pa.table({"id": [f"{part}-{row}" for row in range(3)], "error": pa.array([None] * 3, pa.string())})


def build(device: str, threads: int) -> InferPart:
    pid = os.getpid()
    return lambda part: part.append_column("pid", pa.array([pid] * part.num_rows)).append_column(
        "device", [[device] * 3]
    )


def test_every_part_is_done_once_and_only_what_is_missing_is_done_again(tmp_path: Path, ray_local: str) -> None:
    work = PartWork(name="test", out_dir=str(tmp_path), num_parts=7, prepare=prepare)
    assert map_parts(work)["parts"] == 7
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "part-000003.parquet").unlink()
    again = map_parts(work)
    assert (again["parts"], again["rows"], again["resumed_parts"]) == (1, 3, 6)
    ids = tables.read_parts(str(tmp_path))["id"].to_pylist()
    assert ids == [f"{part}-{row}" for part in range(7) for row in range(3)]
    assert sum(path.stat().st_mtime_ns != before[path] for path in tmp_path.iterdir()) == 1


@pytest.mark.parametrize(("workers", "bytes_each", "most"), [(1, 0, 1), (2, 1, 2), (2, 1 << 60, 1)])
def test_as_many_actors_as_asked_for_and_as_fit_do_the_work(
    tmp_path: Path, ray_local: str, workers: int, bytes_each: int, most: int
) -> None:
    work = PartWork(
        name="test", out_dir=str(tmp_path), num_parts=6, prepare=prepare, build=build, bytes_each=bytes_each
    )
    map_parts(work, workers=workers)
    done = tables.read_parts(str(tmp_path))
    assert len(done) == 18 and set(done["device"].to_pylist()) == {"cpu"}
    assert len(set(done["pid"].to_pylist())) <= most


@pytest.mark.parametrize("given", ["local", None])
def test_a_single_part_is_done_here(tmp_path: Path, ray_local: str, given: str | None) -> None:
    work = PartWork(name="test", out_dir=str(tmp_path), num_parts=1, prepare=prepare, build=build)
    done = map_parts(work, address=given)
    assert (done["parts"], done["rows"]) == (1, 3)
    assert tables.read_parts(str(tmp_path))["pid"].to_pylist() == [os.getpid()] * 3
    with pytest.raises(GencvError, match="not there"):
        map_parts(PartWork(name="test", out_dir=str(tmp_path / "b"), num_parts=1, prepare=fail), address=given)


def test_a_single_part_goes_to_a_gpu_elsewhere(tmp_path: Path, ray_with_gpu: str) -> None:
    map_parts(PartWork(name="test", out_dir=str(tmp_path), num_parts=1, prepare=prepare, build=build))
    done = tables.read_parts(str(tmp_path))
    assert set(done["device"].to_pylist()) == {"cuda"} and os.getpid() not in done["pid"].to_pylist()


def fail(*_: object) -> pa.Table:
    raise BadInput("This folder is not there.")


@pytest.mark.parametrize("how", [{"prepare": fail}, {"prepare": prepare, "build": fail}])
def test_an_error_of_ours_comes_back_as_one_sentence(tmp_path: Path, ray_local: str, how: dict[str, Any]) -> None:
    with pytest.raises(GencvError) as caught:
        map_parts(PartWork(name="test", out_dir=str(tmp_path), num_parts=2, **how))
    assert str(caught.value) == "This folder is not there."


def test_a_prepared_part_crosses_processes_as_it_is() -> None:
    assert from_ipc(to_ipc(prepare(2))).equals(prepare(2))


def test_with_a_gpu_preparing_and_inferring_are_two_stages(tmp_path: Path, ray_with_gpu: str) -> None:
    def prepare_here(part: int) -> pa.Table:
        return prepare(part).append_column("prepared_by", pa.array([os.getpid()] * 3))

    map_parts(PartWork(name="test", out_dir=str(tmp_path), num_parts=5, prepare=prepare_here, build=build))
    done = tables.read_parts(str(tmp_path))
    assert done["id"].to_pylist() == [f"{part}-{row}" for part in range(5) for row in range(3)]
    assert set(done["device"].to_pylist()) == {"cuda"} and len(set(done["pid"].to_pylist())) == 1
    assert not set(done["prepared_by"].to_pylist()) & set(done["pid"].to_pylist())


@pytest.mark.parametrize("how", [{"prepare": "fail"}, {"build": "fail"}])
def test_an_error_of_ours_comes_back_from_either_stage(tmp_path: Path, ray_with_gpu: str, how: dict[str, str]) -> None:
    stages: dict[str, Any] = {"prepare": prepare, "build": build, **dict.fromkeys(how, fail)}
    with pytest.raises(GencvError, match=r"^This folder is not there\.$"):
        map_parts(PartWork(name="test", out_dir=str(tmp_path), num_parts=2, **stages))
