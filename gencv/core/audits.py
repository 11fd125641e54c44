"""What an audit said of a manifest, for a bundle to carry."""

import json
from typing import Any

from gencv.core import storage
from gencv.core.errors import BadInput
from gencv.core.manifest import Manifest

FILE = "audit.json"
UNAUDITED = (
    "The training pictures were not audited for shortcuts and leaks: a figure near 1 may come from a difference in "
    "content, size, or compression."
)


def audit_of(folder: str, manifest: Manifest) -> dict[str, Any] | None:
    """Return the digest, the verdict, and whether the pictures were fit to train on; None for no folder.

    Raises BadInput if the folder holds no audit, or that of another manifest.
    """
    if not folder:
        return None
    path = storage.join(folder, FILE)
    try:
        found = json.loads(storage.read_bytes(path))
        audit = {"digest": found["audit_digest"], "verdict": found["verdict"], "fit": found["fit_to_train_on"]}
        audited = found["manifest"]
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no {FILE}; give the folder that `audit` wrote.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read: {error!r}") from None
    if audited != manifest.digest():
        raise BadInput(
            f"{folder} audited the manifest {audited}, and these pictures are {manifest.digest()}; audit the manifest "
            "that is trained on."
        )
    return audit


def describe(audit: dict[str, Any] | None) -> str:
    """Say in a sentence what is known of the training pictures."""
    return UNAUDITED if audit is None else f"Audit {audit['digest']} of the training pictures: {audit['verdict']}"
