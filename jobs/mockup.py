"""Put pictures of products on things: a mug, a shirt, a poster, or a template of your own.

    python jobs/mockup.py --products /data/products --templates mug poster --out /data/runs/mockups
    python jobs/mockup.py --products a.png b.jpg --templates tote /data/my-template --art cutout --fit contain --out ...

Writes pictures/*.png, pictures.parquet (a row for each product on each template, with how faithful the picture is to
the product's own pixels), and report.html, a catalogue. A mockup that cannot be made is a row with an error, and the
others go on. docs/mockup.md says what a template is, how to make one of a photo, and what the figures mean.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from gencv.core import storage, tables
from gencv.core.errors import BadInput, UnknownName
from gencv.diffusion.render import FITS
from gencv.diffusion.templates import TEMPLATES, template_of
from gencv.pipelines.mockup import ARTS, make_mockups, products_in
from gencv.plots.mockup import mockup_report
from gencv.runs.launch import absolute, launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    products: tuple[str, ...]
    """Pictures, or folders of pictures."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    templates: tuple[str, ...] = tuple(TEMPLATES)
    """Names of drawn templates, or folders with a template.json."""
    fit: str = "cover"
    """cover fills the print area and cuts off what is too long; contain shows all, with a margin."""
    art: str = "photo"
    """photo prints the picture as it is; cutout prints the product without its background."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the mockups cannot be made."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes; default: one a CPU."""

    def __post_init__(self) -> None:
        if not self.products or not self.templates:
            raise BadInput("Give at least one picture or folder as --products, and one of --templates.")
        if self.fit not in FITS:
            raise UnknownName("fit", self.fit, FITS)
        if self.art not in ARTS:
            raise UnknownName("art", self.art, ARTS)


def main(config: Config, run: Run) -> None:
    places = list(dict.fromkeys(map(place_of, config.templates)))
    templates = [template_of(place) for place in places]
    names = [template.name for template in templates]
    if len(set(names)) < len(names):
        raise BadInput(f"Two of --templates have one name: {', '.join(names)}; give one of them another.")
    products = products_in(config.products)
    digest = hashlib.blake2b(" ".join(template.digest() for template in templates).encode(), digest_size=16)
    run.begin(
        products=tables.content_digest(products.select(["product", "id"]), keys=("product",)),
        templates=digest.hexdigest(),
    )
    table, _ = make_mockups(
        products, places, run.dir, fit=config.fit, art=config.art, address=config.address, workers=config.workers
    )
    tables.write_table(table, run.path("pictures.parquet"))
    bad = [row for row in table.to_pylist() if row["error"]]
    shift = np.array(table["colour_shift"].drop_null().to_pylist())
    run.finish(
        mockup_report(table),
        counts={"products": products.num_rows, "templates": names, "mockups": table.num_rows - len(bad)},
        figures={"median_colour_shift": float(np.median(shift)) if len(shift) else None},
        bad=[(f"{row['product']} on {row['template']}", row["detail"]) for row in bad],
        total=table.num_rows,
    )
    print(f"Report: {run.path('report.html')}")


def place_of(name: str) -> str:
    """Return a template's name, or its folder as an absolute path, for workers have another working directory."""
    place = absolute(name)
    return place if name not in TEMPLATES and storage.exists(place) else name


if __name__ == "__main__":
    launch(main)
