"""Photographs with captions in COCO's own JSON.

    coco:/data/coco/annotations/captions_val2017.json?images=/data/coco/val2017
    coco:/data/coco                                    holds captions.json or annotations/captions_*.json

Options beside the common ones: images=DIR, where the pictures lie; else `images`, or the folder named as the JSON's
data set, is looked for beside the JSON and above it. Pictures are label 0, generator camera, unless an option says
otherwise.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadSource
from gencv.core.record import ImageRecord
from gencv.datasets.source import Source


def read(source: Source) -> Iterator[ImageRecord]:
    """Yield the pictures in order of their COCO id, each with its captions in order of theirs.

    Raises BadSource if there is no such JSON, or the folder of the pictures cannot be told.
    Source: cocodataset.org, "Data format", sections 1 and 5.
    """
    source.accept("images")
    path = _annotations(source.root)
    images, captions = _load(path)
    if not images:
        raise BadSource(f"{path} names no pictures.")
    folder = _images_dir(source, path, str(images[0]["file_name"]))
    for image in images:
        yield ImageRecord(
            uri=storage.join(folder, str(image["file_name"])),
            label=0,
            generator=source.options.get("generator", "camera"),
            caption=tuple(captions.get(image["id"], ())),
        )


def _annotations(root: str) -> str:
    """Return where the JSON lies: `root` itself, or the only one in it."""
    if root.lower().endswith(".json"):
        return root
    found = [storage.join(root, "captions.json")] if storage.exists(storage.join(root, "captions.json")) else []
    for folder in (root, storage.join(root, "annotations")) if not found else ():
        names = [name for name in storage.names_in(folder) if name.startswith("captions_") and name.endswith(".json")]
        found += [storage.join(folder, name) for name in names]
    if len(found) != 1:
        held = ", ".join(found) if found else "no captions.json and no annotations/captions_*.json"
        raise BadSource(f"{root} holds {held}; give the JSON itself, as in coco:FOLDER/captions.json.")
    return found[0]


def _load(path: str) -> tuple[list[dict[str, Any]], dict[int, list[str]]]:
    """Return the images by id, and the captions of each image id."""
    try:
        content = json.loads(storage.read_bytes(path))
        images = sorted(content["images"], key=lambda image: image["id"])
        captions: dict[int, list[str]] = {}
        for note in sorted(content.get("annotations", ()), key=lambda note: note["id"]):
            # Instances and keypoints have the same shape and no captions.
            if "caption" in note:
                captions.setdefault(note["image_id"], []).append(str(note["caption"]).strip())
        if not all("file_name" in image for image in images):
            raise KeyError("file_name")
    except OSError:
        raise BadSource(f"{path} is not there or cannot be read.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSource(f"{path} is no COCO JSON with images (id, file_name) and annotations ({error!r}).") from None
    return images, captions


def _images_dir(source: Source, path: str, first: str) -> str:
    """Return the folder that holds the first picture."""
    folder, _, name = path.rpartition("/")
    parent = folder.rpartition("/")[0]
    subset = name.removesuffix(".json").partition("_")[2]
    if "images" in source.options:
        told = source.options["images"]
        tried = [told if storage.is_uri(told) else str(Path(told).absolute())]
    else:
        tried = [f"{folder}/images", f"{parent}/images", f"{parent}/{subset}", f"{folder}/{subset}", folder]
    for candidate in tried:
        if storage.exists(storage.join(candidate, first)):
            return candidate
    raise BadSource(f"{first} of {path} lies in none of {', '.join(dict.fromkeys(tried))}; say where with images=DIR.")
