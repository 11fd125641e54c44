"""Put pictures of products on things, or products into scenes: a mug, a poster, an oak table, or your own.

    python jobs/mockup.py --products /data/products --templates mug poster --out /data/runs/mockups
    python jobs/mockup.py --products a.png b.jpg --templates tote /data/my-template --art cutout --fit contain --out ...
    python jobs/mockup.py --products /data/products --scenes studio /data/beach.json --painter sd-2.1 --out ...

Writes pictures/*.png, pictures.parquet (a row for each product on each template and in each scene, with how faithful
the picture is to the product's own pixels), and report.html, a catalogue. A mockup that cannot be made is a row with an
error, and the others go on. docs/mockup.md says what a template and a scene are, and what the figures mean.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gencv.core import storage, tables
from gencv.core.errors import BadInput, NotSupported, UnknownName
from gencv.datasets.starter import photograph_at
from gencv.mockup.making import ARTS
from gencv.mockup.render import FITS
from gencv.mockup.scenes import Scene, scene_of
from gencv.mockup.template import Template
from gencv.mockup.templates import TEMPLATES, template_of
from gencv.pipelines import cluster
from gencv.pipelines.mockup import Catalogue, bytes_of, make_mockups
from gencv.pipelines.products import products_in
from gencv.plots.mockup import figures_of, mockup_report
from gencv.provenance import identity
from gencv.runs.launch import absolute, launch
from gencv.runs.run import Run

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Config:
    products: tuple[str, ...]
    """Pictures, or folders of pictures; starter:NAME is a photograph that comes with the packages."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    templates: tuple[str, ...] = ()
    """Names of drawn templates, or folders with a template.json; all of the drawn ones where no scene is given."""
    scenes: tuple[str, ...] = ()
    """Names of scenes, or JSON files."""
    fit: str = "cover"
    """cover fills the print area and cuts off what is too long; contain shows all, with a margin."""
    art: str = "photo"
    """photo prints the picture as it is; cutout prints the product without its background."""
    painter: str = "starter"
    """Who paints scenes: starter, an alias, a hub id, or the folder of a diffusers pipeline."""
    seed: int = 0
    """Of scenes; a product that grew is painted again with the next ones."""
    device: str = "auto"
    """Where to paint: cuda, cpu, or auto for a GPU where there is one."""
    speed: str = "exact"
    """How the painter computes: exact, half, small, ..."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the mockups cannot be made."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes; default: one a CPU."""

    def __post_init__(self) -> None:
        if not self.products:
            raise BadInput("Give at least one picture or folder as --products.")
        if not self.templates and not self.scenes:
            object.__setattr__(self, "templates", tuple(TEMPLATES))
        if self.fit not in FITS:
            raise UnknownName("fit", self.fit, FITS)
        if self.art not in ARTS:
            raise UnknownName("art", self.art, ARTS)
        if self.device not in DEVICES:
            raise UnknownName("device", self.device, DEVICES)
        if self.scenes:
            from gencv.diffusion.speed import find_speed  # brings torch, which templates never need

            find_speed(self.speed)


def main(config: Config, run: Run) -> None:
    identity.load()  # before anything is made that could not be signed
    places = tuple(dict.fromkeys(map(place_of, config.templates)))
    templates = [template_of(place) for place in places]
    scenes = tuple(scene_of(place) for place in dict.fromkeys(map(file_of, config.scenes)))
    names = [one.name for one in (*templates, *scenes)]
    if len(set(names)) < len(names):
        raise BadInput(f"Two of --templates and --scenes have one name: {', '.join(names)}; give one of them another.")
    products = products_in([photograph_at(place) for place in config.products])
    catalogue = Catalogue(
        templates=places,
        fit=config.fit,
        art=config.art,
        scenes=scenes,
        painter=painter_at(config.painter) if scenes else "",
        seed=config.seed,
        speed=config.speed,
        **(computed(config, run, products.num_rows) if scenes else {}),
    )
    painter = replace(catalogue, device="cpu").load() if scenes else None
    weights = painter.weights() if painter else ""
    catalogue = replace(catalogue, weights=weights)
    painted = {"device": catalogue.device, "threads": str(catalogue.threads)}
    run.begin(
        products=tables.content_digest(products.select(["product", "id"]), keys=("product",)),
        templates=digest_of(templates),
        scenes=digest_of(scenes),
        **({"weights": weights, **painted} if painter else {}),
    )
    table = make_mockups(
        catalogue,
        products,
        run.dir,
        address=config.address,
        workers=config.workers,
        bytes_each=bytes_of(painter) if painter else 0,
    )
    tables.write_table(table, run.path("pictures.parquet"))
    bad = [row for row in table.to_pylist() if row["error"]]
    run.finish(
        mockup_report(table, run.dir, notes=painter.notes if painter else ()),
        counts={
            "products": products.num_rows,
            "templates": names[: len(templates)],
            "scenes": names[len(templates) :],
            "mockups": table.num_rows - len(bad),
        },
        figures=figures_of(table),
        bad=[(f"{row['product']} on {row['template']}", row["detail"]) for row in bad],
        total=table.num_rows,
    )
    print(f"Report: {run.path('report.html')}")


def computed(config: Config, run: Run, num_products: int) -> dict[str, Any]:
    """Return the device and the threads of each worker: those that the run began with, so that px stay the same.

    Raises NotSupported for a GPU that is not there.
    """
    here = cluster.device_for(config.address)
    device = run.kept("device", here) if config.device == "auto" else config.device
    if device == "cuda" and here != "cuda":
        raise NotSupported(
            "Scenes are to be painted on a GPU, as --device or the run in --out says, and there is none; on CPUs they "
            "are painted into a new --out, with --device cpu."
        )
    threads = max(1, cluster.num_cpus_here() // num_products)
    return {"device": device, "threads": int(run.kept("threads", str(threads)))}


def place_of(name: str) -> str:
    """Return a template's name, or its folder as an absolute path, for workers have another working directory."""
    place = absolute(name)
    return place if name not in TEMPLATES and storage.exists(place) else name


def file_of(name: str) -> str:
    """Return a scene's name, or its file as an absolute path."""
    return absolute(name) if name.endswith(".json") else name


def painter_at(name: str) -> str:
    """Return a painter's name as workers understand it."""
    from gencv.diffusion.loading import settled  # brings torch, which prints never need

    return settled(name)


def digest_of(things: Sequence[Template] | Sequence[Scene]) -> str:
    return hashlib.blake2b(" ".join(thing.digest() for thing in things).encode(), digest_size=16).hexdigest()


if __name__ == "__main__":
    launch(main)
