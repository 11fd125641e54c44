"""A network as an encoder: normalise on the device, run, return unit vectors."""

from collections.abc import Callable

import numpy as np
import torch

from gencv.core import hub
from gencv.core.embeddings import Space
from gencv.core.errors import NotSupported
from gencv.images.transform import Transform


def forward(
    network: Callable[[torch.Tensor], torch.Tensor],
    pixels: np.ndarray,
    transform: Transform,
    device: str,
    *,
    bf16: bool,
) -> torch.Tensor:
    """Normalise uint8 [B, S, S, 3] on the device and run a network; returns float32 [B, D] on the CPU.

    The bytes cross to the GPU as they are, a quarter of the size of floats. bf16: by autocast.
    """
    with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
        return network(normalise(pixels, transform, device)).float().cpu()


def normalise(pixels: np.ndarray, transform: Transform, device: str | torch.device) -> torch.Tensor:
    """Bring uint8 [B, S, S, 3] to the device and scale it there to float32 [B, 3, S, S], channels last."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)
    batch = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
    scale = torch.tensor(transform.std, device=device).mul(255).view(1, 3, 1, 1)
    shift = torch.tensor(transform.mean, device=device).mul(255).view(1, 3, 1, 1)
    return (batch - shift) / scale


def unit(vectors: torch.Tensor) -> np.ndarray:
    """Return rows of norm 1 as float32 [B, D]."""
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=-1).numpy(), np.float32)


def weights_digest(network: torch.nn.Module) -> str:
    """Digest all weights and buffers by name."""
    return hub.weights_digest(
        (name, tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        for name, tensor in sorted(network.state_dict().items())
    )


class NetworkEncoder:
    """An image network with its own input transform, and a text encoder if it has one."""

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        encode: Callable[[torch.Tensor], torch.Tensor],
        transform: Transform,
        dim: int,
        device: str,
        encode_texts: Callable[[list[str]], torch.Tensor] | None = None,
    ) -> None:
        self.device, self.transform = device, transform
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.space = Space(encoder=name, weights=weights_digest(network), dim=dim, transform=transform.to_dict())
        self.bf16 = device == "cuda"  # on a CPU bf16 is slower than fp32
        self.encode, self._encode_texts = encode, encode_texts

    def images(self, pixels: np.ndarray) -> np.ndarray:
        return unit(forward(self.encode, pixels, self.transform, self.device, bf16=self.bf16))

    def texts(self, texts: list[str]) -> np.ndarray:
        if self._encode_texts is None:
            raise NotSupported(
                f"The encoder {self.space.encoder} has no text encoder; `starter` or any open_clip name has."
            )
        with torch.inference_mode():
            return unit(self._encode_texts(texts).cpu())
