"""Paint pictures from recipes: one, a sweep over any of their fields, a file of them, or variants of a manifest.

    python jobs/generate.py --prompt "a red apple" --num-images 4 --out /data/runs/apples
    python jobs/generate.py --init cat.jpg --prompt "an anime cat" --strength 0.3 0.6 --guidance-scale 2 7.5 --out ...
    python jobs/generate.py --init cat.jpg --prompt "a cat" --sheet prompts --painter dreamlike-photoreal --out ...
    python jobs/generate.py --manifest /data/runs/manifest --strength 0.3 0.6 --out /data/runs/variants
    python jobs/generate.py --replay /data/runs/apples/pictures/000002.png --out /data/runs/again

Leaves pictures/, pictures.parquet with a row a recipe, a contact sheet whose axes are what was varied, and
source.parquet, which `manifest` takes as a source. Each picture says in its file, in its pixels, and under a signature
how it was made, and --replay makes it again from that. Killed, the same command goes on. docs/generate.md has more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Recipe
from gencv.core.errors import BadImage, BadInput, NotReproduced, RunConflict, UnknownName
from gencv.core.manifest import Manifest, read_checked, read_image
from gencv.core.record import picture_id
from gencv.datasets.starter import photograph_at
from gencv.diffusion.loading import settled
from gencv.diffusion.replay import MAX_BATCH, MAX_THREADS, How, read, read_start, replay
from gencv.diffusion.sweep import AXES, SHEETS, read_recipes, sweep, varied
from gencv.images.decode import decode
from gencv.pipelines import cluster
from gencv.pipelines.cells import Asked, Start, gathered, of_entries, of_manifest, plan, recipe_in, source_of
from gencv.pipelines.generate import Painting, generate, pictures_per_part
from gencv.plots.generate import generate_report
from gencv.provenance import identity
from gencv.provenance.stamp import FORMATS
from gencv.runs.launch import absolute, launch
from gencv.runs.report import Report
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    out: str
    """Folder of this run: an absolute path or a URI."""
    painter: str = "starter"
    """starter, an alias (sd-2.1, sd-1.5, sdxl, dreamlike-photoreal), a hub id, or the path of a diffusers folder."""
    prompt: tuple[str, ...] = ()
    """What to paint; several are swept over, as are several of the next five."""
    seed: tuple[int, ...] = (0,)
    strength: tuple[float, ...] = ()
    """How far to leave --init, above 0 and up to 1; default: 0.8, in a mask 1."""
    guidance_scale: tuple[float, ...] = ()
    """How closely to follow the prompt; 1 is no guidance. Default: 7.5."""
    num_inference_steps: tuple[int, ...] = ()
    """Default: 30."""
    scheduler: tuple[str, ...] = ("default",)
    """default is the painter's own; else ddim, ddpm, euler, euler-a, heun, dpm++2m, dpm++2m-karras,
    dpm++2m-sde, unipc, pndm."""
    num_images: int = 1
    """Pictures of each recipe: of the seeds that follow its own."""
    negative_prompt: str = ""
    width: int = 0
    height: int = 0
    """In px; default: what the painter was trained on."""
    sheet: str = ""
    """parameters: a sweep over strength and guidance. prompts: every prompt in twelve styles."""
    recipes: str = ""
    """A file of recipes, .json or .jsonl with a recipe's fields by name, or .txt with a prompt a line; the flags say
    what it leaves open, and several values of one are swept over."""
    init: str = ""
    """A picture to start from; it is cut and scaled to the size. starter:NAME is a photograph of the packages."""
    mask: str = ""
    """A picture of the size of --init: transparent, or where nothing is, white, where to paint anew; the rest stays."""
    manifest: str = ""
    """Folder of a manifest: start from each of its pictures. Its caption is the prompt where none is given."""
    replay: str = ""
    """A picture that this job made: make it again, and say whether it is identical."""

    lora: tuple[str, ...] = ()
    """LoRAs to merge into the painter: .safetensors files or folders, each as PLACE or PLACE=WEIGHT."""
    speed: str = "exact"
    """exact, layout, half, compiled, small, or reusing: what is traded for speed, see docs/generate.md."""
    pictures_per_batch: int = 8
    format: str = "png"
    """png, jpeg, or webp."""
    quality: int = 90
    """Of JPEG and WebP, 1 to 100."""
    watermark: bool = True
    """Mark the pixels. A detector that is trained on marked pictures may learn the mark."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the recipes cannot be painted."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes that paint; default: one a GPU, else one a CPU."""

    def __post_init__(self) -> None:
        asked = [name for name in ("prompt", "recipes", "manifest", "replay", "sheet") if getattr(self, name)]
        if not asked:
            raise BadInput("Say what to paint: --prompt, --recipes, or --manifest; or give a picture as --replay.")
        if self.replay and len(asked) > 1:
            raise BadInput("--replay says what to paint; leave --prompt, --recipes, --manifest, and --sheet out.")
        if self.recipes and self.prompt:
            raise BadInput("--recipes has the prompts; leave --prompt out.")
        if self.manifest and (self.init or self.recipes or self.mask):
            raise BadInput("--manifest has the pictures to start from; leave --init, --mask, and --recipes out.")
        if self.mask and not (self.init or self.replay):
            raise BadInput("--mask says where to paint into --init; give both.")
        if (self.strength or self.sheet == "parameters") and not (self.init or self.manifest or self.recipes):
            raise BadInput("A strength says how far to leave a picture; give --init, or --manifest.")
        if self.num_images < 1 or not 1 <= self.pictures_per_batch <= MAX_BATCH:
            raise BadInput(f"--num-images is 1 or more, and --pictures-per-batch from 1 to {MAX_BATCH:,}.")
        for what, name, known in (("sheet", self.sheet, ["", *SHEETS]), ("format", self.format, FORMATS)):
            if name not in known:
                raise UnknownName(what, name, [one for one in known if one])


def main(config: Config, run: Run) -> None:
    config = replace(config, painter=settled(config.painter), init=photograph_at(config.init))
    if config.replay:
        again(config, run)
        return
    painting = Painting(
        painter=config.painter,
        how=How(speed=config.speed, format=config.format, quality=config.quality, watermark=config.watermark),
        loras=tuple(map(lora_of, config.lora)),
        manifest=config.manifest,
        pictures_per_batch=config.pictures_per_batch,
    )
    init = read_picture(config.init, "picture to start from") if config.init else None
    mask = read_picture(config.mask, "mask") if config.mask else None
    identity.load()  # before anything is painted that could not be signed
    painter = painting.load("cpu")
    asked = gathered(cells_of(config, init))
    if init is not None:
        read_start(init, mask)
    cells, refused = plan(painter, asked, has_mask=mask is not None)
    weights = painter.weights()
    device = cluster.device_for(config.address)
    how = replace(painting.how, **computed(run, cells, device), mask=picture_id(mask) if mask else "")
    painting = replace(painting, how=how, mask=config.mask, weights=weights)
    run.begin(
        cells=tables.content_digest(cells.drop_columns(["uri"]), keys=("cell",)),
        weights=weights,
        device=how.device,
        threads=str(how.threads),
        **({"init": picture_id(init)} if init else {}),
        **({"mask": how.mask} if mask else {}),
    )
    if how.device == "cuda" and device != "cuda":
        raise RunConflict(
            f"{run.dir} was begun on a GPU, and there is none now, so px would differ; go on where there is one, or "
            "choose another --out."
        )
    if init is not None:
        storage.write_bytes(run.path("init" + storage.suffix_of(config.init)), init)
    made, done = generate(painting, cells, run.dir, address=config.address, workers=config.workers)
    table = pa.concat_tables([made, refused]).sort_by("cell")
    tables.write_table(table, run.path("pictures.parquet"))
    tables.write_table(source_of(table, painter.name), run.path("source.parquet"))
    rows = table.to_pylist()
    run.finish(
        generate_report(
            table,
            varied([recipe_in(row) for row in rows if row["prompt"] is not None]),
            run.dir,
            init=init,
            notes=painter.notes,
        ),
        counts={"cells": len(asked), "pictures": sum(row["path"] is not None for row in rows), "work": done},
        figures={"weights": weights},
        bad=[(f"cell {row['cell']}: {(row['prompt'] or '')[:100]}", row["detail"]) for row in rows if row["error"]],
        total=len(asked),
    )
    print(f"Report: {run.path('report.html')}")


def computed(run: Run, cells: pa.Table, device: str) -> dict[str, Any]:
    """Return the device and the threads of each worker: those that the run began with, so that px stay the same."""
    num_parts = -(-cells.num_rows // pictures_per_part(cells))
    threads = min(max(1, cluster.num_cpus_here() // max(1, num_parts)), MAX_THREADS)
    return {
        "device": run.kept("device", device),
        "threads": int(run.kept("threads", str(threads))),
    }


def cells_of(config: Config, init: bytes | None) -> Iterable[Asked]:
    """Give what is to be painted, cell by cell; flags that were left out are the sheet's."""
    sheet = SHEETS.get(config.sheet, {})
    axes: dict[str, Sequence[Any]] = {name: getattr(config, name) for name in AXES}
    axes |= {name: values for name, values in sheet.items() if not axes.get(name)}
    base = Recipe(
        **{"prompt": ""} | {name: values[0] for name, values in axes.items() if name in AXES and values},
        negative_prompt=config.negative_prompt,
        width=config.width,
        height=config.height,
    )
    axes["seed"] = [seed + number for seed in config.seed for number in range(config.num_images)]
    if config.manifest:
        return of_manifest(Manifest.load(config.manifest), base, axes)
    start = Start(picture_id(init), uri=config.init) if init is not None else None
    if config.recipes:
        entries = read_recipes(read_file(config.recipes, "file of recipes"), storage.suffix_of(config.recipes))
        return of_entries(entries, base, axes, start)
    return ((recipe, start) for recipe in sweep(base, axes))


