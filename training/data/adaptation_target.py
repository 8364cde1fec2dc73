"""Pictures to adapt a trained network to: with or without labels, prepared as the network sees pictures."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.dataset import Dataset
from training.data.held import HeldSplit
from training.data.into_memory import check_memory, read_all
from training.data.pictures import Pictures
from training.data.preparation import Found, View, prepared, read_file
from training.data.unlabelled import PictureFolder
from training.model_file import ModelInfo

FOLDER = "folder"


class Before(NamedTuple):
    """The pictures that a network was trained on: what it is adapted to is prepared as these were.

    Attributes:
        classes: names, in the order of the network's outputs.
        mean, std: of each channel (one or three), in 0 to 1.
        data: kind of the data, without any path.
        side: of the pictures, in pixels.
    """

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: str
    side: int

    @classmethod
    def of(cls, info: ModelInfo) -> "Before":
        """Of a network's file; its pictures have the side that the network is given."""
        return cls(info.classes, info.mean, info.std, info.data, info.architecture.resolution)


@dataclass(frozen=True)
class Target:
    """Pictures in memory.

    Attributes:
        pictures: their targets are their own numbers from 0 (N, int64).
        labels: N (int64), in the order of the network's classes; None where there are none.
        name: of the data, without any path.
        identity: tells pictures apart, without any path.
    """

    pictures: HeldSplit
    labels: Tensor | None
    name: str
    identity: str


def target_folder(
    spec: str, before: Before, device: torch.device, reporter: Reporter, *, skip_corrupt: bool = False
) -> Target:
    """The pictures below the folder of a spec `folder:PATH`; of one with a `train` part, those of that.

    They have labels if all lie in folders that are called as classes of the network. Labels train nothing.

    Raises InputError for a folder that is not there or holds no pictures, folders of which some are classes of the
    network and others are not, labels of one class, or pictures that memory does not hold.
    """
    folder = PictureFolder(spec)
    root, names = folder.of("train"), folder.pictures("train")
    if folder.parts:
        reporter.say(f"data: of {spec} the pictures in {root} are adapted to; the other parts stay unseen")
    else:
        reporter.say(
            f"data: all pictures of {spec} are adapted to, so none is left to test on; test on pictures kept "
            "elsewhere, or in parts train and test"
        )
    if folder.left_out:
        reporter.say(f"data: {folder.left_out}")
    known = _labels(spec, root, names, before, reporter)
    side = before.side
    check_memory(spec, "target", len(names), side, 3)
    view, grey = View.of(before.data, side), len(before.mean) == 1

    def read(number: int) -> tuple[Tensor, int, Found]:
        image, found = prepared(read_file(f"{root}/{names[number]}"), view, grey=grey)
        return image, number, found

    paths = [f"{root}/{name}" for name in names]
    images, kept = read_all("target", paths, side, read, reporter, skip_corrupt=skip_corrupt)
    labels = None if known is None else known[torch.tensor(kept)]
    return _target(images[:, : len(before.mean)], labels, before, device, FOLDER)


def target_set(data: Dataset, before: Before, device: torch.device, split: str = "train") -> Target:
    """The pictures of a data set's split, with its labels.

    Raises InputError for pictures that are not held in memory, other classes, or colours for a network of grey
    pictures.
    """
    if data.classes != before.classes:
        raise InputError(
            f"`data` {data.name}: has {len(data.classes)} classes ({data.classes[0]}, …), the network has "
            f"{len(before.classes)} ({before.classes[0]}, …); give pictures of the same classes, or a folder "
            "without labels"
        )
    held = getattr(data, split)
    if not isinstance(held, HeldSplit) or not isinstance(held.targets, Tensor):
        raise InputError(f"`data` {data.name}: is not held in memory; give folder:PATH with fewer pictures")
    images = held.images
    if images.shape[1] > len(before.mean):
        raise InputError(f"`data` {data.name}: has colours, and the network knows grey pictures; give folder:PATH")
    if images.shape[1] < len(before.mean):
        images = images.expand(-1, len(before.mean), -1, -1)
    return _target(images, held.targets.cpu(), before, device, data.name)


def _labels(spec: str, root: str, names: list[str], before: Before, reporter: Reporter) -> Tensor | None:
    """By the folders that the pictures lie in, if these are classes of the network."""
    number = {name: index for index, name in enumerate(before.classes)}
    folders = [unicodedata.normalize("NFC", name.partition("/")[0]) if "/" in name else "" for name in names]
    unknown = sorted({folder for folder in folders if folder not in number})
    if unknown and len(unknown) < len(set(folders)):
        there = next(folder for folder in folders if folder in number)
        odd = f"folder {unknown[0]}" if unknown[0] else "pictures outside of folders"
        raise InputError(
            f"`data` {spec}: {there} below {root} is a class of the network, {odd} is not; its {len(number)} classes "
            f"are {', '.join(before.classes[:3])}, …: rename or remove what is none of them"
        )
    if unknown:
        if unknown != [""]:
            reporter.say(
                f"data: the folders below {root} ({', '.join(unknown[:3])}) are not classes of the network "
                f"({', '.join(before.classes[:3])}, …): their pictures are taken for pictures without labels"
            )
        return None
    if len(set(folders)) == 1:
        raise InputError(
            f"`data` {spec}: all pictures are of one class ({folders[0]}), and there is nothing to tell apart; give "
            "pictures of several"
        )
    return torch.tensor([number[folder] for folder in folders])


def _target(images: Tensor, labels: Tensor | None, before: Before, device: torch.device, name: str) -> Target:
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    if labels is not None:
        digest.update(labels.numpy().tobytes())
    numbers = torch.arange(len(images))
    split = HeldSplit(Pictures(images.contiguous(), numbers), before.mean, before.std, device)
    return Target(split, labels, name, f"{name} {digest.hexdigest()[:16]}")
