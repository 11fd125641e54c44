"""Encode every picture of a manifest into a unit vector.

    python jobs/embed.py --manifest /data/runs/preprocessed --encoder starter-features --out /data/runs/embeddings
    python jobs/embed.py --manifest /data/runs/manifest --augment --encoder ViT-L-14/openai --out /data/runs/embeddings

Decode, augment (with --augment: what `preprocess` would do, to the byte), and encode are one streaming pipeline, over
the GPUs of the cluster where it has any. Killed, the same command goes on; the vectors are those of an undisturbed run.
"""

from dataclasses import dataclass, field

from gencv.core.embeddings import Embeddings
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder
from gencv.pipelines.embed import embed
from gencv.plots.pages import embed_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    manifest: str
    """Folder written by manifest or preprocess."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    encoder: str = "starter"
    """starter, starter-features, ARCHITECTURE/WEIGHTS of open_clip, or timm/NAME."""
    augment: bool = False
    """Preprocess on the fly, as the flags below say; for a raw manifest."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    batch_size: int = 0
    """Pictures in one forward pass; default: what suits the device."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures cannot be read."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Inference processes; default: one a GPU, else one a CPU."""

    def __post_init__(self) -> None:
        if not self.augment and self.preprocessing != Preprocessing():
            raise BadInput("The flags of preprocessing do nothing without --augment; give it, or leave them out.")


def main(config: Config, run: Run) -> None:
    manifest = Manifest.load(config.manifest)
    if config.augment and manifest.preprocessing is not None:
        raise BadInput(f"--augment is for raw pictures; those of {config.manifest} were preprocessed before.")
    encoder = load_encoder(config.encoder)
    run.begin(manifest=manifest.digest(), encoder_weights=encoder.space.weights)
    done = embed(
        config.manifest,
        manifest,
        encoder,
        run.dir,
        augment=config.preprocessing if config.augment else None,
        batch_size=config.batch_size,
        address=config.address,
        workers=config.workers,
    )
    embeddings = Embeddings.load(run.dir)
    run.finish(
        embed_report(embeddings),
        counts={"rows": len(manifest), "vectors": int(embeddings.good.sum()), "work": done},
        figures={"digest": embeddings.digest(), "space": embeddings.space.digest()},
        bad=embeddings.bad(),
        total=len(manifest),
    )


if __name__ == "__main__":
    launch(main)
