"""Pictures and their targets as every training and evaluation sees them: batches on a device."""

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from training.augmentation.alterations import altered, erase
from training.augmentation.draws import NOTHING, Draws, draw_alterations
from training.augmentation.recipe import PLAIN, Augmentation
from training.targets import Batch, Targets

CACHED = 1 << 19  # numbers that are worked on at a time


@dataclass(frozen=True)
class Planned:
    """A process's share of a batch, before any picture is touched.

    Attributes:
        index: of the pictures (N, int64, on the CPU); of several views of each, one view of all after the other.
        draws: of their augmentation.
        shuffled: whether they are for a training, where each counts as much as any other.
    """

    index: Tensor
    draws: Draws
    shuffled: bool


class Split(ABC):
    """Pictures and their targets, delivered in batches.

    Attributes:
        targets: of all N pictures, see `training.targets`; of classes, labels N (int64).
        sources: see `training.data.pictures.Pictures`.
        size: height and width of the pictures that are delivered.
    """

    targets: Targets
    sources: Tensor | None

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], size: tuple[int, int], device: torch.device):
        """Takes mean and std of each of the pictures' channels (one or three), in 0 to 1."""
        self.size = size
        self.mean, self.std, self.device = mean, std, device
        self._mean, self._std = (self._row(values) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.targets)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        augmentation: Augmentation = PLAIN,
        limit: int | None = None,
        share: tuple[int, int] = (0, 1),
        skipped: int = 0,
    ) -> Iterator[Batch]:
        """Normalised images (N×3×H×W float32, channels last) with their targets.

        Args:
            seed: of the order and the augmentation; None keeps the order and augments nothing. A shuffled pass drops an
                incomplete last batch, since batch normalisation of a few pictures is noise.
            limit: only so many pictures, evenly spaced: files come sorted by class.
            share: a process's rank, and of how many. The ranks' batches together are the batch of one process, with
                the same augmentation. In a shuffled pass they are of equal size, so that the mean of the ranks' mean
                losses is the batch's: of a lone batch smaller than `batch_size`, up to one picture a rank is dropped.
            skipped: so many batches are left out at the beginning, and none of their pictures is touched.
        """
        plans = itertools.islice(self._plans(batch_size, seed, augmentation, limit, share), skipped, None)
        for planned, pixels, whole in self._delivered(plans):
            pixels, targets = altered(pixels, whole, planned.draws, augmentation)
            images = self._normalised(pixels)
            erase(images, planned.draws, augmentation.erasing)
            yield images, targets

    def normalised_by(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Self:
        """The same pictures, normalised otherwise: in grey by a single mean, and grey ones in colours by three."""
        other = copy.copy(self)
        other.mean, other.std = mean, std
        other._mean, other._std = (other._row(values) for values in (mean, std))
        return other

    @abstractmethod
    def subset(self, chosen: Tensor) -> "Split":
        """The pictures of these numbers (int64), in this order."""

    @abstractmethod
    def _delivered(self, plans: Iterator[Planned]) -> Iterator[tuple[Planned, Tensor, Targets]]:
        """Each planned batch with its pictures (N×C×H×W, uint8) and targets, on the device.

        Random-resized-crops are made, and mirrored, and the targets moved along; all else follows.

        A pass may be given up before its end.
        """

    def _plans(
        self,
        batch_size: int,
        seed: int | None,
        augmentation: Augmentation,
        limit: int | None,
        share: tuple[int, int],
    ) -> Iterator[Planned]:
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        count = min(len(self), limit) if limit is not None else len(self)
        chosen = torch.arange(count) * len(self) // max(1, count)
        order = chosen[torch.randperm(count, generator=generator)] if generator else chosen
        rank, world = share
        for start in range(0, count, batch_size):
            index = order[start : start + batch_size]
            if generator and len(index) < batch_size <= count:
                return
            # Drawn for the whole batch, so that the draws do not depend on the shares.
            drawn = augmentation.views * len(index)
            draws = draw_alterations(augmentation, drawn, self.size, generator) if generator else NOTHING
            end = len(index) // world * world if generator else len(index)
            mine = torch.arange(rank, end, world)
            if len(mine):
                views = torch.cat([mine + view * len(index) for view in range(augmentation.views)])
                yield Planned(index.repeat(augmentation.views)[views], draws.of(views), generator is not None)

    def _moved(self, batch: Tensor) -> Tensor:
        """On the device. From pinned memory the copy runs beside what the GPU is doing."""
        if batch.device == self._mean.device:
            return batch
        if self.device.type == "cuda" and not batch.is_pinned():
            batch = batch.pin_memory()
        return batch.to(self._mean.device, non_blocking=True)

    def _row(self, values: tuple[float, ...]) -> Tensor:
        """A value for each channel as a row of pixels, which is combined with pictures faster than a single pixel."""
        pixel = torch.tensor(values, device=self.device).view(1, -1, 1, 1)
        return pixel.expand(-1, -1, 1, self.size[1]).contiguous(memory_format=torch.channels_last)

    def _normalised(self, images: Tensor) -> Tensor:
        images = _of_channels(images, self._mean.shape[1]).contiguous(memory_format=torch.channels_last)
        normalised = torch.empty(images.shape, device=images.device, memory_format=torch.channels_last)
        # On a CPU part by part, which stays in its cache meanwhile.
        part = max(1, CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)
        for pixels, values in zip(images.split(part), normalised.split(part), strict=True):
            torch.div(pixels, 255, out=values).sub_(self._mean).div_(self._std)
        # Grey pictures are repeated. Not expanded: with a single stored channel, channels last would silently be lost.
        if normalised.shape[1] == 1:
            normalised = normalised.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
        return normalised


def _of_channels(images: Tensor, channels: int) -> Tensor:
    """N×C×H×W (uint8) in one channel or three, grey as Pillow makes it."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    red, green, blue = images.int().unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)[:, None]
