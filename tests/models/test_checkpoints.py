import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gencv.core.errors import BadInput
from gencv.models.checkpoints import FACTS, TENSORS, load_state, save_state

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
tensors = st.builds(
    lambda shape, dtype, seed: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
keys = st.text(max_size=4) | st.integers(0, 20) | st.sampled_from(["a", "a/b", "b", "tensor", "dict"])
states = st.dictionaries(
    keys,
    st.recursive(
        tensors | scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_size=4,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=60, deadline=None)
@given(states)
def test_any_state_comes_back(state: dict[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_state(state, Path(folder))
        assert sorted(path.name for path in Path(folder).iterdir()) == [FACTS, TENSORS]
        assert same(state, load_state(Path(folder)))


def test_texts_and_names_that_look_like_our_own_marks_come_back(tmp_path: Path) -> None:
    state = {
        "tensor:x": "tensor:y",
        "a/b": torch.zeros(1),
        "a": {"b": torch.ones(1)},
        1: torch.full((1,), 2.0),
        "1": torch.full((1,), 3.0),
        "list": ["x", "tensor"],
    }
    save_state(state, tmp_path)
    assert same(state, load_state(tmp_path))


def test_an_optimizer_goes_on_from_its_state(tmp_path: Path) -> None:
    def steps(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weight**3).sum().backward()
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(2, 3).t())  # not contiguous
    steps(torch.optim.AdamW([whole], lr=0.1), whole, 5)
    first = torch.nn.Parameter(torch.ones(2, 3).t())
    before = torch.optim.AdamW([first], lr=0.1)
    steps(before, first, 2)
    save_state({"optimizer": before.state_dict(), "weight": first}, tmp_path)
    state = load_state(tmp_path)
    second = torch.nn.Parameter(state["weight"])
    after = torch.optim.AdamW([second], lr=7.0)
    after.load_state_dict(state["optimizer"])
    steps(after, second, 3)
    assert torch.equal(second, whole)


class Harmful:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("file", [FACTS, TENSORS])
@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"number": 1}),
        pickle.dumps(Harmful()),
        b"",
        b"\xff\x00garbage",
        b"{}",
        b"3",
        b"null",
        b"[]",
        b'["tensor"]',
        b'["no such tensor", "tensor"]',
        b'[1, "dict"]',
        b'["a", "list"]',
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(data: bytes, file: str, tmp_path: Path) -> None:
    save_state({"weight": torch.zeros(2)}, tmp_path)
    (tmp_path / file).write_bytes(data)
    with pytest.raises(BadInput, match="no checkpoint of a fine-tuning") as caught:
        load_state(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "state.pt")
    with pytest.raises(BadInput, match="pickles are not read"):
        load_state(tmp_path)


def test_the_facts_are_json_for_people(tmp_path: Path) -> None:
    save_state({"history": [{"val_auroc": 0.5}], "weight": torch.zeros(2)}, tmp_path)
    assert "val_auroc" in json.dumps(json.loads((tmp_path / FACTS).read_text()))
