"""Rerankers by name: how well a text and a picture match, as one network sees them together.

    Salesforce/blip-itm-base-coco     BLIP's image-text matching; also -large-coco, -base-flickr, -large-flickr
    /data/models/blip                 the path of a local folder of one

Weights come from a local folder if it is there (`models_dir()/transformers/ID/` with all files of the hub's), else from
the hub. Pickled weights are never read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gencv.core.contracts import Reranker
from gencv.core.errors import BadInput, UnknownName
from gencv.models.encoders import pick_device
from gencv.models.networks import find_published

BATCH_SIZE = 10
FILES = "config.json, model.safetensors, and the files of its image processor and tokenizer"
ENCODE_ID = 30_523
"""The token [ENC], the last of BLIP's 30,524. Trained and judged as reranker, the network has it first in a text (Li et
al. 2022, arXiv:2201.12086; train_retrieval.py of github.com/salesforce/BLIP); transformers' tokenizer does not know it
and begins with [CLS]."""


def load_reranker(name: str, *, device: str = "auto") -> Reranker:
    """Return the reranker of that name on a device ("auto" is the GPU where there is one).

    Raises UnknownName for a name that means nothing, ModelUnavailable where the weights cannot be had, BadInput for a
    folder that holds something else.
    """
    if not name.partition("/")[2]:
        raise UnknownName("reranker", name, [*PUBLISHED, "ORGANISATION/NAME or /FOLDER (transformers, BLIP)"])
    return load_blip(name, pick_device(device))


class Blip:
    """BLIP's image-text matching: a text encoder that attends to the picture, and a head with two outputs."""

    def __init__(self, name: str, network: Any, processor: Any, device: str) -> None:
        self.name, self.processor, self.device = name, processor, device
        self.network = network.eval().to(device)

    def scores(self, text: str, images: Sequence[np.ndarray]) -> np.ndarray:
        tokens = self.tokens(text)
        starts = range(0, len(images), BATCH_SIZE)
        found = [self._matches(tokens, images[start : start + BATCH_SIZE]) for start in starts]
        return np.concatenate([np.empty(0, np.float32), *found])

    def tokens(self, text: str) -> torch.Tensor:
        """Return a text as int64 [1, T]; what is longer than the network's table of places is cut off."""
        sizes = self.network.config.text_config
        found = self.processor.tokenizer(
            text, truncation=True, max_length=sizes.max_position_embeddings, return_tensors="pt"
        )
        ids: torch.Tensor = found["input_ids"]
        if sizes.vocab_size == ENCODE_ID + 1:
            ids[:, 0] = ENCODE_ID
        return ids.to(self.device)

    def _matches(self, tokens: torch.Tensor, images: Sequence[np.ndarray]) -> np.ndarray:
        """T tokens int64 [1, T] and B pictures -> float32 [B]."""
        prepare = self.processor.image_processor
        pixels = prepare(list(images), input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        with torch.inference_mode():  # in fp32: bf16 has steps of .03 in a logit of 5, and ties what fits well
            output = self.network(input_ids=tokens.expand(len(images), -1), pixel_values=pixels.to(self.device))
            return np.asarray(torch.softmax(output.itm_score.float(), dim=1)[:, 1].cpu().numpy())


def load_blip(name: str, device: str) -> Blip:
    """Load BLIP with its matching head; weights that lack one, as a captioner's, are refused, not filled at random."""
    from transformers import BlipForImageTextRetrieval, BlipProcessor

    published = find_published(name, "BLIP for image-text matching")
    published.require_safetensors()

    def build() -> Blip:
        how: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True, "dtype": torch.float32}
        made: Any = BlipForImageTextRetrieval.from_pretrained(published.place, **how)
        network, loaded = made
        if lacking := sorted(loaded["missing_keys"]):
            raise BadInput(f"{published.place} has no weights of {lacking[0]}; BLIP for image-text matching has them.")
        processor = BlipProcessor.from_pretrained(published.place)
        if len(processor.tokenizer) == len(processor.tokenizer.all_special_ids):  # what it is without a file
            raise BadInput(f"{published.place} has no words for its tokenizer; tokenizer.json or vocab.txt has them.")
        return Blip(name, network, processor, device)

    return published.get(build, FILES)


PUBLISHED = tuple(f"Salesforce/blip-itm-{size}-{data}" for size in ("base", "large") for data in ("coco", "flickr"))
"""Fitted on COCO or Flickr30k, whose pictures it must not be judged on."""
