"""The model hub, which may be out of reach: ask once and quickly, and say where a local copy belongs."""

import functools
import hashlib
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np

from gencv.core.errors import ModelUnavailable

T = TypeVar("T")
TIMEOUT_S = 5.0
FAULTS = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, ImportError)
"""What libraries raise over weights that are damaged, of a kind they do not know, or in need of another package."""


def models_dir() -> Path:
    """Return the folder for local copies of weights: $GENCV_MODELS, else ~/.cache/gencv/models."""
    return Path(os.environ.get("GENCV_MODELS") or Path.home() / ".cache/gencv/models")


def weights_digest(weights: Iterable[tuple[str, np.ndarray]]) -> str:
    """Digest weights by name, in the order of their names; 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for name, array in weights:
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@functools.cache
def hub_is_reachable() -> bool:
    """Say whether the hub answers within TIMEOUT_S; if not, keep its client to its local cache from now on.

    The client by itself retries for 46 s before it gives up (measured, huggingface_hub 1.x without a network).
    """
    if os.environ.get("HF_HUB_OFFLINE") != "1" and answers(os.environ.get("HF_ENDPOINT", "https://huggingface.co")):
        return True
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Both libraries read the variable when they are imported, which may have happened already.
    for name in ("huggingface_hub.constants", "datasets.config"):
        if module := sys.modules.get(name):
            module.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    return False


def answers(endpoint: str) -> bool:
    """Say whether an address answers at all, in a friendly way or not."""
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def fetch(name: str, folder: Path, build: Callable[[], T], files: str = "its .safetensors file") -> T:
    """Build from the hub or its cache. Raises ModelUnavailable in one sentence within seconds."""
    reachable = hub_is_reachable()
    logging.disable(logging.ERROR)  # open_clip logs what it then raises
    try:
        return build()
    except FAULTS as error:
        why = f"the hub gave an error ({type(error).__name__})" if reachable else "the model hub cannot be reached"
        raise ModelUnavailable(f"{name} cannot be had: {why}; put {files} into {folder}.") from None
    finally:
        logging.disable(logging.NOTSET)
