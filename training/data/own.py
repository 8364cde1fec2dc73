"""Pictures of a program's own, from torch's map-style datasets, held in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from foundation.errors import InputError
from training.data.dataset import Dataset
from training.data.folders import MEAN, STD
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.data.preparation import View, prepared_image
from training.data.split import Split

NAME = "own"
SPLITS = ("train", "validation")


class Labelled(Protocol):
    """What torch calls a map-style dataset: a length, and pairs of a picture and its class's number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def own_data(
    train: Labelled, validation: Labelled, side: int, device: torch.device, classes: Sequence[str] | None = None
) -> Dataset:
    """The pictures of two datasets, prepared as those of `folder:` are: the central square at `side` pixels.

    A picture is a PIL image of any size and mode, or a tensor of uint8, H×W, 1×H×W or 3×H×W. Its label is an integer
    from 0 (or a tensor of one). There is no test split.

    Args:
        classes: names, in the order of the labels; None for `train.classes` where it has such names, else the numbers.

    Raises InputError naming the first item that is something else, an empty split, or a class without pictures.
    """
    held = {split: _held(split, items, side) for split, items in zip(SPLITS, (train, validation), strict=True)}
    names = _names(
        {split: labels for split, (_, labels) in held.items()},
        getattr(train, "classes", None) if classes is None else classes,
    )
    digest = hashlib.sha256(repr((side, names)).encode())
    for images, labels in held.values():
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())

    def load(split: str) -> Split:
        if split not in held:
            raise InputError(f"there are no {split} pictures: a program's own data have {' and '.join(SPLITS)} alone")
        return HeldSplit(Pictures(*held[split]), MEAN, STD, device)

    return Dataset(
        name=NAME,
        identity=f"{NAME} {digest.hexdigest()[:32]}",
        classes=names,
        mean=MEAN,
        std=STD,
        load=load,
        device=device,
        counts={split: len(labels) for split, (_, labels) in held.items()},
    )


def given_data(dataset: Any, side: int, device: torch.device, classes: Sequence[str] | None) -> Dataset:
    """What a program searches on: a `Dataset` as it is, or `own_data` of two, as a pair or by the names of `SPLITS`.

    Raises InputError for anything else, and for a `Dataset` whose pictures have another side.
    """
    if isinstance(dataset, Dataset):
        if tuple(dataset.train.size) != (side, side):
            raise InputError(f"dataset: pictures of {dataset.train.size[0]} pixels, but the space wants {side}")
        return dataset
    if isinstance(dataset, Mapping):
        if set(dataset) != set(SPLITS):
            raise InputError(f"dataset: expected the keys {' and '.join(SPLITS)}, got {', '.join(map(str, dataset))}")
        dataset = [dataset[split] for split in SPLITS]
    if not isinstance(dataset, tuple | list) or len(dataset) != 2:
        raise InputError(
            f"dataset: expected a spec, a Dataset, or training and validation datasets, got {type(dataset).__name__}"
        )
    train, validation = dataset
    return own_data(train, validation, side, device, classes)


def _held(split: str, items: Labelled, side: int) -> tuple[Tensor, Tensor]:
    """Images (N×3×side×side, uint8) and labels (N, int64)."""
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise InputError(f"{split}: expected a map-style dataset (with a length and items), got {type(items).__name__}")
    if len(items) == 0:
        raise InputError(f"{split}: holds no pictures")
    images = torch.empty(len(items), 3, side, side, dtype=torch.uint8)
    labels = torch.empty(len(items), dtype=torch.int64)
    for index in range(len(items)):
        where = f"{split}[{index}]"
        item = items[index]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where}: expected a pair of picture and label, got {type(item).__name__}")
        images[index] = prepared_image(_image(where, item[0]), View(side))[0]
        labels[index] = _label(where, item[1])
    return images, labels


def _image(where: str, picture: object) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if not isinstance(picture, Tensor):
        raise InputError(f"{where}: expected a PIL image or a tensor of uint8, got {type(picture).__name__}")
    pixels = picture[None] if picture.ndim == 2 else picture
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or len(pixels) not in (1, 3) or not pixels.numel():
        got = f"{tuple(picture.shape)} of {str(picture.dtype).removeprefix('torch.')}"
        raise InputError(
            f"{where}: expected a tensor of uint8, 3×H×W or 1×H×W, in 0 to 255, got {got}; "
            "leave normalisation and augmentation to the search"
        )
    whole = pixels.cpu().contiguous()
    return Image.fromarray(whole[0].numpy() if len(whole) == 1 else whole.permute(1, 2, 0).contiguous().numpy())


def _label(where: str, label: object) -> int:
    if isinstance(label, Tensor) and label.numel() == 1 and not label.is_floating_point():
        label = label.item()
    try:
        number = -1 if isinstance(label, float | str) else int(label)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < 1_000_000:
        raise InputError(f"{where}: expected an integer label from 0, got {label!r:.60}")
    return number


def _names(held: dict[str, Tensor], classes: object) -> tuple[str, ...]:
    """Those of the labels that each split has."""
    largest = max(int(labels.max()) for labels in held.values())
    count = largest + 1
    if classes is not None:
        if isinstance(classes, str) or not isinstance(classes, Sequence):
            raise InputError("classes: expected a list of names")
        names = tuple(map(str, classes))
        if count > len(names):
            raise InputError(f"classes: {len(names)} names, but there is a label {largest}")
    else:
        names = tuple(map(str, range(count)))
    if len(names) < 2:
        raise InputError("train: has one class; a search needs two")
    there = set(held["train"].tolist())
    absent = [name for number, name in enumerate(names) if number not in there]
    if absent:
        raise InputError(f"train: has no picture of class {absent[0]}")
    return names
