"""Where first weights come from: published ones, and one network's carried over to another of its family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from foundation.amounts import human
from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Architecture
from search_space.family import found_in, load_all
from search_space.network import CLASSIFIER, TAPS, Network


@dataclass
class Transferred:
    """What came of a transfer.

    Attributes:
        copied: parameters that hold a value of the source.
        total: parameters of the target.
        notes: where the target differs from the source, by the name of its module, and what was done there.
        preserved: whether the target computes what the source does, up to rounding.
    """

    copied: int = 0
    total: int = 0
    notes: dict[str, str] = field(default_factory=dict)
    preserved: bool = True

    def differs(self, place: str, what: str) -> None:
        """Notes a place where the function is lost."""
        self.notes[place] = what
        self.preserved = False

    def __str__(self) -> str:
        text = f"{human(self.copied)} of {human(self.total)} parameters copied"
        if self.notes:
            text += f", {len(self.notes)} places differ ({next(iter(self.notes.items()))[0]}: "
            text += f"{next(iter(self.notes.items()))[1]}{', …' if len(self.notes) > 1 else ''})"
        return f"{text}; the function is {'preserved' if self.preserved else 'not preserved exactly'}"


class _Transfer(Protocol):
    def __call__(self, source: Any, target: Any, report: Transferred, *, compensate: bool) -> None: ...


LIBRARIES = ("torchvision", "timm")
"""Whose published weights are known."""


def _refusal(architecture: Architecture, library: str) -> InputError:
    return InputError(
        f"`init` {library}: no published weights for networks of family {architecture.family}; use `init` scratch"
    )


def _not_published(architecture: Architecture, library: str = LIBRARIES[0], state: object = None) -> Any:  # noqa: ARG001
    raise _refusal(architecture, library)


def _not_known(tensors: Mapping[str, Tensor]) -> Network | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Published:
    """What a family knows of published weights, and how weights carry over from one of its networks to another.

    Attributes:
        transfer: copies what the target's backbone shares with the source's, fills the rest, and reports on it.
        check: the architecture that a library publishes of an architecture's kind; raises InputError if no weights of
            one are.
        network: the library's network of an architecture's kind, from a state dictionary or as it is fetched.
        at_hand: what `auto` stands for, a library or `scratch`, and why; nothing is downloaded.
        of_authors: the network of a state dictionary as the authors name its tensors; None for other names. Raises
            InputError where the names are theirs and the tensors are not.
    """

    transfer: _Transfer
    check: Callable[[Any, str], Architecture] = _not_published
    network: Callable[[Any, str, dict[str, Tensor] | None], Network] = _not_published
    at_hand: Callable[[Any], tuple[str, str]] = _not_published
    of_authors: Callable[[Mapping[str, Tensor]], Network | None] = _not_known


PUBLISHED: Registry[Published] = Registry("family with published weights")
"""Registered in the file `pretrained.py` of a family's room."""


def check_published(architecture: Architecture, library: str = LIBRARIES[0]) -> Architecture:
    """The published architecture of the architecture's kind. Raises InputError if no weights of one are published."""
    return _of(architecture, library).check(architecture, library)


def published(
    architecture: Architecture, state: dict[str, Tensor] | None = None, library: str = LIBRARIES[0]
) -> Network:
    """A library's ImageNet network of the architecture's kind, with 1000 classes, as one of ours.

    Args:
        state: a state dictionary as the library has it; by default the published one, which is downloaded once into
            the library's cache.

    Raises InputError for a kind that the library has no weights of, or if they cannot be fetched.
    """
    return _of(architecture, library).network(architecture, library, state)


def at_hand(architecture: Architecture) -> tuple[str, str]:
    """What `auto` stands for, one of `LIBRARIES` or `scratch`, and why. Nothing is downloaded."""
    try:
        return _of(architecture, LIBRARIES[0]).at_hand(architecture)
    except InputError as error:
        return "scratch", str(error).removeprefix(f"`init` {LIBRARIES[0]}: ").partition(";")[0]


