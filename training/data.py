"""Labelled pictures in three splits, and the `--data` specs that name them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from search_space.errors import InputError
from training import digits, folders
from training.augmentation import PLAIN, Augmentation
from training.pictures import Pictures
from training.progress import Reporter

SPECS = "digits, digits:clutter, folder:PATH"
SHARE_OF_GPU = 0.3  # of its free memory, that a split's pictures may take


class Split:
    """Labelled pictures held in memory, delivered in batches on a device.

    The pictures lie on the device where they fit beside a training; else they stay on the host, and a batch of bytes
    moves at a time.

    Args:
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
    """

    def __init__(self, pictures: Pictures, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device):
        place = device if _fits(pictures.images.nbytes, device) else torch.device("cpu")
        self.images = pictures.images.to(place)
        self.labels = pictures.labels.to(place)
        self.sources = pictures.sources
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        augmentation: Augmentation = PLAIN,
        limit: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images (N×3×H×W float32, channels last) with labels (N, int64).

        Args:
            seed: of the order and the augmentation; None keeps the order. A shuffled pass drops an incomplete last
                batch, since batch normalisation of a few pictures is noise.
            limit: only so many pictures, evenly spaced: files come sorted by class.
            share: a process's rank, and of how many. The ranks' batches together are the batch of one process, with
                the same augmentation. In a shuffled pass they are of equal size, so that the mean of the ranks' mean
                losses is the batch's: of a lone batch smaller than `batch_size`, up to one picture a rank is dropped.
        """
        augmented = augmentation.crop == "crop-flip"
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        count = min(len(self), limit) if limit is not None else len(self)
        chosen = torch.arange(count) * len(self) // max(1, count)
        order = chosen[torch.randperm(count, generator=generator)] if generator else chosen
        order = order.to(self.images.device)
        rank, world = share
        for start in range(0, count, batch_size):
            index = order[start : start + batch_size]
            if generator and len(index) < batch_size <= count:
                return
            # Drawn for the whole batch, so that the draws do not depend on the shares.
            shifts = _draw_crop_flip(len(index), self.images.shape[-2:], generator) if augmented and generator else None
            end = len(index) // world * world if generator else len(index)
            mine = slice(rank, end, world)
            index = index[mine]
            if len(index) == 0:
                continue
            images, labels = self._moved(self.images[index]), self._moved(self.labels[index])
            if shifts is not None:
                images = _crop_flip(images, *(draw[mine].to(images.device) for draw in shifts))
            yield self._normalise(images), labels

    def _moved(self, batch: Tensor) -> Tensor:
        """On the device. From pinned memory the copy runs beside what the GPU is doing."""
        if batch.device == self._mean.device:
            return batch
        pinned = batch.pin_memory() if self._mean.device.type == "cuda" else batch
        return pinned.to(self._mean.device, non_blocking=True)

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


def _fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes may lie on the device for good; a GPU's memory is a training's before it is the data's."""
    return device.type != "cuda" or nbytes <= SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]


def _draw_crop_flip(count: int, size: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `count` pictures: pixels down and right, up to an eighth of its side, and 1 if mirrored."""

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=generator)

    reach_y, reach_x = size[0] // 8, size[1] // 8
    return draw(-reach_y, reach_y), draw(-reach_x, reach_x), draw(0, 1)


def _crop_flip(images: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Each picture shifted (edges repeated) and mirrored as drawn for it."""
    count, _, height, width = images.shape
    device = images.device
    rows = (torch.arange(height, device=device) + down[:, None]).clamp(0, height - 1)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(mirrored[:, None] == 1, columns.flip(1), columns)
    columns = (columns + right[:, None]).clamp(0, width - 1)
    batch = torch.arange(count, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


__all__ = ["Dataset", "Split", "load_data"]
