"""Gather pictures with labels into a manifest: look at every one, group what belongs together, split.

    python jobs/manifest.py --source folder:/data/faces --source hf:owner/name --out /data/runs/manifest

Reads sources (folder:, table:, coco:, hf:, history:, starter:). Writes manifest.parquet, excluded.parquet (what was
left out, and why), and images/ where a source brings bytes or --pack asks for them. A picture that cannot be read
stays, as a row with an error code. Identities, source photographs, and near-duplicates are groups, and no group lies in
two splits.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import tyro

from gencv.core import tables
from gencv.core.errors import BadInput
from gencv.core.manifest import IMAGES, Manifest
from gencv.datasets.assemble import build_manifest
from gencv.datasets.faceauth import write_spreadsheet
from gencv.datasets.sources import read_source
from gencv.datasets.splits import shares_of
from gencv.pipelines.inspect import inspect, list_sources
from gencv.plots.pages import manifest_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    source: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """KIND:LOCATION?key=value, repeatable; docs/sources.md has the kinds and their keys."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, validation, and test."""
    balance: bool = False
    """Keep as many genuine pictures as positive ones, and the positive ones in equal parts over generators."""
    pack: bool = False
    """Put the bytes of every picture into images/, so that the manifest can travel."""
    xlsx: str = ""
    """Also write the FACEAUTH spreadsheet to this file."""
    seed: int = 0
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures cannot be read."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes; default: one a CPU."""

    def __post_init__(self) -> None:
        if not self.source:
            raise BadInput("Give at least one --source KIND:LOCATION, --source starter: for example.")
        shares_of(self.splits)


def main(config: Config, run: Run) -> None:
    sources = [read_source(text) for text in config.source]  # a mistake in one shows here, before anything is written
    run.begin()
    list_sources(chain.from_iterable(sources), run.dir)
    rows, done = inspect(run.dir, pack=config.pack, address=config.address, workers=config.workers)
    table, excluded = build_manifest(rows, fractions=config.splits, seed=config.seed, balance=config.balance)
    manifest = Manifest(table, images_dir=run.path(IMAGES))
    manifest.check()
    manifest.save(run.dir)
    tables.write_table(excluded, run.path("excluded.parquet"))
    if config.xlsx:
        write_spreadsheet(manifest, config.xlsx, run.path(IMAGES))
    counts = {"found": rows.num_rows, "excluded": excluded.num_rows, **manifest.counts(), "work": done}
    run.finish(
        manifest_report(manifest, excluded),
        counts=counts,
        figures={"digest": manifest.digest()},
        bad=manifest.bad(),
        total=len(manifest),
    )


if __name__ == "__main__":
    launch(main)
