"""How a network is trained: every setting of a training in one value."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from foundation.errors import InputError
from training.augmentation.recipe import Augmentation
from training.setting import check, same, setting

PRECISIONS = ("auto", "float32", "bfloat16")
OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "linear", "constant", "power", "steps")

LATER = {"optimiser": "sgd", "schedule": "cosine"}
"""Settings that trainings begun before did not have, with what they did."""


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum or AdamW; the learning rate warms up linearly and then falls as the schedule says.

    What each setting is stands at its field; here is what more there is to say.

    Attributes:
        micro_batch: batch statistics are those of a micro-batch.
        weight_decay: norms and biases are what has one dimension.
        augmentation, rand_augment, erasing: what is done to single training pictures, see `Augmentation`.
        mixup, cutmix: α is that of the beta distribution by which two pictures are mixed (arXiv:1710.09412), or a
            rectangle of one put into another (arXiv:1905.04899). With both, each step draws one of them.
        drop_path: grows linearly from 0 at the first block (stochastic depth, arXiv:1603.09382).
        distillation: beside the labels', where there is a teacher; `temperature` softens both sides (arXiv:1503.02531).
        sync_batch_norm: without it each process normalises by its own share's, as is usual on GPUs with many pictures
            each.
        precision: bfloat16 is by autocast.
    """

    epochs: int = setting(10, "passes over the training pictures", 1, 100_000)
    batch_size: int = setting(128, "pictures a step, of all processes", 2, 65_536)
    micro_batch: int = setting(0, "pictures a process takes at a time, gradients added up; 0: all at once", 0, 65_536)
    learning_rate: float = setting(0.2, "the highest learning rate", 1e-6, 100.0)
    momentum: float = setting(0.9, "momentum of SGD, β₁ of AdamW", 0.0, 0.999)
    nesterov: bool = setting(True, "whether momentum is Nesterov's")
    weight_decay: float = setting(2e-4, "weight decay, on weights, not on norms and biases", 0.0, 1.0)
    warmup: float = setting(0.1, "share of the steps in which the learning rate rises", 0.0, 0.9)
    label_smoothing: float = setting(0.0, "share of a label spread over all classes", 0.0, 0.9)
    clip_norm: float = setting(5.0, "bound on the gradient's norm; 0: none", 0.0, 1e6)
    ema_decay: float = setting(0.0, "share that the moving average of weights keeps, a step; 0: none", 0.0, 0.999999)
    augmentation: str = same(Augmentation, "crop")
    rand_augment: int = same(Augmentation, "rand_augment")
    erasing: float = same(Augmentation, "erasing")
    mixup: float = setting(0.0, "α of MixUp, which mixes two pictures; 0: none", 0.0, 100.0)
    cutmix: float = setting(0.0, "α of CutMix, which puts a part of one picture into another; 0: none", 0.0, 100.0)
    drop_path: float = setting(0.0, "probability that the last block's branch is dropped", 0.0, 0.9)
    distillation: float = setting(0.5, "weight of the teacher's predictions, 0 to 1", 0.0, 1.0)
    temperature: float = setting(1.0, "divides logits before they are compared with the teacher's", 0.01, 100.0)
    sync_batch_norm: bool = setting(False, "batch statistics of all processes' pictures")
    precision: str = setting("auto", f"{', '.join(PRECISIONS)} (auto: bfloat16 on a GPU)", choices=PRECISIONS)
    compile: bool = setting(False, "train a network made by torch's compiler")
    optimiser: str = setting("sgd", ", ".join(OPTIMISERS), choices=OPTIMISERS)
    schedule: str = setting("cosine", f"of the learning rate: {', '.join(SCHEDULES)}", choices=SCHEDULES)

    def __post_init__(self) -> None:
        check(self)
        if self.micro_batch == 1:
            raise InputError("`micro_batch`: expected 0, or at least 2 for batch statistics, got 1")

    def lasting(self, epochs: int) -> Self:
        """The same training over so many epochs."""
        return replace(self, epochs=epochs)

    def described(self) -> dict[str, Any]:
        """Plain values that tell recipes apart: what was added later is there where it is not as it always was."""
        found = asdict(self)
        for name, before in LATER.items():
            if found[name] == before:
                del found[name]
        return found

    @property
    def streamed(self) -> bool | None:
        """Whether pictures are to be read from their files (see `load_data`); None for only if they must be.

        Crops at random places and scales are taken from the whole picture, and in memory is a square of it.
        """
        return True if self.augmentation == "random-resized-crop" else None

    @property
    def augment(self) -> Augmentation:
        """What is done to single training pictures."""
        return Augmentation(self.augmentation, self.rand_augment, self.erasing)
