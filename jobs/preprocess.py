"""Resize, blur by chance, and compress every picture of a manifest once, packed for fast reading (recipe R4).

    python jobs/preprocess.py --manifest /data/runs/manifest --out /data/runs/preprocessed

Writes a packed manifest, so that every other job takes its folder as --manifest. The defaults are R4's: 224 x 224, JPEG
at quality 80 for all, Gaussian blur (5 x 5, OpenCV's sigma 0) for half of the training pictures, drawn by the
picture's id. A detector fitted on these pictures repeats the resize and the JPEG by itself on a raw one.

    python jobs/preprocess.py --manifest /data/runs/manifest --align --out /data/runs/aligned

--align makes the files of both classes alike, which `audit` asks for: one size, a JPEG quality from 70 to 95 drawn by
the picture's id in every split, no metadata, and no blur. The other flags change it: --jpeg-quality 90 is one for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.images.preprocess import Preprocessing
from gencv.pipelines.preprocess import preprocess
from gencv.plots.pages import preprocess_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    manifest: str
    """Folder written by manifest."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures cannot be read."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes; default: one a CPU."""

    @classmethod
    def preset(cls, argv: Sequence[str]) -> "Config":
        """Return what the flags start from: the recipe's preprocessing, or the aligned one."""
        preprocessing = Preprocessing.aligned() if "--align" in argv else Preprocessing()
        return cls(manifest=tyro.MISSING, out=tyro.MISSING, preprocessing=preprocessing)


def main(config: Config, run: Run) -> None:
    manifest = Manifest.load(config.manifest)
    if manifest.preprocessing is not None:
        raise BadInput(f"The pictures of {config.manifest} were preprocessed before; give what `manifest` wrote.")
    run.begin(manifest=manifest.digest())
    made, done = preprocess(
        config.manifest, manifest, config.preprocessing, run.dir, address=config.address, workers=config.workers
    )
    run.finish(
        preprocess_report(manifest, made),
        counts={**made.counts(), "work": done},
        figures={"digest": made.digest()},
        bad=made.bad(),
        total=len(made),
    )


if __name__ == "__main__":
    launch(main)
