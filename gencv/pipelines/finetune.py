"""From a manifest and a recipe to a bundle: train, then judge validation and test with what came out, then calibrate.

Several trainings that differ in one thing (what they were trained on, the size of the network, how it is treated) are
variants of one run, so that their figures can be laid side by side.
"""

from dataclasses import dataclass, replace
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadInput, UnknownName
from gencv.core.manifest import Manifest
from gencv.core.predictions import Predictions
from gencv.core.record import Split
from gencv.evaluate.decision import Decision, DecisionSettings, settle
from gencv.evaluate.metrics import summarise
from gencv.evaluate.scoping import bank_of, set_scope
from gencv.evaluate.validation import Validation
from gencv.images.preprocess import Preprocessing
from gencv.models import bundle, fitted
from gencv.models.detectors import NetworkDetector, Runner, task_of
from gencv.models.encoders import pick_device
from gencv.models.fitting import best_epoch
from gencv.models.losses import Heads
from gencv.models.optimising import build_optimizer
from gencv.models.recipes import Recipe
from gencv.pipelines.predict import in_scope, predict
from gencv.pipelines.train import Training, build, kinds_of, plan_of, train

JUDGED = "judged"
SCALES = ("tiny", "small", "base")


@dataclass(frozen=True)
class Variant:
    """One training of a run: its name, its recipe, and the generator that its positives are of ("" for all)."""

    name: str
    recipe: Recipe
    trained_on: str = ""

    def manifest_of(self, manifest: Manifest) -> Manifest:
        """Return the rows that it is trained and judged on: the test rows stay whole."""
        if not self.trained_on:
            return manifest
        columns = (manifest[name] for name in ("label", "generator", "split"))
        kept = [
            label != 1 or split == Split.TEST or generator == self.trained_on
            for label, generator, split in zip(*columns, strict=True)
        ]
        return manifest.where(kept)


@dataclass(frozen=True)
class Trained:
    """What one training left: its detector, every epoch's figures, what validation decided, and the test rows judged.

    fitted: the rows that it was trained on; test: those that `predictions` judges, row by row.
    """

    variant: Variant
    detector: NetworkDetector
    history: list[dict[str, Any]]
    decision: Decision
    training: dict[str, Any]
    """What its bundle says of how it was trained."""
    fitted: Manifest
    test: Manifest
    predictions: Predictions
    val: Predictions


def baseline(recipe: Recipe) -> Recipe:
    """Train the head alone, on pictures as they are."""
    return replace(recipe, freeze=("all",), augmentation=type(recipe.augmentation)())


def augmented(recipe: Recipe) -> Recipe:
    """Train the head alone, on augmented pictures."""
    return replace(recipe, freeze=("all",))


def finetuned(recipe: Recipe) -> Recipe:
    """Train as the recipe says."""
    return recipe


TREATMENTS = {"baseline": baseline, "augmented": augmented, "finetuned": finetuned}
"""The rows of recipe R2's table."""


def variants_of(
    manifest: Manifest, recipe: Recipe, *, scales: tuple[str, ...], treatments: tuple[str, ...], per: str
) -> list[Variant]:
    """Lay out the trainings of a run; one without a name if nothing varies.

    per: "generator" trains on all positives and then on those of each generator alone. Raises UnknownName, BadInput.
    """
    for scale in scales:
        if scale not in SCALES:
            raise UnknownName("scale", scale, SCALES)
    for treatment in treatments:
        if treatment not in TREATMENTS:
            raise UnknownName("treatment", treatment, TREATMENTS)
    if per not in ("none", "generator"):
        raise UnknownName("per", per, ("none", "generator"))
    if scales and "{scale}" not in recipe.network:
        raise BadInput(
            f"--scale needs a network with {{scale}} in its name, such as timm/vit_{{scale}}_patch16_224; "
            f"this is {recipe.network}."
        )
    generators = [""]
    if per == "generator":
        rows = zip(manifest["generator"], manifest["label"], manifest["split"], strict=True)
        generators += sorted({generator for generator, label, split in rows if label == 1 and split == Split.TRAIN})
        if len(generators) < 3:
            raise BadInput(f"--per generator needs two generators at least; the training rows have {generators[1:]}.")
    found = []
    for scale in scales or ("base",):
        for treatment in treatments or ("finetuned",):
            for generator in generators:
                made = TREATMENTS[treatment](replace(recipe, network=recipe.network.replace("{scale}", scale)))
                words = (
                    scale if scales else "",
                    treatment if treatments else "",
                    generator or ("all" if per != "none" else ""),
                )
                found.append(Variant("-".join(word for word in words if word), made, generator))
    for place, one in enumerate(found):
        for other in found[:place]:
            if (one.recipe, one.trained_on) == (other.recipe, other.trained_on):
                raise BadInput(
                    f"{other.name} and {one.name} would be the same training; change the recipe "
                    "(augmented differs from baseline by --flip and --degradations)."
                )
    return found


