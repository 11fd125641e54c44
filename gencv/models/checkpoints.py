"""The state of a training as two files: tensors as safetensors, all else as JSON. No pickle is written or read."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from gencv.core.errors import BadInput

TENSORS = "state.safetensors"
FACTS = "state.json"


def save_state(state: dict[str, Any], folder: Path) -> None:
    """Write nested dicts and lists of tensors, numbers, and texts."""
    tensors: dict[str, torch.Tensor] = {}
    facts = _take_out(state, "", tensors)
    (folder / TENSORS).write_bytes(save_tensors(tensors))
    (folder / FACTS).write_text(json.dumps(facts))


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, tensors on the CPU. Raises BadInput for a folder that holds something else."""
    try:
        facts = json.loads((folder / FACTS).read_text())
        state = _put_back(facts, load_tensors((folder / TENSORS).read_bytes()))
        if not isinstance(facts, list) or not isinstance(state, dict):
            raise ValueError(f"{FACTS} holds no nested state")
        return state
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise BadInput(
            f"{folder} is no checkpoint of a fine-tuning ({FACTS} and {TENSORS}; pickles are not read): {error}"
        ) from None


def _take_out(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace every tensor by a list that names its place among `tensors`; the number keeps two of a path apart."""
    if isinstance(value, torch.Tensor):
        name = f"{len(tensors)}{path}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return [name, "tensor"]
    if isinstance(value, dict):
        # JSON has no whole numbers as keys, which optimizers number their parameters by.
        return [[key, _take_out(item, f"{path}/{key}", tensors)] for key, item in value.items()] + ["dict"]
    if isinstance(value, list | tuple):
        return [_take_out(item, f"{path}/{place}", tensors) for place, item in enumerate(value)] + ["list"]
    return value


def _put_back(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        *items, kind = value
        if kind == "tensor":
            return tensors[items[0]]
        if kind == "dict":
            return {key: _put_back(item, tensors) for key, item in items}
        return [_put_back(item, tensors) for item in items]
    return value
