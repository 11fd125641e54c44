"""Train the starter painter: a small text-conditioned pipeline in the diffusers folder format, 64 px, on a CPU.

    npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
    python -m gencv.diffusion.train_starter --art package --out /data/runs/starter --minutes 60

The same command goes on from the last checkpoint. OUT/pipeline is the painter so far: the average of the weights over
the training (EMA), which any diffusers pipeline opens. OUT/history.jsonl has a line a minute.
Choices: an autoencoder of 64 px to 16 x 16 x 4, first and alone, so that the rest works on few numbers; v-prediction
(Salimans and Ho 2022, arXiv:2202.00512) on the cosine schedule, whose last step is all but noise, so that plain
backgrounds come out; the text encoder is trained with the UNet; one caption in ten is left out for guidance.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gencv.core.seeds import rng_for
from gencv.diffusion.starter_pictures import BACKGROUNDS, HUES, SIZE_PX, Art, caption_for, names

MAX_TOKENS = 24
LATENT_CHANNELS = 4
EMA_DECAY = 0.999
PEAK_RATE = 3e-3
"""Of the autoencoder's training; it falls to nothing by the end."""
DROPPED_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Config:
    art: Path
    """The unpacked npm package emoji-datasource-google."""
    out: Path
    """Folder of checkpoints and of the pipeline."""
    minutes: float = 60.0
    """How long to train the UNet, over all calls; its learning rate falls to nothing by then."""
    autoencoder_minutes: float = 10.0
    """How long to train the autoencoder, over all calls."""
    num_pictures: int = 12_000
    """Pictures that are composed and encoded once; the painter sees them again and again."""
    batch_size: int = 32
    learning_rate: float = 1e-3
    checkpoint_s: float = 60.0
    seed: int = 0


def main(config: Config) -> None:
    torch.manual_seed(config.seed)
    config.out.mkdir(parents=True, exist_ok=True)
    art = Art(config.art)
    autoencoder = train_autoencoder(art, config)
    latents, captions = encode_pictures(art, autoencoder, config)
    train_painter(latents, captions, autoencoder, config)


# The parts ------------------------------------------------------------------------------------------------------------


def make_tokenizer() -> CLIPTokenizer:
    """Return a tokenizer of whole words for every caption; another word falls into pieces, down to its bytes."""
    words = [*names(), *HUES, *BACKGROUNDS, "a an on the of in with and background picture photo drawing plain"]
    made = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    made.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.BPEDecoder()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        initial_alphabet=alphabet,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    made.train_from_iterator(words, trainer)
    state = json.loads(made.to_str())["model"]
    vocabulary = dict(state["vocab"])
    for letter in sorted(alphabet):  # a word's last byte is a token of its own, or the word ends the text
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    merges: Any = [tuple(pair) for pair in state["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    sizes: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            num_hidden_layers=2,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=128,
            pad_token_id=tokenizer.pad_token_id,
            **sizes,
            **ends,
        )
    )


def make_autoencoder() -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 48),
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE_PX,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        force_upcast=False,
    )


def make_unet() -> Any:
    return UNet2DConditionModel(
        sample_size=SIZE_PX // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 144),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=128,
        attention_head_dim=(3, 3, 3),  # how many heads, in spite of its name
        use_linear_projection=True,
    )


def make_scheduler() -> Any:
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,
    )


class Stopwatch:
    """Seconds at work: a gap of over ten seconds between two looks, as when the process is halted, does not count."""

    def __init__(self) -> None:
        self.total, self.before = 0.0, time.monotonic()

    def seconds(self) -> float:
        now = time.monotonic()
        self.total += now - self.before if now - self.before < 10 else 0.0
        self.before = now
        return self.total


# The autoencoder ------------------------------------------------------------------------------------------------------


