"""How a network is fine-tuned: every hyper-parameter in one dataclass, and the recipes of the field as values of it.

A recipe is exact as its source has it; where the source is known to be weak, a `-tuned` sibling stands beside it. What
a source does not say is a default below, and docs/recipes.md says so.
"""

from dataclasses import dataclass, field, replace

from gencv.core.errors import BadInput, UnknownName
from gencv.core.settings import Settings
from gencv.images.augment import Augmentation

CHOICES = {
    "loss": ("softmax", "sigmoid"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("constant", "cosine", "plateau"),
    "balance": ("none", "weights", "sampling"),
    "kinds": ("none", "family", "generator"),
    "precision": ("auto", "fp32", "bf16"),
    "weights": ("pretrained", "random"),
}
"""What the fields of Recipe that name something accept."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """Every hyper-parameter of a fine-tuning. Raises BadInput at a field out of range."""

    network: str = "tiny-vit"
    """A name that `networks.build_network` knows; `{scale}` in it is left open for tiny, small, or base."""
    weights: str = "pretrained"
    """pretrained, or random: the network's configuration alone."""
    loss: str = "softmax"
    """softmax: two outputs and cross-entropy; sigmoid: one output and binary cross-entropy with logits."""
    kinds: str = "none"
    """A second head that tells positives apart by family or by generator; none: only genuine or positive."""
    optimizer: str = "adamw"
    """adamw or sgd."""
    learning_rate: float = 5e-5
    """Of the topmost layer, after the warm-up."""
    weight_decay: float = 0.01
    """Of weights; biases and norms do not decay."""
    momentum: float = 0.9
    """For sgd."""
    schedule: str = "constant"
    """constant, cosine (down to 0 by steps), or plateau (times .5 where the validation loss stays)."""
    warmup_fraction: float = 0.0
    """Share of all steps in which the learning rate rises from 0."""
    plateau_patience: int = 10
    """Epochs without a lower validation loss before `plateau` halves the learning rate."""
    epochs: int = 5
    """Times that the training rows are gone through."""
    batch_size: int = 64
    """Pictures in one step of the optimizer, over all workers."""
    micro_batch: int = 0
    """Pictures in one forward pass of a worker; 0: all of its share at once."""
    clip_norm: float = 0.0
    """Largest norm of the gradient; 0: any."""
    freeze: tuple[str, ...] = ()
    """Beginnings of parameter names that stay as they are; `all` for everything but the head."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one below it; 1: all alike."""
    lora_rank: int = 0
    """Train low-rank additions to the linear layers, and the head, alone; 0: everything."""
    balance: str = "none"
    """weights: classes count alike in the loss; sampling: they are drawn alike; none: as they come."""
    label_smoothing: float = 0.0
    """Share of the truth that is spread over both classes."""
    mixup: float = 0.0
    """Alpha of mixup (Zhang et al. 2018, arXiv:1710.09412); 0: off."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    patience: int = 0
    """Epochs without a higher validation AUROC before the training stops; 0: never early."""
    precision: str = "auto"
    """bf16 by autocast, fp32, or auto: bf16 on a GPU."""
    compile: bool = False
    """Compile the network (`torch.compile`)."""
    seed: int = 0
    """Of the head, the order, the augmentation, and mixup."""

    def __post_init__(self) -> None:
        for name in ("freeze",):  # JSON brings lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.augmentation, dict):
            object.__setattr__(self, "augmentation", Augmentation.from_dict(self.augmentation))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"{name} is {getattr(self, name)}; a number from {low} to {high} is accepted.")
        if self.schedule == "plateau" and self.warmup_fraction:
            raise BadInput("warmup_fraction goes with the schedules constant and cosine, not with plateau.")
        if self.mixup and self.kinds != "none":
            raise BadInput("mixup blends pictures of two kinds; it goes with kinds=none only.")


RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0, 100),
    "weight_decay": (0, 10),
    "momentum": (0, 1),
    "warmup_fraction": (0, 1),
    "plateau_patience": (0, 10_000),
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "micro_batch": (0, 1_000_000),
    "clip_norm": (0, 1e9),
    "layer_decay": (1e-6, 1),
    "lora_rank": (0, 4096),
    "label_smoothing": (0, 0.5),
    "mixup": (0, 100),
    "patience": (0, 10_000),
    "seed": (0, 2**32 - 1),
}
"""What is accepted for the numbers of a Recipe."""

_FACEAUTH = Recipe(
    loss="sigmoid",
    optimizer="sgd",
    momentum=0.9,
    weight_decay=0.0,
    learning_rate=1e-3,
    schedule="plateau",
    epochs=20,
    batch_size=32,
)

RECIPES: dict[str, Recipe] = {
    "celeba-spoof-vit": Recipe(network="google/vit-base-patch16-224-in21k", learning_rate=5e-5, epochs=5),
    "cifake-vit": Recipe(network="google/vit-base-patch16-224", learning_rate=1e-7, epochs=100),
    "cifake-vit-tuned": Recipe(
        network="google/vit-base-patch16-224", learning_rate=5e-5, epochs=3, schedule="cosine", warmup_fraction=0.1
    ),
    "cifake-hybrid": Recipe(
        network="timm/vit_small_r26_s32_224.augreg_in21k_ft_in1k",
        learning_rate=5e-5,
        epochs=3,
        schedule="cosine",
        warmup_fraction=0.1,
    ),
    "celeba-spoof-small": Recipe(network="timm/vit_{scale}_patch16_224.augreg_in21k", learning_rate=5e-5, epochs=5),
    "faceauth-deit": replace(_FACEAUTH, network="facebook/deit-base-distilled-patch16-384"),
    "faceauth-deit-tuned": Recipe(
        network="facebook/deit-base-distilled-patch16-384",
        loss="sigmoid",
        learning_rate=5e-5,
        epochs=5,
        schedule="cosine",
        warmup_fraction=0.1,
        layer_decay=0.75,
        augmentation=Augmentation(flip=True, degradations=("jpeg", "blur", "resize"), probability=0.5),
    ),
    "faceauth-vit": replace(_FACEAUTH, network="google/vit-base-patch16-224"),
    "faceauth-densenet": replace(_FACEAUTH, network="timm/densenet121.tv_in1k"),
    "source-resnet50": Recipe(
        network="timm/resnet50.tv_in1k",
        kinds="family",
        freeze=("conv1", "bn1", "layer1", "layer2"),
        learning_rate=1e-4,
        epochs=10,
    ),
    "starter": Recipe(
        network="starter",
        learning_rate=3e-4,
        epochs=5,
        batch_size=32,
        schedule="cosine",
        warmup_fraction=0.1,
        augmentation=Augmentation(flip=True, degradations=("jpeg", "blur"), probability=0.3),
    ),
}
"""By name; docs/recipes.md has the exact command of each."""
