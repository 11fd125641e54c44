"""Embed a manifest: decode, augment, and encode as one streaming pipeline."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gencv.core import storage
from gencv.core.contracts import Encoder
from gencv.core.embeddings import SPACE, VECTORS, vector_column, vector_schema
from gencv.core.manifest import Manifest
from gencv.images.chain import Chain
from gencv.images.preprocess import Preprocessing
from gencv.models.encoders import load_encoder
from gencv.pipelines.parts import InferPart, PartWork, map_parts
from gencv.pipelines.pixels import ReadPixels, views_of

BATCH_SIZE = {"cpu": 16, "cuda": 256}
"""Pictures in one forward pass: on a CPU larger batches fall out of its cache, on a GPU smaller ones leave it idle."""


@dataclass(frozen=True)
class BuildEncoder:
    """Load an encoder in an actor. batch_size: pictures in one forward pass, 0 for BATCH_SIZE of the device."""

    name: str
    batch_size: int

    def __call__(self, device: str, threads: int) -> InferPart:
        torch.set_num_threads(threads or torch.get_num_threads())
        encoder = load_encoder(self.name, device=device)

        def infer(part: pa.Table) -> pa.Table:
            vectors = in_batches(encoder.images, part, encoder.space.dim, self.batch_size or BATCH_SIZE[device])
            columns = {name: part[name] for name in ("id", "error", "side_px", "blur")}
            columns["vector"] = vector_column(vectors[:, 0])
            return pa.table(columns, schema=vector_schema(encoder.space.dim))

        return infer


def in_batches(infer: Callable[[np.ndarray], np.ndarray], part: pa.Table, dim: int, batch_size: int) -> np.ndarray:
    """Run all views of pictures in batches of one shape; returns float32 [N, V, D], NaN for a row with an error.

    The last batch is filled up with its own first picture, so that a network compiled or tuned for one shape sees
    no other.
    """
    views, num_views, good = views_of(part)
    vectors = np.full((len(good), num_views, dim), np.nan, np.float32)
    found = []
    for start in range(0, len(views), batch_size):
        batch = np.stack(views[start : start + batch_size])
        filled = np.concatenate([batch, np.repeat(batch[:1], batch_size - len(batch), axis=0)])
        found.append(infer(filled)[: len(batch)])
    if found:
        vectors[good] = np.concatenate(found).reshape(-1, *vectors.shape[1:])
    return vectors


def embed(
    manifest_dir: str,
    manifest: Manifest,
    encoder: Encoder,
    out: str,
    *,
    augment: Preprocessing | None = None,
    batch_size: int = 0,
    address: str | None = None,
    workers: int = 0,
) -> dict[str, Any]:
    """Write the embeddings of every row of a manifest into `out`; returns what map_parts does.

    encoder: as loaded here; every actor loads its own by the same name.
    """
    done = map_parts(
        PartWork(
            name="embed",
            out_dir=storage.join(out, VECTORS),
            num_parts=manifest.num_parts,
            prepare=ReadPixels(
                manifest_dir, Chain(None, encoder.transform), manifest.preprocessing is not None, augment
            ),
            build=BuildEncoder(encoder.space.encoder, batch_size),
        ),
        address=address,
        workers=workers,
    )
    preprocessing = augment.to_dict() if augment else manifest.preprocessing
    space = replace(encoder.space, preprocessing=preprocessing)
    manifest.save(out)
    storage.write_bytes(storage.join(out, SPACE), json.dumps(space.to_dict(), indent=1).encode())
    return done