def train_autoencoder(art: Art, config: Config) -> Any:
    """Return the autoencoder, trained in this call or earlier ones; its scale makes the latents' deviation one.

    If it was trained for less than the minutes that are asked for, it goes on, and the latents are made anew.
    """
    folder = config.out / "autoencoder"
    record = folder / "record.json"
    known = json.loads(record.read_text()) if record.exists() else {"seconds": 0.0, "step": 0}
    begun = float(known["seconds"])
    network: Any = AutoencoderKL.from_pretrained(folder) if record.exists() else make_autoencoder()
    seconds = config.autoencoder_minutes * 60 - begun
    if seconds <= 0:
        return network.eval()
    network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    watch, first, saved, losses = Stopwatch(), int(known["step"]), 0.0, []
    step = first
    while (spent := watch.seconds()) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step - first + 1) / 50) * (0.02 + 0.98 * (1 - spent / seconds))
        wanted = to_tensor(np.stack([_draw(art, config.seed, "autoencoder", step, row)[0] for row in range(8)]))
        posterior = network.encode(wanted).latent_dist
        made = network.decode(posterior.sample()).sample
        loss = autoencoder_loss(made, wanted) + 1e-6 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        losses.append(float(((made.detach() - wanted) / 2).square().mean()))
        if spent - saved > config.checkpoint_s:
            saved = spent
            _save_autoencoder(network, folder, {"seconds": begun + spent, "step": step})
            psnr = -10 * np.log10(np.mean(losses))
            losses = []
            print(f"autoencoder: step {step}, {begun + spent:.0f} s, PSNR {psnr:.1f} dB", flush=True)
    network.eval()
    with torch.inference_mode():
        some = to_tensor(np.stack([_draw(art, config.seed, "scale", 0, row)[0] for row in range(128)]))
        network.register_to_config(scaling_factor=1 / float(network.encode(some).latent_dist.mean.std()))
    for old in config.out.glob("latents-*.safetensors"):
        old.unlink()
    _save_autoencoder(network, folder, {"seconds": config.autoencoder_minutes * 60, "step": step})
    return network


def _save_autoencoder(network: Any, folder: Path, record: dict[str, float]) -> None:
    network.save_pretrained(folder)
    (folder / "record.json").write_text(json.dumps(record))


def autoencoder_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean difference of pixels and of their steps to the next one: edges count, and blur shows there."""
    total = (made - wanted).abs().mean() + (made - wanted).square().mean()
    for axis in (-1, -2):
        total = total + 0.5 * (made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean()
    return total


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] from -1 to 1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _draw(art: Art, seed: int, act: str, step: int, row: int) -> tuple[np.ndarray, str]:
    rng = rng_for(seed, act, str(step), str(row))
    shown = art.draw_shown(rng)
    return art.compose(shown, rng), caption_for(shown, rng)


@torch.no_grad()
def encode_pictures(art: Art, network: Any, config: Config) -> tuple[torch.Tensor, list[str]]:
    """Return the training set: latents fp32 [N, 4, 16, 16] and captions, composed once and kept in a file."""
    path = config.out / f"latents-{config.num_pictures}-seed-{config.seed}.safetensors"
    drawn = [rng_for(config.seed, "painter", str(row)) for row in range(config.num_pictures)]
    shown = [art.draw_shown(rng) for rng in drawn]
    captions = [caption_for(one, rng_for(config.seed, "caption", str(row))) for row, one in enumerate(shown)]
    if not path.exists():
        pictures = (art.compose(one, rng) for one, rng in zip(shown, drawn, strict=True))
        found = [network.encode(to_tensor(batch)).latent_dist.mean for batch in batches(pictures, 64)]
        new = config.out / "new-latents.safetensors"
        save_file({"latents": (torch.cat(found) * network.config.scaling_factor).contiguous()}, new)
        new.replace(path)
    return load_file(path)["latents"], captions


def batches(images: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Stack every `size` pictures; the last batch may be smaller."""
    held: list[np.ndarray] = []
    for image in images:
        held.append(image)
        if len(held) == size:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


# The painter ----------------------------------------------------------------------------------------------------------


