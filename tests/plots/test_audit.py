import io

import numpy as np
from fakes import manifest
from PIL import Image

from gencv.core.findings import Finding, Level
from gencv.datasets.composition import compose
from gencv.datasets.leaks import Leak
from gencv.evaluate.folds import enough
from gencv.evaluate.metrics import Metric
from gencv.evaluate.shortcuts import Shortcut
from gencv.plots.audit import Audited, audit_report, draw_facts
from gencv.plots.look import to_png


def test_the_page_starts_with_the_verdict_and_names_what_has_none() -> None:
    counts = enough(np.array([0, 1]), np.arange(2))
    pictures = manifest(4)
    audited = Audited(
        manifest=pictures,
        digest="d",
        findings=[Finding(level=Level.FAIL, part="leaks", sentence="Two of them are one.")],
        shortcuts=[Shortcut(probe="container", counts=counts, auroc=Metric(None, reason="too few pictures"))],
        bytes_per_pixel=None,
        leaks=[Leak(kind="neighbours", count=1, pairs=((0, 1, 0.99),))],
        cells=compose(["train"], [0], ["camera"], ["x"], [64]),
        doubts=None,
    )
    page = audit_report(audited).html()
    assert page.index("for one reason: Two of them are one.") < page.index("What was found")
    assert "No verdict: too few pictures." in page and "needs --embeddings" in page


def test_bars_of_facts_fit_whatever_their_number() -> None:
    for num in (1, 16):
        png = to_png(draw_facts([("all", 0.9, True), *[("width", 0.4, False)] * num]))
        assert Image.open(io.BytesIO(png)).width > 900
