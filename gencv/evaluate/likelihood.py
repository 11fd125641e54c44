"""The cost of the log-likelihood ratio, Cllr, under row weights, for many replicates at once.

Cllr judges what a score says beyond the prior, in bits: 0 is perfect, 1 tells nothing, and more than 1 misleads. Both
classes count alike. Source: Brümmer and du Preez 2006, Application-independent evaluation of speaker detection.
"""

import numpy as np


def costs(labels: np.ndarray, logits: np.ndarray, prior: float) -> np.ndarray:
    """float64 [N]: the cost of each row's likelihood ratio in bits, log2(1 + 1 / LR) or log2(1 + LR).

    ln LR = logit - logit(prior); prior: the share of positives that the scores take for granted, in (0, 1).
    """
    ratios = logits - (np.log(prior) - np.log1p(-prior))
    return np.asarray(np.logaddexp(0, np.where(labels == 1, -ratios, ratios)) / np.log(2))


def cllr(weights: np.ndarray, labels: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Half the mean cost of positives and half that of genuine rows, NaN without a class; weights [R, N] to [R]."""
    members = np.column_stack([labels == 1, labels == 0]).astype(float)
    with np.errstate(invalid="ignore"):
        means = (weights @ (members * costs[:, None])) / (weights @ members)
    return np.asarray(means.mean(axis=1))


def cllr_min(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """The least Cllr that any rising change of the scores can reach, by pooling adjacent violators. Returns [R].

    tp, fp: [R, U] as in `replicates`. A pool with shares t of the positives and f of the genuine rows has the ratio
    t / f, so its rows cost t log2(1 + f / t) + f log2(1 + t / f). Source: Brümmer and du Preez 2013, arXiv:1304.2331.
    """
    from scipy.optimize import isotonic_regression

    with np.errstate(invalid="ignore"):
        shares = [np.diff(table, axis=1, prepend=0) / table[:, -1:] for table in (tp, fp)]
    found = np.full(len(tp), np.nan)
    for row, (t, f) in enumerate(zip(*shares, strict=True)):
        drawn = t + f > 0
        if not drawn.any():  # a replicate without a class: its shares are NaN
            continue
        t, f = t[drawn], f[drawn]
        starts = isotonic_regression(t / (t + f), weights=t + f, increasing=False).blocks[:-1]
        t, f = np.add.reduceat(t, starts), np.add.reduceat(f, starts)
        found[row] = (_bits(t, t + f) + _bits(f, t + f)).sum() / 2
    return found


def _bits(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part * log2(whole / part), 0 where part is 0."""
    return np.asarray(part * np.log2(np.divide(whole, part, out=np.ones_like(part), where=part > 0)))
