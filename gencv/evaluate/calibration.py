"""From a detector's scores to probabilities that can be believed, by a fit to validation rows and to nothing else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gencv.core.calibrator import Calibrator, logits_of, probabilities_of
from gencv.core.errors import UnknownName
from gencv.evaluate.metrics import ONE_CLASS
from gencv.evaluate.validation import ALL_EQUAL, Validation, warning

END_SLOPE = 0.1
"""How much isotonic calibration still rises, logit per logit, where no validation picture says how."""
LEAST_SLOPE = 1e-3
"""Platt's slope is kept above this, in units of the logits' spread: below it the ranking would turn."""
FARTHEST = 12.0
"""A logit that sharpening moves no validation picture beyond, so that others have room: as float32 a score tells logits
of 12 apart by .01, those above 16 hardly, and from 17.3 on it is 1."""

# scipy.optimize is imported where it is used: scoring with a fitted calibrator need not pay the second that it takes.


def fit_calibrator(val: Validation, kind: str) -> Calibrator:
    """Fit a kind of CALIBRATIONS to the uncalibrated scores of validation rows. A row without an answer is left out.

    With one class only, or with equal scores, there is nothing to fit: the calibrator changes nothing, and its `reason`
    says why. Raises UnknownName.
    """
    if kind not in CALIBRATIONS:
        raise UnknownName("calibration", kind, CALIBRATIONS)
    labels, scores = val.labels_and_scores()
    num_genuine, num_positive = int((labels == 0).sum()), int((labels == 1).sum())
    counted = Calibrator(num_genuine=num_genuine, num_positive=num_positive)
    if min(num_genuine, num_positive) == 0:
        return replace(counted, reason=f"not fitted: {ONE_CLASS}")
    counted, logits = replace(counted, prior=float(labels.mean())), logits_of(scores)
    if np.ptp(logits) == 0:
        return replace(counted, reason=f"not fitted: {ALL_EQUAL}")
    fitted = CALIBRATIONS[kind](labels, logits)
    reason = "; ".join(filter(None, [fitted.reason, warning(num_genuine, num_positive)]))
    return replace(counted, kind=kind, knots=fitted.knots, heights=fitted.heights, slope=fitted.slope, reason=reason)


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> Calibrator:
    """Divide logits [N] by the number of least NLL. Source: Guo et al. 2017, arXiv:1706.04599."""
    from scipy.optimize import minimize_scalar

    signed = np.where(labels == 1, 1, -1) * logits
    # In 1 / T the NLL is convex, so that a bounded search finds its only minimum.
    low, high = 0.02, float(np.clip(FARTHEST / np.abs(logits).max(), 1, 50))
    found = minimize_scalar(
        lambda sharpness: np.logaddexp(0, -signed * sharpness).mean(),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-7},
    )
    at_edge = found.x > 0.999 * high or found.x < 1.001 * low
    told = "the scores separate the classes, tell nothing, or reach too far to be sharpened"
    reason = f"at the edge of the search: {told}" if at_edge else ""
    return Calibrator(slope=float(found.x), reason=reason)


def fit_platt(labels: np.ndarray, logits: np.ndarray) -> Calibrator:
    """Fit slope and offset of the logits [N] by least NLL against labels drawn in by one picture of each class.

    So it stays finite where the classes are separate; where they nearly touch, FARTHEST keeps it from being steep.
    Source: Platt 1999, with the targets of his section 2.2.
    """
    from scipy.optimize import minimize

    num_positive, num_genuine = (labels == 1).sum(), (labels == 0).sum()
    targets = np.where(labels == 1, (num_positive + 1) / (num_positive + 2), 1 / (num_genuine + 2))
    centre, spread = logits.mean(), logits.std()
    steps = (logits - centre) / spread

    def loss(given: np.ndarray) -> tuple[float, np.ndarray]:
        told = given[0] * steps + given[1]
        off = probabilities_of(told) - targets
        return float((np.logaddexp(0, told) - targets * told).mean()), np.array([(off * steps).mean(), off.mean()])

    start = np.array([1.0, np.log(num_positive / num_genuine)])
    bounds = [(LEAST_SLOPE, max(spread, FARTHEST / np.abs(steps).max())), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    reason = "the scores do not rise with the label" if found.x[0] <= LEAST_SLOPE else ""
    return Calibrator(knots=(centre,), heights=(found.x[1],), slope=found.x[0] / spread, reason=reason)


def fit_isotonic(labels: np.ndarray, logits: np.ndarray) -> Calibrator:
    """Pool adjacent violators, and join the centres of the pools by straight lines in the logits.

    Plain isotonic regression is a staircase, whose steps would make ties of pictures that the detector ranks; joined
    at the centres it rises everywhere, and beyond them by END_SLOPE. One positive more at the lowest logit and one
    genuine picture more at the highest keep every probability off 0 and 1. Source: Zadrozny and Elkan 2002; centred as
    in Oron and Flournoy 2017, arXiv:1701.05964; the two pictures as Laplace's rule.
    """
    from scipy.optimize import isotonic_regression

    places, codes, counts = np.unique(logits, return_inverse=True, return_counts=True)
    positive, weights = np.bincount(codes, labels), counts.astype(float)
    positive[0] += 1
    weights[[0, -1]] += 1
    pooled = isotonic_regression(positive / weights, weights=weights).x
    levels, pools = np.unique(np.round(pooled, 12), return_inverse=True)
    centres = np.bincount(pools, places * counts) / np.bincount(pools, counts)
    reason = "the scores do not rise with the label" if len(levels) == 1 else ""
    return Calibrator(
        knots=tuple(centres), heights=tuple(np.log(levels) - np.log1p(-levels)), slope=END_SLOPE, reason=reason
    )


CALIBRATIONS: dict[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
"""By name: labels 0 or 1 [N] and logits [N], of both classes and not all equal, to a calibrator."""
