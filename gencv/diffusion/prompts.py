"""Prompts: what a text encoder sees of them, what is too long for it, and what is not painted."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

MAX_CHARACTERS = 10_000
MAX_KEPT = 512
DENIED_PATH = Path(__file__).with_name("denied.txt")


@dataclass(frozen=True)
class Encoded:
    """A prompt as the UNet reads it."""

    tokens: torch.Tensor
    """[T, D]."""
    pooled: torch.Tensor | None
    """[P], of painters with a second text encoder."""


class Prompts:
    """The text encoders of a pipeline, asked once for every prompt."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.kept: OrderedDict[tuple[str, bool], Encoded] = OrderedDict()
        self.lock = Lock()  # a fast tokenizer raises "Already borrowed" where two threads ask it at once

    @torch.inference_mode()
    def encode(self, prompt: str, *, is_negative: bool = False) -> Encoded:
        """Encode one prompt, by itself, so that it does not depend on a batch.

        An empty negative prompt is zeros where the pipeline was trained so (SDXL).
        """
        empties = is_negative and not prompt and bool(self.pipeline.config.get("force_zeros_for_empty_prompt"))
        with self.lock:
            if (key := (prompt, empties)) in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
            found = self.pipeline.encode_prompt(
                prompt=prompt,
                device=self.pipeline.unet.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            tokens, pooled = found[0][0], found[2][0] if len(found) == 4 else None
            if empties:
                tokens, pooled = torch.zeros_like(tokens), None if pooled is None else torch.zeros_like(pooled)
            self.kept[key] = Encoded(tokens, pooled)
            if len(self.kept) > MAX_KEPT:
                self.kept.popitem(last=False)
            return self.kept[key]

    def count(self, prompt: str) -> int:
        """Return how many tokens the text encoder reads of a prompt, its first and last one among them."""
        tokenizer = self.pipeline.tokenizer
        with self.lock:
            return len(tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length)["input_ids"])

    def cut(self, prompt: str) -> str:
        """Return what the text encoder does not see of a prompt; "" where it sees all."""
        tokenizer = self.pipeline.tokenizer
        with self.lock:
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            room = tokenizer.model_max_length - 2
            return str(tokenizer.decode(ids[room:])).strip() if len(ids) > room else ""


def denied(prompt: str) -> str:
    """Return the words for which a prompt is not painted, a line of denied.txt; "" where it is painted."""
    words = set(re.findall(r"[^\W_]+", prompt.casefold()))
    words |= {word.removesuffix("s") for word in words}
    return next((" ".join(line) for line in _denied_lines() if words.issuperset(line)), "")


@cache
def _denied_lines() -> tuple[tuple[str, ...], ...]:
    lines = (line.split("#")[0].split() for line in DENIED_PATH.read_text().splitlines())
    return tuple(tuple(line) for line in lines if line)