def again(config: Config, run: Run) -> None:
    """Make a picture again. Raises NotReproduced where it is another one."""
    data = read_picture(config.replay, "picture to replay")
    began_with = read(data)[0].init_digest
    init = read_picture(config.init, "picture to start from") if config.init else beside(config.replay, began_with)
    mask = read_picture(config.mask, "mask") if config.mask else None
    painter = "" if config.painter == Config.painter else config.painter
    done = replay(data, painter=painter, loras=tuple(map(lora_of, config.lora)), init=init, mask=mask)
    run.begin(picture=picture_id(data))
    storage.write_bytes(run.path("again" + storage.suffix_of(config.replay)), done.file)
    report = Report("Replay", config.replay.rpartition("/")[2])
    report.headline("Identical", "yes" if done.is_identical else "no", done.sentence)
    run.finish(report, counts={"pictures": 1}, figures={"largest_difference": done.largest_difference})
    if not done.is_identical:
        raise NotReproduced(done.sentence)
    print(done.sentence)


def beside(place: str, init_id: str | None) -> bytes | None:
    """Return the picture of that id that a run of this job kept beside its pictures."""
    folder = place.rpartition("/")[0].rpartition("/")[0]
    if not folder or not init_id:
        return None
    names = [name for name, size in storage.sizes_in(folder).items() if size and name.partition(".")[0] == "init"]
    found = (read_checked(storage.join(folder, name), init_id) for name in names)
    return next((data for data in found if isinstance(data, bytes)), None)


def lora_of(text: str) -> tuple[Path, float]:
    """Return the place and the weight of PLACE or PLACE=WEIGHT."""
    place, _, weight = text.rpartition("=") if "=" in text else (text, "", "1")
    try:
        return Path(absolute(place)), float(weight)
    except ValueError:
        raise BadInput(f"--lora {text} has the weight {weight!r}; PLACE or PLACE=NUMBER is accepted.") from None


def read_picture(place: str, what: str) -> bytes:
    """Return the bytes of a file that decodes. Raises BadInput."""
    data = read_file(place, what)
    try:
        decode(data)
    except BadImage as error:
        raise BadInput(f"The {what}, {place}, cannot be read: {error}.") from None
    return data


def read_file(place: str, what: str) -> bytes:
    data = read_image(place)
    if isinstance(data, BadImage):
        raise BadInput(f"The {what}, {place}, cannot be read: {data}.")
    return data


if __name__ == "__main__":
    launch(main)
