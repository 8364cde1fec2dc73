"""Labelled pictures in three splits, and the `--data` specs that name them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from search_space.errors import InputError
from training import digits, folders
from training.pictures import Pictures
from training.progress import Reporter

SPECS = "digits, digits:clutter, folder:PATH"
AUGMENTATIONS = ("none", "crop-flip")


class Split:
    """Labelled pictures held in memory, delivered in batches.

    Args:
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
    """

    def __init__(self, pictures: Pictures, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device):
        self.images = pictures.images.to(device)
        self.labels = pictures.labels.to(device)
        self.sources = pictures.sources
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, *, seed: int | None = None, augmentation: str = "none", limit: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images (N×3×H×W float32, channels last) with labels (N, int64).

        Args:
            seed: of the order and the augmentation; None keeps the order. A shuffled pass drops an incomplete last
                batch, since batch normalisation of a few pictures is noise.
            limit: only so many pictures, evenly spaced: files come sorted by class.
        """
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        count = min(len(self), limit) if limit is not None else len(self)
        chosen = torch.arange(count) * len(self) // max(1, count)
        order = chosen[torch.randperm(count, generator=generator)] if generator else chosen
        order = order.to(self.images.device)
        for start in range(0, count, batch_size):
            index = order[start : start + batch_size]
            if generator and len(index) < batch_size <= count:
                return
            images = self.images[index]
            if augmentation == "crop-flip":
                assert generator is not None
                images = _crop_flip(images, generator)
            yield self._normalise(images), self.labels[index]

    def _normalise(self, images: Tensor) -> Tensor:
        images = (images.float() / 255 - self._mean) / self._std
        # Grey pictures are repeated. Not expanded: with a single stored channel, channels last would silently be lost.
        if images.shape[1] == 1:
            images = images.repeat(1, 3, 1, 1)
        return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Dataset:
    """A classification problem. The test split is made only when asked for.

    Attributes:
        name: without any path, so that results do not depend on where pictures lie.
        identity: tells data apart; for files of the user's own by their names, classes and sizes.
        load: makes the pictures of `train`, `validation` or `test`.
        mean, std: of each channel, in 0 to 1.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[str], Pictures]
    device: torch.device

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def train(self) -> Split:
        return self._split("train")

    @cached_property
    def validation(self) -> Split:
        return self._split("validation")

    @cached_property
    def test(self) -> Split:
        return self._split("test")

    def _split(self, name: str) -> Split:
        return Split(self.load(name), self.mean, self.std, self.device)


def load_data(spec: str, resolution: int, device: torch.device, reporter: Reporter | None = None) -> Dataset:
    """The dataset that a `--data` spec names, at `resolution` pixels a side.

    Raises InputError for an unknown spec, or a folder that cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if kind == "digits":
        variant = rest or "pointed"
        if variant not in digits.VARIANTS:
            raise InputError(f"--data {spec}: unknown variant; known: digits, digits:clutter")
        if resolution != digits.SIDE:
            raise InputError(f"--data {spec}: pictures of {digits.SIDE} pixels, but the space wants {resolution}")
        return Dataset(
            name=spec,
            identity=spec,
            classes=tuple(str(digit) for digit in range(10)),
            mean=(digits.MEAN[variant],),
            std=(digits.STD[variant],),
            load=lambda split: digits.compose(variant, split),
            device=device,
        )
    if kind == "folder":
        tree = folders.scan(spec, rest)
        return Dataset(
            name=kind,
            identity=f"{kind} {tree.fingerprint}",
            classes=tree.classes,
            mean=folders.MEAN,
            std=folders.STD,
            load=lambda split: tree.load(split, resolution, reporter or Reporter(quiet=True)),
            device=device,
        )
    raise InputError(f"--data {spec}: unknown; known: {SPECS}")


def _crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture shifted by up to an eighth of its side (edges repeated) and mirrored half the time."""
    count, _, height, width = images.shape
    reach_y, reach_x = height // 8, width // 8
    device = images.device

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=generator).to(device)

    down, right, mirrored = draw(-reach_y, reach_y), draw(-reach_x, reach_x), draw(0, 1)
    rows = (torch.arange(height, device=device) + down[:, None]).clamp(0, height - 1)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(mirrored[:, None] == 1, columns.flip(1), columns)
    columns = (columns + right[:, None]).clamp(0, width - 1)
    batch = torch.arange(count, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


__all__ = ["AUGMENTATIONS", "Dataset", "Split", "load_data"]
