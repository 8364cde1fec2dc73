"""The small data sets that torchvision downloads: pictures held in memory."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from foundation import distributed
from foundation.errors import InputError, first_line
from training.data.folders import MAX_BYTES
from training.data.hold_out import hold_out
from training.data.pictures import Pictures
from training.data.preparation import View, central

VALIDATION = 10_000  # training pictures held out, if that is no more than a tenth
ROOT = "data"


@dataclass(frozen=True)
class Kind:
    """A data set: torchvision's class of it, and mean and std of the training pictures' channels, in 0 to 1."""

    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


KINDS = {
    "cifar10": Kind("CIFAR10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Kind("CIFAR100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "fashion-mnist": Kind("FashionMNIST", (0.2860,), (0.3530,)),
}


@dataclass(frozen=True)
class Downloaded:
    """A data set that lies on the disk."""

    classes: tuple[str, ...]
    spec: str
    kind: str
    root: str
    resolution: int

    def load(self, split: str) -> Pictures:
        """The pictures of `train`, `validation` (a tenth of the training pictures) or `test`.

        Raises InputError if they are not there any more, or not on this host, or too many for memory at the resolution.
        """
        try:
            opened = _opened(self.kind, self.root, train=split != "test", download=False)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"`data` {self.spec}: not in {self.root} ({first_line(error)}); every host has to see it there"
            ) from None
        images = torch.as_tensor(opened.data)
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        needed = images[:, :, 0, 0].numel() * self.resolution**2
        if needed > MAX_BYTES:
            raise InputError(
                f"`data` {self.spec}: {len(images)} pictures of {self.resolution} pixels need {needed / 2**30:.0f} GiB "
                f"of memory, more than the {MAX_BYTES >> 30} that are used; choose a smaller resolution"
            )
        labels = torch.as_tensor(opened.targets)
        if split != "test":
            kept, held = hold_out(labels, VALIDATION)
            chosen = kept if split == "train" else held
            images, labels = images[chosen], labels[chosen]
        return Pictures(_scaled(images, self.resolution), labels)


def find(spec: str, kind: str, root: str, resolution: int, *, download: bool = True) -> Downloaded:
    """The data set below `root`, downloaded if it is not there. Raises InputError if that fails, or may not be done.

    torchvision unpickles CIFAR's files, but only those whose checksums it knows.
    """
    classes = distributed.from_first(lambda: _classes(spec, kind, root, download=download))
    return Downloaded(tuple(classes), spec, kind, root, resolution)


def _classes(spec: str, kind: str, root: str, *, download: bool) -> list[str]:
    for fetching in (False, True) if download else (False,):
        try:
            return list(_opened(kind, root, train=True, download=fetching).classes)
        except Exception as error:  # absent, broken, or whatever a download meets
            reason = first_line(error)
    if not download:
        raise InputError(
            f"data {spec}: not in {root} ({reason}), and nothing is downloaded because a file says so; give `data` "
            f"{spec} for that"
        )
    raise InputError(f"`data` {spec}: not in {root}, and downloading failed ({reason}); unpack it there, or try again")


def _opened(kind: str, root: str, *, train: bool, download: bool) -> Any:
    from torchvision import datasets  # takes a second, and few runs are on these

    return getattr(datasets, KINDS[kind].source)(root, train=train, download=download)


def _scaled(images: Tensor, resolution: int) -> Tensor:
    """N×C×resolution×resolution, uint8, as any picture is prepared."""
    if images.shape[-2:] == (resolution, resolution):
        return images.contiguous()
    scaled = torch.empty(*images.shape[:2], resolution, resolution, dtype=torch.uint8)
    for place, picture in zip(scaled, images.permute(0, 2, 3, 1).numpy(), strict=True):
        pixels = central(Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture), View(resolution))
        place[:] = torch.from_numpy(pixels).view(resolution, resolution, -1).permute(2, 0, 1)
    return scaled
