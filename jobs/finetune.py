"""Fine-tune a network on a manifest, by a recipe of the field, and leave a detector bundle.

    python jobs/finetune.py --recipe starter --manifest /data/runs/manifest --out /data/runs/finetuned

Every hyper-parameter of the recipe is a flag. The same command goes on from the last checkpoint, whatever was killed,
also with another number of --workers. Calibration, thresholds, and the uncertain band are set on the validation rows,
and the report is on the test rows. --scale, --treatments, and --per make several trainings, each in a folder of its
own, side by side. docs/recipes.md has the command of each recipe.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from gencv.core import storage
from gencv.core.audits import audit_of
from gencv.core.errors import UnknownName
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.evaluate.decision import DecisionSettings
from gencv.evaluate.evaluation import Evaluation, figures_of
from gencv.evaluate.thresholds import threshold_of
from gencv.models.efficiency import efficiency_of
from gencv.models.recipes import RECIPES, Recipe
from gencv.pipelines.finetune import Trained, finetune, require_trainable, variants_of
from gencv.pipelines.predict import terms_of
from gencv.plots.training import TrainingRow, comparison_report, finetune_report
from gencv.runs.launch import launch
from gencv.runs.report import Report
from gencv.runs.run import Run
from gencv.runs.tracking import require_trackers


@dataclass(frozen=True, kw_only=True)
class Config:
    manifest: str
    """Folder written by manifest or preprocess, with train, val, and test rows."""
    out: str
    """Folder of this run and of the bundle: an absolute path or a URI."""
    recipe: str = "starter"
    """A name of docs/recipes.md; the flags below change it."""
    settings: Recipe = field(default_factory=lambda: RECIPES["starter"])
    deciding: DecisionSettings = field(default_factory=DecisionSettings)
    audit: str = ""
    """Folder written by audit of the same manifest, for the bundle to name; without it the bundle says so."""
    scale: tuple[str, ...] = ()
    """Train tiny, small, and base networks, each apart."""
    treatments: tuple[str, ...] = ()
    """Train the head alone (baseline), with augmentation (augmented), and as the recipe says (finetuned)."""
    per: str = "none"
    """generator: train on all positives, and on those of each generator alone."""
    checkpoint_steps: int = 0
    """Steps between two checkpoints within an epoch; default: after each epoch only."""
    track: tuple[str, ...] = ()
    """Also follow the epochs in tensorboard or mlflow."""
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures cannot be read."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Training processes; default: one a GPU, else one."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UnknownName("recipe", self.recipe, RECIPES)

    @classmethod
    def preset(cls, argv: Sequence[str]) -> "Config":
        """Return what the flags start from: the recipe that they name."""
        name = argv[argv.index("--recipe") + 1] if "--recipe" in argv[:-1] else "starter"
        if name not in RECIPES:
            raise UnknownName("recipe", name, RECIPES)
        return cls(manifest=tyro.MISSING, out=tyro.MISSING, recipe=name, settings=RECIPES[name])


def main(config: Config, run: Run) -> None:
    require_trackers(config.track)
    manifest = Manifest.load(config.manifest)
    variants = variants_of(manifest, config.settings, scales=config.scale, treatments=config.treatments, per=config.per)
    for variant in variants:
        require_trainable(variant, manifest)
    audit = audit_of(config.audit, manifest)
    run.begin(manifest=manifest.digest())
    trained = []
    for variant in variants:
        out = run.path(variant.name) if variant.name else run.dir
        one = finetune(
            variant,
            manifest,
            out,
            deciding=config.deciding,
            audit=audit,
            checkpoint_steps=config.checkpoint_steps,
            track=config.track,
            address=config.address,
            workers=config.workers,
        )
        evaluation = evaluate(one)
        trained.append((one, evaluation))
        if variant.name:
            storage.write_bytes(storage.join(out, "report.html"), page_of(one, evaluation).html().encode())
        print(f"{variant.name or config.recipe}: test AUROC {evaluation.metrics['auroc'].text()}, bundle in {out}")
    finish(config, run, manifest, trained)


def evaluate(one: Trained) -> Evaluation:
    """Return all figures of a training's test rows. Raises BadInput if validation could set no threshold."""
    threshold, seed = threshold_of(one.detector.thresholds, "eer"), one.variant.recipe.seed
    seen = "Nothing was fitted on these rows."
    left = "training leaves that to evaluate"
    terms = terms_of(one.detector, one.training, threshold, Split.TEST, seen, no_reencoding=left, seed=seed)
    return figures_of(one.predictions, None, terms)


def page_of(one: Trained, evaluation: Evaluation) -> Report:
    """Return the report of one training."""
    return finetune_report(
        evaluation,
        recipe=one.variant.recipe.to_dict(),
        history=one.history,
        efficiency=efficiency_of(one.detector.running.network, one.history),
        decision=one.decision,
        manifest=one.test,
        counts=one.fitted.counts(),
    )


def row_of(one: Trained, evaluation: Evaluation) -> TrainingRow:
    """Return a training's line in the comparison."""
    metrics, costs = evaluation.metrics, efficiency_of(one.detector.running.network, one.history)
    return {
        "name": one.variant.name,
        "network": one.variant.recipe.network,
        "trained_on": one.variant.trained_on or "all",
        "auroc": metrics["auroc"].text(),
        "accuracy": metrics["accuracy"].value,
        "f1": metrics["f1"].value,
        "precision": metrics["precision"].value,
        "recall": metrics["recall"].value,
        "eer": metrics["eer"].value,
        "images_per_s": costs.images_per_s,
        "parameters": costs.parameters,
        "gflops": costs.flops_per_image / 1e9,
        "seconds": sum(epoch["seconds"] + epoch["val_seconds"] for epoch in one.history),
    }


def generators_of(evaluation: Evaluation) -> dict[str, float]:
    """Return the AUROC on each generator's test pictures against all genuine ones."""
    return {row.generator: row.auroc.value for row in evaluation.generators if row.auroc.value is not None}


def finish(config: Config, run: Run, manifest: Manifest, trained: list[tuple[Trained, Evaluation]]) -> None:
    one, evaluation = trained[0]
    rows = [row_of(*each) for each in trained]
    if len(trained) == 1:
        page = page_of(one, evaluation)
    else:
        matrix = {each.variant.name: generators_of(figures) for each, figures in trained}
        page = comparison_report(f"Fine-tuning: {config.recipe}", rows, matrix)
    storage.write_bytes(run.path("trainings.json"), json.dumps(rows, indent=1).encode())
    run.finish(
        page,
        counts={**manifest.counts(), "unreadable_in_training": max(epoch["bad"] for epoch in one.history)},
        figures={each.variant.name or "test_auroc": figures.metrics["auroc"].value for each, figures in trained},
        bad=list(dict([*manifest.bad(), *one.val.bad(), *one.predictions.bad()]).items()),
        total=len(manifest),
    )
    print(f"Report: {run.path('report.html')}")


if __name__ == "__main__":
    launch(main)
