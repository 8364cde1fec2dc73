"""How a network is trained: every setting of a training in one value."""

from dataclasses import dataclass

from search_space.errors import InputError
from training.augmentation import Augmentation

_RANGES = {
    "epochs": (1, 100_000),
    "batch_size": (2, 65_536),
    "learning_rate": (1e-6, 10.0),
    "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 1.0),
    "warmup": (0.0, 0.9),
    "label_smoothing": (0.0, 0.9),
    "clip_norm": (1e-3, 1e6),
    "ema_decay": (0.0, 0.99999),
}


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum; the learning rate warms up linearly and then falls to zero along a cosine.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        learning_rate: the highest.
        weight_decay: on weights of two or more dimensions; norms and biases have none.
        warmup: share of the steps.
        label_smoothing: share of a label that is spread over all classes.
        clip_norm: bound on the norm of the whole gradient.
        ema_decay: of the exponential moving average of the weights, a step; 0 for none.
        sync_batch_norm: whether batch statistics are of the whole batch where several processes share it; else each
            process normalises by its own share's, as is usual on GPUs with many pictures each.
        augmentation, rand_augment, erasing: what is done to single training pictures, see `Augmentation`.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 2e-4
    warmup: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float = 5.0
    ema_decay: float = 0.0
    augmentation: str = "none"
    rand_augment: int = 0
    erasing: float = 0.0
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: expected {low} to {high}, got {value}")
        _ = self.augment

    @property
    def augment(self) -> Augmentation:
        """What is done to single training pictures."""
        return Augmentation(self.augmentation, self.rand_augment, self.erasing)
