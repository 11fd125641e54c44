"""Look, before training, for what would make a detector look better than it is.

    python jobs/audit.py --manifest /data/runs/manifest --out /data/runs/audit
    python jobs/audit.py --manifest /data/runs/aligned --embeddings /data/runs/embeddings --out /data/runs/audited

Shortcuts (files or mere looks that tell the classes apart), leaks between splits, balance, and, with --embeddings,
near neighbours in two splits and doubtful labels. Writes audit.json and facts/, the facts of every picture.
Exit code 0: nothing forbids training; 3: the data would teach a shortcut, or leak; 2: something to mend before that.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gencv.core import storage
from gencv.core.embeddings import Embeddings
from gencv.core.errors import AuditFailed, BadInput
from gencv.core.findings import Finding, failed, verdict, worst_first
from gencv.core.manifest import Manifest
from gencv.datasets import composition, leaks
from gencv.evaluate import doubts, shortcuts
from gencv.evaluate.metrics import groups_or_rows
from gencv.pipelines.audit import gather_facts
from gencv.plots.audit import Audited, audit_report
from gencv.runs.launch import launch
from gencv.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Config:
    manifest: str
    """Folder written by manifest or preprocess: raw pictures show what their files tell, stored ones what is left."""
    out: str
    """Folder of this run: an absolute path or a URI."""
    embeddings: str = ""
    """Folder written by embed, of the same pictures: to find neighbours in two splits, and doubtful labels."""
    neighbour_cosine: float = leaks.NEIGHBOUR_COSINE
    """Cosine from which a picture and its nearest one in another split are shown."""
    seed: int = 0
    max_bad_fraction: float = 0.05
    """Fail, after finishing, if more than this share of the pictures cannot be read."""
    address: str | None = None
    """Ray cluster; default: a running one, else a local one."""
    workers: int = 0
    """Processes; default: one a CPU."""

    def __post_init__(self) -> None:
        if not self.embeddings and self.neighbour_cosine != leaks.NEIGHBOUR_COSINE:
            raise BadInput("--neighbour-cosine does nothing without --embeddings; give them, or leave it out.")


def main(config: Config, run: Run) -> None:
    manifest = Manifest.load(config.manifest, to_audit=True)
    require_auditable(manifest, config.manifest)
    embeddings = Embeddings.load(config.embeddings) if config.embeddings else None
    vectors = None if embeddings is None else vectors_of(embeddings, manifest, config.embeddings)
    inputs = {} if embeddings is None else {"embeddings": embeddings.digest()}
    run.begin(manifest=manifest.digest(), **inputs)
    facts, done = gather_facts(config.manifest, manifest, run.dir, address=config.address, workers=config.workers)
    audited = audit(manifest, facts, vectors, config)
    storage.write_bytes(run.path("audit.json"), json.dumps(to_json(audited), indent=1).encode())
    bad = [
        (uri, error)
        for uri, error in zip(manifest["uri"], facts["error"].to_pylist(), strict=True)
        if error is not None
    ]
    run.finish(
        audit_report(audited),
        counts={**manifest.counts(), "work": done},
        figures={
            "audit_digest": audited.digest,
            "verdict": verdict(audited.findings),
            **{f"{found.probe}_auroc": found.auroc.value for found in audited.shortcuts},
        },
        bad=bad,
        total=len(manifest),
    )
    if failed(audited.findings):
        raise AuditFailed(f"{verdict(audited.findings)} {run.path('report.html')} has the details.")
    print(verdict(audited.findings))


def require_auditable(manifest: Manifest, folder: str) -> None:
    """Raise BadInput unless both classes and two splits have readable pictures."""
    good = manifest.where(pc.is_null(manifest.table["error"]))
    labels, splits = set(good["label"]) - {None}, sorted(set(good["split"]))
    if not labels:
        raise BadInput(f"The pictures of {folder} have no labels; an audit compares genuine ones with positive ones.")
    if len(labels) < 2:
        one, other = ("positive", "genuine") if 1 in labels else ("genuine", "positive")
        raise BadInput(f"All labelled pictures of {folder} are {one}; an audit needs {other} ones as well.")
    if len(splits) < 2:
        raise BadInput(
            f"All pictures of {folder} lie in the split {splits[0]}; an audit looks for what stands in two splits, so "
            "give the whole manifest."
        )


def vectors_of(embeddings: Embeddings, manifest: Manifest, folder: str) -> np.ndarray:
    """Return float32 [N, D], the vector of every row of the manifest; NaN for one without. Raises BadInput.

    The pictures must be the same, in any order; labels and splits are taken from the manifest.
    """
    place = {row_id: row for row, row_id in enumerate(embeddings.manifest["id"])}
    rows = [place.get(row_id, -1) for row_id in manifest["id"]]
    if absent := rows.count(-1):
        raise BadInput(
            f"{folder} has no vectors for {absent} of {len(rows)} pictures; give the embeddings of this manifest."
        )
    return embeddings.vectors[rows]


def audit(manifest: Manifest, facts: pa.Table, vectors: np.ndarray | None, config: Config) -> Audited:
    """Put every question to the facts, in memory. facts: row by row with the manifest, as vectors are."""
    good = facts["error"].is_null().to_numpy()
    labelled = Labelled(manifest, good & manifest.table["label"].is_valid().to_numpy())
    shortcut_of, bytes_per_pixel = judge_shortcuts(labelled, facts, config.seed)
    leaking = look_for_leaks(manifest, facts, vectors, config.neighbour_cosine)
    cells = cells_of(manifest, facts, np.flatnonzero(good))
    doubted = None if vectors is None else judge_labels(manifest, good, vectors, config.seed)
    splits, uris = manifest["split"], manifest["uri"]
    findings = worst_first(
        [
            *(finding for shortcut in shortcut_of for finding in shortcuts.findings_of(shortcut)),
            *leaks.findings_of(leaking, uris, splits),
            *leaks.remarks_on_generators(manifest["generator"], manifest["label"], splits),
            *composition.findings_of(cells),
            *([] if doubted is None else doubts.findings_of(doubted, uris)),
        ]
    )
    return Audited(
        manifest=manifest,
        digest=digest_of(manifest, findings),
        findings=findings,
        shortcuts=shortcut_of,
        bytes_per_pixel=bytes_per_pixel,
        leaks=leaking,
        cells=cells,
        doubts=doubted,
    )


class Labelled:
    """Some labelled rows of a manifest as the arrays that probes take: rows int [K], and [K] of each column."""

    def __init__(self, manifest: Manifest, mask: np.ndarray) -> None:
        self.rows = np.flatnonzero(mask)
        table = manifest.table.take(pa.array(self.rows))
        self.labels = table["label"].to_numpy().astype(int)
        self.generators = np.array([str(name) for name in table["generator"].to_pylist()])
        self.groups = groups_or_rows(table["group"].to_pylist(), table["id"].to_pylist())


def judge_shortcuts(labelled: Labelled, facts: pa.Table, seed: int) -> tuple[list[shortcuts.Shortcut], float | None]:
    """Return what each probe found, and the AUROC of the bytes a pixel by themselves, where there is a verdict."""
    taken = facts.take(pa.array(labelled.rows))
    columns = {name: taken[name].to_pylist() for name in taken.column_names}
    found = [
        shortcuts.look_for_shortcut(name, columns, labelled.labels, labelled.generators, labelled.groups, seed)
        for name in shortcuts.PROBES
    ]
    if found[0].auroc.value is None:
        return found, None
    name = "bytes_per_pixel"
    return found, shortcuts.judge_fact(name, columns[name], labelled.labels, labelled.groups, seed).auroc.value


def judge_labels(manifest: Manifest, good: np.ndarray, vectors: np.ndarray, seed: int) -> doubts.Doubts:
    """Doubt the labels of the pictures that have a vector; `rows` are those of the manifest."""
    has_vector = good & ~np.isnan(vectors).any(axis=1)
    labelled = Labelled(manifest, has_vector & manifest.table["label"].is_valid().to_numpy())
    found = doubts.doubt_labels(vectors[labelled.rows], labelled.labels, labelled.groups, seed)
    return replace(found, rows=labelled.rows[found.rows])


def look_for_leaks(manifest: Manifest, facts: pa.Table, vectors: np.ndarray | None, cosine: float) -> list[leaks.Leak]:
    """Look for all that stands in two splits.

    The manifest's own perceptual hash is taken where it has one: it is that of the original picture, and what joined
    the groups, so that a manifest of ours cannot fail by a bit that a compression has turned.
    """
    splits = manifest["split"]
    hashes = [
        seen if listed is None else listed
        for listed, seen in zip(manifest["phash"], facts["phash"].to_pylist(), strict=True)
    ]
    found = [
        *leaks.copies_in_two_splits(manifest["id"], facts["digest"].to_pylist(), splits),
        leaks.same_in_two_splits("groups", manifest["group"], splits),
        leaks.near_duplicates_in_two_splits(hashes, splits),
    ]
    return found if vectors is None else [*found, leaks.neighbours_in_two_splits(vectors, splits, cosine)]


def cells_of(manifest: Manifest, facts: pa.Table, rows: np.ndarray) -> list[composition.Cell]:
    """Count the readable rows of a manifest."""
    here = pa.array(rows)
    sizes = zip(facts["width"].take(here).to_pylist(), facts["height"].take(here).to_pylist(), strict=True)
    columns = (manifest.table[name].take(here).to_pylist() for name in ("split", "label", "generator", "source"))
    return composition.compose(*columns, [min(size) for size in sizes])


def digest_of(manifest: Manifest, findings: Sequence[Finding]) -> str:
    """Digest which data were audited and what was found: what a training can name as its audit.

    Where the pictures lie does not count, so the examples do not.
    """
    said = [manifest.digest(), [[finding.level, finding.part, finding.sentence] for finding in findings]]
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


def to_json(audited: Audited) -> dict[str, Any]:
    """Return what audit.json holds: all findings and what they rest on."""
    manifest, doubted = audited.manifest, audited.doubts
    ids, uris = manifest["id"], manifest["uri"]
    return {
        "audit_digest": audited.digest,
        "manifest": manifest.digest(),
        "verdict": verdict(audited.findings),
        "fit_to_train_on": not failed(audited.findings),
        "findings": [asdict(finding) for finding in audited.findings],
        "shortcuts": [asdict(shortcut) for shortcut in audited.shortcuts],
        "bytes_per_pixel_auroc": audited.bytes_per_pixel,
        "leaks": [
            {
                "kind": leak.kind,
                "count": leak.count,
                "pairs": [[ids[one], ids[other], near] for one, other, near in leak.pairs[:1000]],
            }
            for leak in audited.leaks
        ],
        "balance": [asdict(cell) for cell in audited.cells],
        "doubts": None
        if doubted is None
        else {
            "counts": asdict(doubted.counts),
            "auroc": asdict(doubted.auroc),
            "pictures": [
                {"id": ids[row], "uri": uris[row], "own": float(own)}
                for row, own in zip(doubted.rows, doubted.own, strict=True)
            ],
        },
    }


if __name__ == "__main__":
    launch(main)
