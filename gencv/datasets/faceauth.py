"""The spreadsheet of FACEAUTH, out and in, with its conventions turned into ours.

Two of its words mean something else here. Its `target` is 1 for a real picture; our `label` is 1 for a fake one. Its
`test` serves decisions during training, so it is our val; its `dev` is untouched until the end, so it is our test.
Read it with `table:FILE.xlsx?convention=faceauth`.
"""

import io
import posixpath
from collections.abc import Mapping
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadInput, BadSource
from gencv.core.manifest import Manifest
from gencv.core.record import Split
from gencv.core.words import label_of

COLUMNS = ("image_path", "destination_path", "folder", "split", "target_class", "target", "label")
THEIR_SPLIT = {Split.TRAIN: "train", Split.VAL: "test", Split.TEST: "dev"}
OUR_SPLIT = {theirs: ours for ours, theirs in THEIR_SPLIT.items()}
CONVENTIONS = (
    ("column", "meaning"),
    ("image_path", "the original picture"),
    ("destination_path", "where a copy for training goes"),
    ("folder", "the generator; a camera for real pictures"),
    ("split", "FACEAUTH's words: train; test decides during training (gencv: val); dev is the last test (gencv: test)"),
    ("target_class", "real or fake"),
    ("target", "FACEAUTH's number: 1 = real, 0 = fake"),
    ("label", "gencv's number: 1 = fake, 0 = real"),
)
MAX_ROWS = 1_048_575
"""What one sheet of a workbook holds beside its header."""


def write_spreadsheet(manifest: Manifest, path: str, destination_dir: str) -> None:
    """Write a manifest as XLSX: a first sheet of COLUMNS, one row a good picture, and a sheet that says what they mean.

    destination_dir: what the `destination_path`s start with; nothing is copied. They read SPLIT/FOLDER/ID and the
    suffix of the original. Rows with an error are left out: they have no split. Raises BadInput above MAX_ROWS rows.
    """
    import openpyxl

    good = [
        row
        for row in manifest.table.select(["id", "uri", "generator", "split", "label", "error"]).to_pylist()
        if row["error"] is None
    ]
    if len(good) > MAX_ROWS:
        raise BadInput(f"{path} would need {len(good)} rows; a spreadsheet holds {MAX_ROWS}, so use manifest.parquet.")
    book = openpyxl.Workbook(write_only=True)
    sheet, conventions = book.create_sheet("pictures"), book.create_sheet("conventions")
    sheet.append(COLUMNS)
    for row in good:
        sheet.append(_theirs(row, destination_dir))
    for line in CONVENTIONS:
        conventions.append(line)
    buffer = io.BytesIO()
    book.save(buffer)
    storage.write_bytes(path, buffer.getvalue())


def ours(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the spreadsheet with `label` and `split` as we mean them.

    The label comes from `target`, or where that is empty from `target_class` or `label`. Raises BadSource if these
    disagree, as then one of them was written the other way round, or if a value is none of the convention's.
    """
    target = label_of(row.get("target"))
    said = {
        "target": None if target is None else 1 - target,
        "target_class": label_of(row.get("target_class")),
        "label": label_of(row.get("label")),
    }
    labels = {name: label for name, label in said.items() if label is not None}
    if len(set(labels.values())) > 1:
        raise BadSource(
            f"The spreadsheet contradicts itself for {row.get('image_path')}: as gencv labels, "
            + ", ".join(f"{name} says {label}" for name, label in labels.items())
            + "."
        )
    split = row.get("split")
    if split not in (None, "") and str(split).lower() not in OUR_SPLIT:
        raise BadSource(f"The split {split!r} is none of FACEAUTH's; known: {', '.join(OUR_SPLIT)}.")
    return {
        **row,
        "label": next(iter(labels.values()), None),
        "split": OUR_SPLIT[str(split).lower()].value if split not in (None, "") else None,
    }


def _theirs(row: Mapping[str, Any], destination_dir: str) -> tuple[Any, ...]:
    split = THEIR_SPLIT[Split(row["split"])] if row["split"] else None
    label = row["label"]
    suffix = posixpath.splitext(row["uri"])[1]
    # A uri such as starter:coffee#03/print has no suffix, and hf:owner/v1.5/train#3 none that is a file's.
    name = row["id"] + (suffix if suffix[1:].isalpha() else "")
    return (
        row["uri"],
        storage.join(destination_dir, split or "unassigned", row["generator"], name),
        row["generator"],
        split,
        None if label is None else "fake" if label else "real",
        None if label is None else 1 - label,
        label,
    )
