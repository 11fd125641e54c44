"""Data sets of the Hugging Face hub, or local copies of them, in their original bytes.

    hf:Hemg/cifake-real-and-ai-generated-synthetic-images?dataset_split=train
    hf:/data/cifake        what Dataset.save_to_disk wrote, or a folder of Parquet or of class folders

Options beside the common ones: dataset_split=NAME, the hub's own split (else the one that split= names, else all, each
with the split that its name says); image_column=, label_column=, generator_column=, family_column=, group_column=,
split_column=, caption_column=; positive=NAME[,NAME] names the labels that are 1, all others being 0.
A label of the hub is read by its name, as `FAKE` may well be its number 0.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from gencv.core.errors import BadSource
from gencv.core.hub import hub_is_reachable
from gencv.core.record import ImageRecord
from gencv.core.words import SPLIT_OF, label_of
from gencv.datasets import columns
from gencv.datasets.source import Source


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the pictures of a data set in its order, split by split, without decoding them.

    Raises BadSource if it cannot be had, or has no pictures, labels, or splits that are understood.
    """
    source.accept(*columns.OPTIONS, "dataset_split")
    is_local = Path(source.root).is_dir()
    root = source.root if is_local else source.location
    splits = _load_local(root) if is_local else _load_hub(root)
    for name in _chosen(source, list(splits)):
        yield from _records(source, root, name, splits[name])


def _records(source: Source, root: str, split: str, dataset: Any) -> Iterator[ImageRecord]:
    from datasets import ClassLabel, Image

    features = dataset.features
    source = _with_columns(source, features)
    found = columns.find_columns(source, list(features))
    names: list[str] | None = None
    if "label" in found and isinstance(features[found["label"][0]], ClassLabel):
        names = list(features[found["label"][0]].names)
        _check_labels(source, names)
    for column in found["image"]:
        if isinstance(features[column], Image):
            dataset = dataset.cast_column(column, Image(decode=False))  # the file itself is what we want

    def label_text(value: Any) -> Any:
        return value if names is None else None if value is None or value < 0 else names[value]

    rows = dataset.select_columns(list(dict.fromkeys(chain(*found.values()))))
    for record in columns.records(
        source, rows, found, folder=root, name_of=lambda index: f"hf:{root}/{split}#{index}", label_text=label_text
    ):
        # A file that is neither here nor in the row is behind the hub's file system, hf:// or an archive there.
        if record.data is None and "://" in record.uri:
            record = replace(record, data=_fetch(record.uri))
        yield replace(record, split=record.split or SPLIT_OF.get(split.lower()))


def _load_local(root: str) -> dict[str, Any]:
    """Return the splits of a local copy by name."""
    import datasets

    try:
        if any(Path(root, name).is_file() for name in ("state.json", "dataset_dict.json")):
            loaded = datasets.load_from_disk(root)
        else:
            loaded = datasets.load_dataset(root, streaming=True)
    except Exception as error:  # datasets raises errors of its own, of pyarrow, of fsspec, and of Python
        raise BadSource(f"{root} is no data set that `datasets` can load: {_first_line(error)}") from None
    return dict(loaded) if isinstance(loaded, dict) else {str(loaded.split or "all"): loaded}


def _load_hub(name: str) -> dict[str, Any]:
    """Return the splits of a data set on the hub by name, streamed."""
    reachable = hub_is_reachable()
    try:
        import datasets

        return dict(datasets.load_dataset(name, streaming=True))
    except Exception as error:  # the hub's client raises errors of four libraries, and every one means the same here
        why = _first_line(error) if reachable else "it cannot be reached"
        raise BadSource(
            f"The data set {name!r} is no folder here and cannot be had from the hub ({why}); put "
            f"a local copy into a folder such as {Path(name.rpartition('/')[2]).absolute()}, and give that: hf:FOLDER."
        ) from None


def _chosen(source: Source, splits: list[str]) -> list[str]:
    """Return the names of the splits to read, in the data set's order."""
    name = source.options.get("dataset_split")
    if name is not None:
        if name not in splits:
            raise BadSource(f"{source} has no split {name!r}; it has {', '.join(splits)}.")
        return [name]
    ours = SPLIT_OF.get(source.options.get("split", ""))
    if ours is None or len(splits) == 1:
        return splits
    named = [split for split in splits if SPLIT_OF.get(split.lower()) == ours]
    if not named:
        raise BadSource(f"{source} has no split for {ours}; it has {', '.join(splits)}: say which with dataset_split=.")
    return named


def _with_columns(source: Source, features: dict[str, Any]) -> Source:
    """Fill in the columns that the features give away, whatever they are called."""
    from datasets import ClassLabel, Image

    options = dict(source.options)
    images = [name for name, feature in features.items() if isinstance(feature, Image)]
    classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    if images:
        options.setdefault("image_column", images[0])
    if len(classes) == 1 and not set(features) & set(columns.COLUMNS["label"]):
        options.setdefault("label_column", classes[0])
    return replace(source, options=options)


def _check_labels(source: Source, names: list[str]) -> None:
    """Raise BadSource if the class names do not say which is genuine, before the first picture is read."""
    positive = source.names("positive")
    if "label" in source.options:
        return
    absent = {name.lower() for name in positive} - {name.lower() for name in names}
    if absent:
        raise BadSource(f"{source} has no class {sorted(absent)[0]!r}; it has {', '.join(names)}.")
    for name in names:
        try:
            label_of(name, positive)
        except BadSource:
            raise BadSource(
                f"{source} has the classes {', '.join(names[:12])}, which do not all say what is genuine; name those "
                "that are label 1 with positive=NAME,NAME, or set label=0, 1, or none."
            ) from None


def _fetch(uri: str) -> bytes | None:
    """Return a file's bytes through the file system that its address names, or None."""
    import fsspec

    try:
        with fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
