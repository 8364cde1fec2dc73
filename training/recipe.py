"""How a network is trained: every setting of a training in one value."""

from dataclasses import dataclass, replace
from typing import Self

from search_space.errors import InputError
from training.augmentation import Augmentation

PRECISIONS = ("auto", "float32", "bfloat16")

_RANGES = {
    "epochs": (1, 100_000),
    "batch_size": (2, 65_536),
    "micro_batch": (0, 65_536),
    "learning_rate": (1e-6, 100.0),
    "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 1.0),
    "warmup": (0.0, 0.9),
    "label_smoothing": (0.0, 0.9),
    "clip_norm": (0.0, 1e6),
    "ema_decay": (0.0, 0.999999),
    "mixup": (0.0, 100.0),
    "cutmix": (0.0, 100.0),
    "drop_path": (0.0, 0.9),
    "distillation": (0.0, 1.0),
    "temperature": (0.01, 100.0),
}


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum; the learning rate warms up linearly and then falls to zero along a cosine.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step, of all processes together.
        micro_batch: pictures that a process takes at a time, the gradients of a step's added up; 0 for all at once.
            Batch statistics are those of a micro-batch.
        learning_rate: the highest.
        nesterov: whether momentum is Nesterov's.
        weight_decay: on weights of two or more dimensions; norms and biases have none.
        warmup: share of the steps.
        label_smoothing: share of a label that is spread over all classes.
        clip_norm: bound on the norm of the whole gradient; 0 for none.
        ema_decay: of the exponential moving average of the weights, a step; 0 for none.
        augmentation, rand_augment, erasing: what is done to single training pictures, see `Augmentation`.
        mixup, cutmix: α of the beta distribution by which two pictures are mixed (arXiv:1710.09412), or a rectangle of
            one put into another (arXiv:1905.04899); 0 for none. With both, each step draws one of them.
        drop_path: probability that the last block's residual branch is left out of a picture's pass, growing linearly
            from 0 at the first block (stochastic depth, arXiv:1603.09382).
        distillation: weight of the teacher's predictions beside the labels', where there is a teacher; `temperature`
            softens both sides (arXiv:1503.02531).
        sync_batch_norm: whether batch statistics are of the whole batch where several processes share it; else each
            process normalises by its own share's, as is usual on GPUs with many pictures each.
        precision: `float32`, `bfloat16` (autocast), or `auto`: bfloat16 on a GPU.
        compile: whether torch's compiler makes the training step's network.
    """

    epochs: int = 10
    batch_size: int = 128
    micro_batch: int = 0
    learning_rate: float = 0.2
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 2e-4
    warmup: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float = 5.0
    ema_decay: float = 0.0
    augmentation: str = "none"
    rand_augment: int = 0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    drop_path: float = 0.0
    distillation: float = 0.5
    temperature: float = 1.0
    sync_batch_norm: bool = False
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: expected {low} to {high}, got {value}")
        if self.micro_batch == 1:
            raise InputError("micro_batch: expected 0, or at least 2 for batch statistics, got 1")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision: {self.precision!r} is unknown; known: {', '.join(PRECISIONS)}")
        _ = self.augment

    def lasting(self, epochs: int) -> Self:
        """The same training over so many epochs."""
        return replace(self, epochs=epochs)

    @property
    def augment(self) -> Augmentation:
        """What is done to single training pictures."""
        return Augmentation(self.augmentation, self.rand_augment, self.erasing)
