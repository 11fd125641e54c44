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

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gencv.core import storage, tables
from gencv.core.contracts import Recipe
from gencv.core.errors import BadImage, BadInput, GencvError, NotReproduced, UnknownName
from gencv.core.manifest import Manifest, read_image
from gencv.core.record import picture_id
from gencv.diffusion.replay import How, read_start, replay
from gencv.diffusion.sweep import SHEETS, in_styles, read_recipes, recipe_of, sweep, varied
from gencv.pipelines.generate import Asked, Painting, Start, generate, pictures_per_part, plan, starts_of
from gencv.plots.generate import generate_report
from gencv.provenance.stamp import FORMATS
from gencv.runs.launch import launch
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
    """How far to leave --init, from 0 to 1; default: 0.8, in a mask 1."""
    guidance_scale: tuple[float, ...] = (Recipe.guidance_scale,)
    """How closely to follow the prompt; 1 is no guidance."""
    num_inference_steps: tuple[int, ...] = (Recipe.num_inference_steps,)
    scheduler: tuple[str, ...] = ("default",)
    """default is the painter's own; else ddim, ddpm, euler, euler-a, heun, dpm++2m, dpm++2m-karras, unipc, pndm."""
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
    what it leaves open."""
    init: str = ""
    """A picture to start from; it is cut and scaled to the size."""
    mask: str = ""
    """A picture of the size of --init: white, or transparent, where to paint anew; the rest stays."""
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
        if self.recipes and self.prompt:
            raise BadInput("--recipes has the prompts; leave --prompt out.")
        if self.manifest and (self.init or self.recipes or self.mask):
            raise BadInput("--manifest has the pictures to start from; leave --init, --mask, and --recipes out.")
        if self.mask and not self.init:
            raise BadInput("--mask says where to paint into --init; give both.")
        if (self.strength or self.sheet == "parameters") and not (self.init or self.manifest or self.recipes):
            raise BadInput("A strength says how far to leave a picture; give --init, or --manifest.")
        if self.num_images < 1 or self.pictures_per_batch < 1:
            raise BadInput("--num-images and --pictures-per-batch are 1 or more.")
        for what, name, known in (("sheet", self.sheet, ["", *SHEETS]), ("format", self.format, FORMATS)):
            if name not in known:
                raise UnknownName(what, name, [one for one in known if one])


def main(config: Config, run: Run) -> None:
    if config.replay:
        again(config, run)
        return
    loras = tuple((place, float(weight or 1)) for place, _, weight in (one.partition("=") for one in config.lora))
    painting = Painting(
        painter=config.painter,
        how=How(speed=config.speed, format=config.format, quality=config.quality, watermark=config.watermark),
        loras=loras,
        manifest=config.manifest,
        pictures_per_batch=config.pictures_per_batch,
    )
    painter = painting.load("cpu")
    init = read_file(config.init, "picture to start from") if config.init else None
    mask = read_file(config.mask, "mask") if config.mask else None
    asked = list(cells_of(config, init))
    cells, refused = plan(painter, asked)
    if init is not None and cells.num_rows:
        read_start(init, mask, Recipe(prompt="", width=painter.size_px, height=painter.size_px))
    threads = max(1, (os.cpu_count() or 1) // max(1, -(-cells.num_rows // pictures_per_part(cells))))
    how = replace(painting.how, threads=threads, mask=picture_id(mask) if mask else "")
    painting = replace(painting, how=how, mask=config.mask, mask_id=how.mask)
    run.begin(
        cells=tables.content_digest(cells.drop_columns(["uri"]), keys=("cell",)),
        weights=painter.weights(),
        **({"init": picture_id(init)} if init else {}),
        **({"mask": how.mask} if mask else {}),
    )
    if init is not None:
        storage.write_bytes(run.path("init" + config.init[config.init.rfind(".") :]), init)
    made, done = generate(painting, cells, run.dir, address=config.address, workers=config.workers)
    table = pa.concat_tables([made, refused]).sort_by("cell")
    tables.write_table(table, run.path("pictures.parquet"))
    tables.write_table(source_of(table, config.painter), run.path("source.parquet"))
    bad = [(f"cell {row['cell']}: {row['prompt']}", row["detail"]) for row in table.to_pylist() if row["error"]]
    recipes = [recipe for recipe, _ in asked if isinstance(recipe, Recipe)]
    run.finish(
        generate_report(table, varied(recipes), run.dir, init=init, notes=painter.notes),
        counts={"cells": len(asked), "pictures": len(table["path"].drop_null()), "work": done},
        figures={"weights": painter.weights()},
        bad=bad,
        total=len(asked),
    )
    print(f"Report: {run.path('report.html')}")


def cells_of(config: Config, init: bytes | None) -> Iterable[Asked]:
    """Give what is to be painted, cell by cell: recipes, or why an entry of the file is none."""
    strength = config.strength or SHEETS.get(config.sheet, {}).get("strength", ())
    base = Recipe(
        prompt="",
        negative_prompt=config.negative_prompt,
        width=config.width,
        height=config.height,
        **{name: getattr(config, name)[0] for name in ("seed", "guidance_scale", "num_inference_steps", "scheduler")},
        strength=strength[0] if strength else None,
    )
    axes: dict[str, Any] = {
        "prompt": in_styles(config.prompt) if config.sheet == "prompts" else config.prompt,
        "seed": [seed + number for seed in config.seed for number in range(config.num_images)],
        "strength": strength,
        **{name: getattr(config, name) for name in ("guidance_scale", "num_inference_steps", "scheduler")},
    }
    for name, values in SHEETS.get(config.sheet, {}).items():
        if name != "prompt" and getattr(config, name) == getattr(Config, name):
            axes[name] = values
    if config.manifest:
        yield from variants(config, base, axes)
        return
    start = Start(picture_id(init), uri=config.init) if init is not None else None
    if not config.recipes:
        yield from ((recipe, start) for recipe in sweep(base, axes))
        return
    text = storage.read_bytes(config.recipes).decode("utf-8", "replace")
    for entry in read_recipes(text, config.recipes[config.recipes.rfind(".") :].lower()):
        try:
            recipe = recipe_of(entry, base)
        except GencvError as error:
            yield error, start
            continue
        yield from ((replace(recipe, seed=recipe.seed + number), start) for number in range(config.num_images))


def variants(config: Config, base: Recipe, axes: dict[str, Any]) -> Iterable[Asked]:
    """Give every recipe of the sweep for every picture of the manifest; a picture's seeds are its own."""
    manifest = Manifest.load(config.manifest)
    captions = manifest["caption"]
    for start in starts_of(manifest):
        assert start.place is not None
        said = tuple(captions[start.place] or ())[:1]
        prompts = axes["prompt"] or (in_styles(said) if config.sheet == "prompts" else said or ("",))
        for recipe in sweep(base, axes | {"prompt": prompts}):
            yield replace(recipe, seed=(recipe.seed + int(start.id[:7], 16)) % 2**32), start