def require_trainable(variant: Variant, manifest: Manifest) -> None:
    """Raise what would keep a training from its first step, before anything is written or started."""
    rows, recipe = variant.manifest_of(manifest), variant.recipe
    plan_of(rows, recipe)
    build_optimizer(build(recipe, Heads(recipe.loss, kinds_of(rows, recipe))), recipe)
    told = zip(rows["split"], rows["label"], rows["error"], strict=True)
    tested = {label for split, label, error in told if split == Split.TEST and error is None}
    if not {0, 1} <= tested:
        raise BadInput(
            "The test split needs readable pictures of both classes to report on; make the manifest with --splits that "
            "leave some."
        )


def finetune(
    variant: Variant,
    manifest: Manifest,
    out: str,
    *,
    deciding: DecisionSettings,
    audit: dict[str, Any] | None = None,
    checkpoint_steps: int = 0,
    track: tuple[str, ...] = (),
    address: str | None = None,
    workers: int = 0,
) -> Trained:
    """Train one variant in `out`, or go on, and leave its bundle there; returns what it says of the test rows.

    deciding: how calibration, thresholds, and the uncertain band are set, on the validation rows and nothing else.
    audit: what an audit said of the manifest. Raises what `train` does.
    """
    manifest = variant.manifest_of(manifest)
    recipe, kinds = variant.recipe, kinds_of(manifest, variant.recipe)
    manifest.save(out)
    network, history = train(
        Training(manifest_dir=out, out=out, recipe=recipe, kinds=kinds, checkpoint_steps=checkpoint_steps, track=track),
        address=address,
        workers=workers,
    )
    families = {f for f, label in zip(manifest["family"], manifest["label"], strict=True) if label == 1}
    detector = NetworkDetector(
        running=Runner(network, pick_device("auto")),
        heads=Heads(recipe.loss, kinds),
        network_name=recipe.network,
        task=task_of(families),
        preprocessing=Preprocessing.from_dict(manifest.preprocessing) if manifest.preprocessing else None,
    )
    facts = {
        "manifest": manifest.digest(),
        "audit": audit,
        "counts": manifest.counts(),
        "recipe": recipe.to_dict(),
        "epochs": len(history),
        "best_epoch": best_epoch(history),
    }
    bundle.save(detector, out, training=facts, metrics={})  # not calibrated yet: it judges first
    trained_on = manifest.where(split=Split.TRAIN)
    ids = trained_on["id"]
    remembered = {ids[row] for row in bank_of(ids)}
    splits = manifest["split"]
    judged = manifest.where(
        [split != Split.TRAIN or row_id in remembered for row_id, split in zip(manifest["id"], splits, strict=True)]
    )
    judged_dir = storage.join(out, JUDGED)
    judged.save(judged_dir)
    predictions, features, _ = predict(out, detector, judged_dir, judged, judged_dir, address=address, workers=workers)
    is_train, is_val = predictions.in_split(Split.TRAIN), predictions.in_split(Split.VAL)
    uncalibrated, side_px = Validation(predictions.where(is_val).table), detector.prepare.side_px
    decision = settle(uncalibrated, deciding)
    scope = set_scope(uncalibrated, features[is_val], side_px, features[is_train])
    predictions = in_scope(decision.rescored(predictions), features, scope)
    val, test = predictions.split(Split.VAL), predictions.split(Split.TEST)
    detector = replace(detector, **decision.fields(), scope=scope)
    prior = decision.calibrator.prior
    metrics = summarise(val, decision.thresholds["eer"].value, prior=prior, seed=recipe.seed)
    bundle.save(detector, out, training=facts, metrics={name: metric.text() for name, metric in metrics.items()})
    fitted.record(manifest, out)
    return Trained(
        variant=variant,
        detector=detector,
        history=history,
        decision=decision,
        training=facts,
        fitted=trained_on,
        test=judged.where(split=Split.TEST),
        predictions=test,
        val=val,
    )