class Training:
    """The networks that learn, their average, and the optimizer: what a checkpoint holds."""

    def __init__(self, learning_rate: float) -> None:
        self.tokenizer = make_tokenizer()
        self.networks = torch.nn.ModuleDict({"text": make_text_encoder(self.tokenizer), "unet": make_unet()})
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in self.networks.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-3
        )
        self.step, self.seconds, self.learning_rate = 0, 0.0, learning_rate

    def update(self, loss: torch.Tensor, left: float) -> None:
        """Take a step. left: which share of the training is still to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * min(1.0, (self.step + 1) / 200) * (0.02 + 0.98 * left)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        weight = 1 - min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.networks.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, weight)

    def save(self, folder: Path) -> None:
        """Write under another name and then rename, so that a kill leaves the checkpoint before."""
        moments = {
            f"{number}.{key}": value
            for number, state in self.optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        parts = {"networks": self.networks.state_dict(), "average": self.average, "moments": moments}
        flat = {f"{part}/{name}": value.contiguous() for part, held in parts.items() for name, value in held.items()}
        save_file(flat, folder / "new.safetensors", {"step": str(self.step), "seconds": str(self.seconds)})
        (folder / "new.safetensors").replace(folder / "checkpoint.safetensors")

    def load(self, folder: Path) -> None:
        """Go on from the checkpoint of a folder, where there is one."""
        if not (path := folder / "checkpoint.safetensors").exists():
            return
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            said = file.metadata()
        parts: dict[str, dict[str, torch.Tensor]] = {"networks": {}, "average": {}, "moments": {}}
        for name, value in load_file(path).items():
            part, _, rest = name.partition("/")
            parts[part][rest] = value
        self.networks.load_state_dict(parts["networks"])
        self.average = parts["average"]
        state = self.optimizer.state_dict()
        for name, value in parts["moments"].items():
            number, _, key = name.partition(".")
            state["state"].setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict(state)
        self.step, self.seconds = int(said["step"]), float(said["seconds"])


def train_painter(latents: torch.Tensor, captions: list[str], autoencoder: Any, config: Config) -> None:
    """Train the text encoder and the UNet; write checkpoints, history, and the pipeline as it goes."""
    training = Training(config.learning_rate)
    training.load(config.out)
    scheduler = make_scheduler()
    padded = training.tokenizer([*captions, ""], padding="max_length", truncation=True, return_tensors="pt")
    tokens: torch.Tensor = padded["input_ids"]
    losses: list[float] = []
    watch, saved, earlier = Stopwatch(), 0.0, training.seconds
    while (now := watch.seconds()) + earlier < config.minutes * 60:
        rng = rng_for(config.seed, "step", str(training.step))
        draw = torch.Generator().manual_seed(int(rng.integers(2**31)))
        rows = torch.from_numpy(rng.integers(len(latents), size=config.batch_size))
        said = torch.where(torch.rand(len(rows), generator=draw) < DROPPED_SHARE, len(captions), rows)
        clean = latents[rows]
        noise = torch.randn(clean.shape, generator=draw)
        # Spread over the batch, so that each sees the whole range of noise.
        times = (torch.rand(1, generator=draw) + torch.arange(len(rows)) / len(rows)) % 1
        timesteps = (times * scheduler.config.num_train_timesteps).long()
        text = training.networks["text"](tokens[said])[0]
        noisy = scheduler.add_noise(clean, noise, timesteps).contiguous(memory_format=torch.channels_last)
        made = training.networks["unet"](noisy, timesteps, text).sample
        loss = torch.nn.functional.mse_loss(made, scheduler.get_velocity(clean, noise, timesteps))
        training.update(loss, 1 - (earlier + now) / (config.minutes * 60))
        losses.append(float(loss.detach()))
        training.seconds = earlier + now
        if now - saved > config.checkpoint_s:
            saved = now
            training.save(config.out)
            export(training, autoencoder, config.out / "pipeline")
            line = {"step": training.step, "seconds": round(training.seconds), "loss": float(np.mean(losses))}
            with (config.out / "history.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            losses = []
            print(line, flush=True)
    training.save(config.out)
    export(training, autoencoder, config.out / "pipeline")


def export(training: Training, autoencoder: Any, folder: Path) -> None:
    """Write the averaged painter as a diffusers folder, its weights in fp16."""
    text, unet = make_text_encoder(training.tokenizer), make_unet()
    held = torch.nn.ModuleDict({"text": text, "unet": unet})
    held.load_state_dict(training.average)
    vae = make_autoencoder()
    vae.register_to_config(scaling_factor=autoencoder.config.scaling_factor)
    vae.load_state_dict(autoencoder.state_dict())
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=training.tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(dtype=torch.float16, silence_dtype_warnings=True).save_pretrained(folder)


if __name__ == "__main__":
    main(tyro.cli(Config))
