"""Model cards in the hub's format: of a bundle as it was made, and of one that was judged on pictures it never saw."""

import json
from typing import Any

from gencv.core import audits
from gencv.core.band import Band
from gencv.core.calibrator import Calibrator
from gencv.core.scope import Scope


def card(description: dict[str, Any], judged: dict[str, Any] | None = None) -> str:
    """Write the model card: what a detector is for, what it was fitted on, how it did, where it fails.

    description: a bundle's detector.json. judged: the metrics.json of an evaluation; None for a bundle that was not
    judged yet.
    """
    genuine, positive = description["labels"]
    thresholds = "\n".join(
        f"| {name} | {t['value']:.4f} | {t['expected_fpr']:.3f} | {t['expected_fnr']:.3f} |"
        if t["value"] is not None
        else f"| {name} | not set: {t['reason']} | | |"
        for name, t in description["thresholds"].items()
    )
    band = description["band"]
    promise = Band.from_dict(band).describe((genuine, positive)) if band else "No error rate is promised."
    scope = Scope(**description["scope"])
    metrics = "\n".join(f"| {name} | {value} |" for name, value in description["metrics"].items())
    counts = json.dumps(description["training"].get("counts", {}), indent=1)
    return f"""---
library_name: gencv
pipeline_tag: image-classification
tags: [image-classification, {description["task"]}-detection]
license: apache-2.0
---

# {description["title"]}

Says how likely a picture is **{positive}** (1) and not **{genuine}** (0). It owns its preprocessing; score
pictures with `python jobs/check.py FILES --bundle THIS_FOLDER`.

## Fitted on

Manifest `{description["training"].get("manifest", "unknown")}`. {audits.describe(description["training"].get("audit"))}

```json
{counts}
```

## On validation

| metric | value |
|---|---|
{metrics}

Thresholds, set on validation only, with the error rates measured there:

| name | threshold | false positives | false negatives |
|---|---|---|---|
{thresholds}

Calibration: {Calibrator.from_dict(description["calibrator"]).describe()}. {promise} {scope.describe()}

{on_unseen(judged)}
## Limits

The figures hold for pictures like those above. Expect worse on generators, cameras, and compression that it never saw.
"""


SHOWN = ("auroc", "balanced_accuracy", "eer", "tpr_at_fpr_1", "apcer_max", "bpcer", "ece", "cllr")
"""The metrics of a card."""
WORST = {
    "generator": ("recall", "recall on {}, the worst generator"),
    "genuine_source": ("false_positive_rate", "false positives on {}, the worst source"),
    "cell": ("balanced_accuracy", "balanced accuracy at {}, the worst degradation"),
}
"""Of what is worst: its figure, and what to call it."""


def on_unseen(judged: dict[str, Any] | None) -> str:
    """Write how a detector did on pictures that it was not fitted on, the worst beside the headline."""
    if judged is None:
        return "## On pictures that it never saw\n\nNot judged yet: `python jobs/evaluate.py` writes this card anew.\n"
    labels, counts = judged["labels"], judged["counts"]
    figures = {name: judged["metrics"][name] for name in SHOWN if name in judged["metrics"]}
    for key, (figure, title) in WORST.items():
        if row := judged["worst"][key]:
            figures[title.format(row["name"])] = row[figure]
    table = "\n".join(
        f"| {name} | {' | '.join(_number(metric[key]) for key in ('value', 'low', 'high'))} |"
        for name, metric in figures.items()
    )
    warnings = "".join(f"- {warning}\n" for warning in judged["warnings"])
    return f"""## On pictures that it never saw

{counts["answered"]:,} of {counts["rows"]:,} pictures of the {judged["split"]} split ({counts["genuine"]:,}
{labels["genuine"]}, {counts["positive"]:,} {labels["positive"]}) had an answer. The threshold is
{judged["threshold"]["name"]}; intervals are 95 %, by bootstrap over groups.

| figure | value | from | to |
|---|---|---|---|
{table}

{warnings}"""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