def source_of(table: pa.Table, painter: str) -> pa.Table:
    """Return what was painted as a table that `manifest` takes as a source; variants stay in their parent's group."""
    family = "diffusion"
    rows = [
        {
            "path": row["path"],
            "label": 1,
            "generator": painter.rstrip("/").rpartition("/")[2],
            "family": family,
            "group": row["group"] or row["parent"] or row["id"],
            "caption": row["prompt"],
            "parent": row["parent"],
            "recipe": Recipe(**{name: row[name] for name in Recipe(prompt="").to_dict()}).digest(),
        }
        for row in table.to_pylist()
        if row["path"]
    ]
    kinds = pa.schema([(name, pa.int8() if name == "label" else pa.string()) for name in SOURCE_COLUMNS])
    return pa.Table.from_pylist(rows, kinds)


SOURCE_COLUMNS = ("path", "label", "generator", "family", "group", "caption", "parent", "recipe")


def again(config: Config, run: Run) -> None:
    """Make a picture again. Raises NotReproduced where it is another one."""
    data = read_file(config.replay, "picture to replay")
    init = read_file(config.init, "picture to start from") if config.init else began_with(config.replay)
    mask = read_file(config.mask, "mask") if config.mask else None
    done = replay(data, painter="" if config.painter == Config.painter else config.painter, init=init, mask=mask)
    run.begin(picture=picture_id(data))
    storage.write_bytes(run.path("again" + config.replay[config.replay.rfind(".") :]), done.file)
    report = Report("Replay", config.replay.rpartition("/")[2])
    report.headline("Identical", "yes" if done.is_identical else "no", done.sentence)
    run.finish(report, counts={"pictures": 1}, figures={"largest_difference": done.largest_difference})
    if not done.is_identical:
        raise NotReproduced(done.sentence)
    print(done.sentence)


def began_with(place: str) -> bytes | None:
    """Return the picture that a run of this job kept beside its pictures."""
    folder = place.rpartition("/")[0].rpartition("/")[0]
    names = [name for name in storage.names_in(folder) if name.startswith("init.")] if folder else []
    return storage.read_bytes(storage.join(folder, names[0])) if names else None


def read_file(place: str, what: str) -> bytes:
    data = read_image(place)
    if isinstance(data, BadImage):
        raise BadInput(f"The {what}, {place}, is {data.code}.")
    return data


if __name__ == "__main__":
    launch(main)
