"""What a network is to say of a batch of pictures, and what it says: moved, picked and shared out by one mechanism.

Targets are what a task has: a tensor of N rows (classes N, masks N×H×W), or a list of N dictionaries of tensors (boxes
with their classes). A tensor may be of a kind of its own, torchvision's `BoundingBoxes` or `Mask`: it stays of that
kind, which is how augmentation knows what moves with a picture. A network's outputs are a tensor, or lists and
dictionaries of tensors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Target = Mapping[str, Tensor]
"""What there is to say of one picture, by name."""

Targets = Tensor | Sequence[Target]
"""What there is to say of N pictures."""

Batch = tuple[Tensor, Targets]
"""Normalised images, N×3×H×W, with their targets."""


def picked(targets: Targets, index: Tensor) -> Targets:
    """Those of the pictures of these numbers (int64, or a mask), in this order."""
    if isinstance(targets, Tensor):
        return alike(targets[index.to(targets.device)], targets)
    numbers = index.nonzero()[:, 0] if index.dtype == torch.bool else index
    return [targets[number] for number in numbers.tolist()]


def shared_out(targets: Targets, sizes: Sequence[int]) -> list[Targets]:
    """Parts of so many pictures each, in order."""
    if isinstance(targets, Tensor):
        return [alike(part, targets) for part in targets.split(list(sizes))]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [targets[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def moved(targets: Targets, move: Callable[[Tensor], Tensor]) -> Targets:
    """Each tensor as `move` makes it, which changes its place and not its kind: to a device, for instance."""
    if isinstance(targets, Tensor):
        return alike(move(targets), targets)
    return [{name: alike(move(tensor), tensor) for name, tensor in target.items()} for target in targets]


def alike(result: Tensor, before: Tensor) -> Tensor:
    """The result as the kind of tensor that it was made from: most of torch's operations give a plain one."""
    if type(before) is Tensor or type(result) is type(before):
        return result
    from torchvision import tv_tensors  # is there already, where such a tensor is

    wrapped: Tensor = tv_tensors.wrap(result, like=before)
    return wrapped


def in_float32(outputs: Any) -> Any:
    """A network's outputs, which autocast may have made of 16 bits."""
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, Mapping):
        return {name: in_float32(value) for name, value in outputs.items()}
    return [in_float32(value) for value in outputs]


def joined(parts: Sequence[Any]) -> Any:
    """The outputs for parts of a batch as those for the whole: tensors one after the other, lists of pictures as well.

    A list is taken for one with an item a picture.
    """
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    if isinstance(parts[0], Mapping):
        return {name: joined([part[name] for part in parts]) for name in parts[0]}
    return [item for part in parts for item in part]
