import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gencv.diffusion.painter import DiffusionPainter
from gencv.diffusion.prompts import MAX_KEPT, Prompts, denied


@pytest.mark.parametrize("prompt", ["a nude CHILD", "child, (naked:1.3)", "underage_nude", "naked kids", "nude minors"])
def test_some_prompts_are_denied(prompt: str) -> None:
    assert denied(prompt)


@pytest.mark.parametrize(
    "prompt", ["", "a child with a red balloon", "a nude by Rubens", "grandchild nudeness", "kidney"]
)
def test_most_prompts_are_not(prompt: str) -> None:
    assert denied(prompt) == ""


@given(st.text(alphabet="ab c", max_size=60))
def test_what_is_cut_is_the_end_of_the_prompt(sd: DiffusionPainter, prompt: str) -> None:
    rest = sd.prompts.cut(prompt).replace(" ", "")
    letters = prompt.replace(" ", "")
    assert letters.endswith(rest)
    assert len(letters) - len(rest) == min(len(letters), 14)


def test_a_prompt_is_encoded_once(sd: DiffusionPainter) -> None:
    prompts = Prompts(sd.pipeline)
    assert prompts.encode("cat") is prompts.encode("cat")
    assert not torch.equal(prompts.encode("cat").tokens, prompts.encode("dog").tokens)
    for number in range(MAX_KEPT):
        prompts.kept[str(number), False] = prompts.kept["dog", False]
    prompts.encode("bird")
    assert ("cat", False) not in prompts.kept


def test_an_empty_negative_prompt_of_sdxl_is_zeros(sdxl: DiffusionPainter) -> None:
    empty, said = sdxl.prompts.encode("", is_negative=True), sdxl.prompts.encode("", is_negative=False)
    assert empty.pooled is not None and said.pooled is not None
    assert not empty.tokens.any() and not empty.pooled.any()
    assert said.tokens.any() and said.pooled.any()
