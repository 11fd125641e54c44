"""Map a table part by part over the cluster, exactly once, whatever is killed.

A part (ROWS_PER_PART rows of a manifest) is one row of a Ray Data pipeline: read, decoded, prepared, inferred, and
written under its number by one atomic rename. What is there is done, so the same call again makes only the missing
parts. A part always holds the same pictures in the same batches, so its content does not depend
on what was killed, on how many workers there were, or on which of them took it.

Ray Data's own checkpoints were the alternative. They are exactly-once too, but a resumed run cuts other batches from
the rows that are left, so vectors may differ in their last bits, and a resume needs one CPU more than the first run.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from tqdm import tqdm

from gencv.core import tables
from gencv.core.errors import GencvError
from gencv.pipelines import cluster

PreparePart = Callable[[int], pa.Table]
"""The number of a part -> its rows, ready for inference or, where there is none, for writing."""

InferPart = Callable[[pa.Table], pa.Table]
"""Prepared rows -> rows to write; has an `error` column."""


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What to do with `num_parts` parts, and the folder that their results go to.

    build: called once in each inference actor, on "cuda" or "cpu" with a number of threads; loads weights. None if
    there is nothing to infer. bytes_each: memory that a worker on CPUs needs; there are only as many as fit.
    """

    name: str
    out_dir: str
    num_parts: int
    prepare: PreparePart
    build: Callable[[str, int], InferPart] | None = None
    bytes_each: int = 0
    device: str = "auto"
    """Where to infer; "auto" is on GPUs where there are some."""


def map_parts(work: PartWork, *, address: str | None = None, workers: int = 0) -> dict[str, Any]:
    """Do the parts that are not there yet; returns {"parts", "rows", "seconds", "resumed_parts"} of this call.

    workers: inference actors, at most (0: one a GPU, else one a CPU). Connects to the cluster only if there is work
    for it. Raises GencvError with the sentence of an error of ours in a worker.
    """
    done = set(tables.parts_in(work.out_dir))
    todo = [part for part in range(work.num_parts) if part not in done]
    started, rows = time.monotonic(), 0
    # A single part goes to one worker in any case, whose start is saved unless the cluster has GPUs to infer on.
    is_here = len(todo) == 1 and not (work.build and cluster.is_there(address) and cluster.num_gpus())
    if is_here:
        cluster.require_answer(address)
    elif todo:
        cluster.connect(address)
    with tqdm(total=len(todo), desc=work.name, unit="part", mininterval=2, disable=not todo) as progress:
        for result in results_here(work, todo) if is_here else results_of(work, todo, workers):
            if result["failure"]:
                raise GencvError(result["failure"])
            rows += int(result["rows"])
            progress.update()
    return {
        "parts": len(todo),
        "rows": rows,
        "seconds": round(time.monotonic() - started, 2),
        "resumed_parts": len(done),
    }


def results_here(work: PartWork, todo: list[int]) -> Iterator[dict[str, Any]]:
    """Yield {"part", "rows", "failure"} of each part, done in this process with the threads that it has."""
    device = "cpu"
    if work.build:
        from gencv.models.encoders import pick_device  # brings torch, which half of the jobs never need

        device = pick_device("auto")
    actor = WholeActor(work, device, 0)
    return (actor({"part": part}) for part in todo)


def results_of(work: PartWork, todo: list[int], workers: int) -> Iterator[dict[str, Any]]:
    """Yield the same of each part as it is done on the cluster."""
    if todo:
        for some in plan(work, todo, workers).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            assert isinstance(some, pa.Table)
            yield from some.to_pylist()


def plan(work: PartWork, todo: list[int], workers: int) -> ray.data.Dataset:
    """Lay the pipeline out over what the cluster has.

    With GPUs, tasks on the CPUs prepare and actors on the GPUs infer, so that decoding and inference overlap across
    processes. Without, or with nothing to infer, one actor a CPU does a whole part: handing decoded pictures to another
    process on the same cores only costs copies. Actors have their next part queued; between two tasks a worker was
    measured to idle for 160 to 190 ms, a third of a part's work.
    """
    parts = ray.data.from_items([{"part": part} for part in todo], override_num_blocks=min(len(todo), 4000))
    gpus = cluster.num_gpus() if work.build and work.device != "cpu" else 0
    if gpus:
        pool = ray.data.ActorPoolStrategy(size=min(workers or gpus, len(todo)))
        prepared = parts.map(Prepared(work), num_cpus=1)
        return prepared.map(
            InferActor,  # type: ignore[arg-type]
            fn_constructor_args=(work, "cuda", 0),
            compute=pool,
            num_gpus=1,
            num_cpus=0,
        )
    cpus = cluster.num_cpus()
    size = min(workers or cpus, len(todo), *([cluster.room_for(work.bytes_each)] if work.bytes_each else []))
    threads = max(1, min(cpus // size, cluster.num_cpus_of_smallest_node())) if work.build else 1
    return parts.map(
        WholeActor,  # type: ignore[arg-type]
        fn_constructor_args=(work, "cpu", threads),
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=threads,
    )


class Prepared:
    """The CPU half of a part, as one row that no block boundary can cut."""

    def __init__(self, work: PartWork) -> None:
        self.work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"part": row["part"], "table": to_ipc(self.work.prepare(row["part"])), "failure": ""}
        except GencvError as error:
            return {"part": row["part"], "table": b"", "failure": str(error)}


class InferActor:
    """The GPU half of a part; weights load once an actor."""

    def __init__(self, work: PartWork, device: str, threads: int) -> None:
        self.work = work
        try:
            self.infer: InferPart = work.build(device, threads) if work.build else as_it_is
        except GencvError as error:  # said when the first part comes: an actor that dies in its making says nothing
            self.infer = fail_with(str(error))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["failure"]:
            return {"part": row["part"], "rows": 0, "failure": row["failure"]}
        return commit(self.work, row["part"], lambda: self.infer(from_ipc(row["table"])))


class WholeActor(InferActor):
    """Both halves in one process, for machines without a GPU."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return commit(self.work, row["part"], lambda: self.infer(self.work.prepare(row["part"])))


def commit(work: PartWork, part: int, make: Callable[[], pa.Table]) -> dict[str, Any]:
    """Make and write a part: from here on it is done. An error of ours becomes a row, which Ray brings back whole."""
    try:
        table = make()
        tables.write_table(table, tables.part_path(work.out_dir, part))
    except GencvError as error:
        return {"part": part, "rows": 0, "failure": str(error)}
    return {"part": part, "rows": table.num_rows, "failure": ""}


def as_it_is(part: pa.Table) -> pa.Table:
    return part


def fail_with(sentence: str) -> InferPart:
    def infer(part: pa.Table) -> pa.Table:
        raise GencvError(sentence)

    return infer


def to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(data: bytes) -> pa.Table:
    return pa.ipc.open_file(data).read_all()