def of_authors(tensors: Mapping[str, Tensor]) -> Network | None:
    """The network of a state dictionary as the authors of some family name its tensors; None for other names.

    Raises InputError, `name: problem`, where the names are theirs and the tensors are not.
    """
    load_all("pretrained")
    found = (PUBLISHED[family].of_authors(tensors) for family in PUBLISHED)
    return next((network for network in found if network is not None), None)


@torch.no_grad()
def transfer(source: Network, target: Network, *, compensate: bool = True) -> Transferred:
    """Copies what `target` shares with `source`, and fills the rest so that the function is kept where possible.

    The head carries over where both have the same one; another head stays as it is. In a family that has no rule of its
    own every module carries over to the one of its name.

    Args:
        compensate: whether the convolution after a new attention makes up for its constant gates. In shared weights it
            must not, since the same convolution follows other attention as well; recomputed batch statistics do.

    Raises InputError for networks of two families, or of kinds between which the family carries nothing over.
    """
    if source.family != target.family:
        raise InputError(f"a {source.family} network's weights do not carry over to a {target.family} network")
    report = Transferred(total=sum(parameter.numel() for parameter in target.parameters()))
    modules, theirs = dict(target.named_children()), dict(source.named_children())
    head = {name: modules.pop(name) for name in (TAPS, CLASSIFIER) if name in modules}
    try:
        own = found_in(PUBLISHED, target.family, "pretrained")
    except InputError:  # it has none
        for name, module in modules.items():
            overlap(name, theirs.get(name, nn.Module()), module, report)
    else:
        own.transfer(source, target, report, compensate=compensate)
    if source.task_head == target.task_head:
        for name, module in head.items():
            overlap(name, theirs[name], module, report)
    elif source.num_classes and target.num_classes:
        report.differs(CLASSIFIER, f"fresh: {target.num_classes} classes instead of {source.num_classes}")
    else:
        report.differs(CLASSIFIER, "fresh: another head")
    return report


def overlap(name: str, old: nn.Module, new: nn.Module, report: Transferred) -> None:
    """Copies the overlap of all parameters and buffers of a module: leading channels, centred kernels."""
    theirs = {**dict(old.named_parameters()), **dict(old.named_buffers())}
    for local, tensor in [*new.named_parameters(), *new.named_buffers()]:
        if local not in theirs:
            report.differs(f"{name}.{local}", "fresh: the source has none")
            continue
        other = theirs[local].to(tensor.device)
        if tensor.ndim == 0:
            tensor.copy_(other)
            continue
        mine: list[slice] = []
        yours: list[slice] = []
        for axis, (size, source_size) in enumerate(zip(tensor.shape, other.shape, strict=True)):
            shared = min(size, source_size)
            for cuts, whole in ((mine, size), (yours, source_size)):
                start = (whole - shared) // 2 if axis >= 2 else 0
                cuts.append(slice(start, start + shared))
        if tensor.ndim >= 2:
            # What reads a channel, or a place of the kernel, that the source lacks must not notice it.
            if tensor.shape[1] > other.shape[1]:
                tensor[:, other.shape[1] :] = 0
            if tensor.shape[2:] != other.shape[2:]:
                tensor[: other.shape[0]] = 0
        tensor[tuple(mine)] = other[tuple(yours)]
        if isinstance(tensor, nn.Parameter):
            report.copied += other[tuple(yours)].numel()
        if tensor.shape != other.shape and isinstance(tensor, nn.Parameter):
            smaller = any(size < source_size for size, source_size in zip(tensor.shape, other.shape, strict=True))
            report.notes.setdefault(name, "narrowed" if smaller else "widened")
            report.preserved &= not smaller


def _of(architecture: Architecture, library: str) -> Published:
    try:
        return found_in(PUBLISHED, architecture.family, "pretrained")
    except InputError:
        raise _refusal(architecture, library) from None
