"""Weights of one mobile network carried over to another, torchvision's published ones above all.

The matching part of every tensor is copied: leading channels, centred kernels. What the source lacks is filled so that
the network's function stays what it was, or as near as can be (function-preserving transformations, Net2Net,
arXiv:1511.05641):

- wider: new channels are fresh, and whatever reads them starts with zero weights;
- larger kernels: zeros around the source's;
- deeper: a new block ends in a zero scale, so that only its skip remains;
- new attention: gates start at a constant, and the next convolution makes up for it.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.backbones import (
    efficientnet_b0,
    mobilenetv2,
    mobilenetv3_large,
    mobilenetv3_small,
)
from search_space.families.mobile.blocks import Block
from search_space.families.mobile.matching import Place, can_match, matched
from search_space.families.mobile.network import MobileNetwork
from search_space.network import build
from search_space.parts import ConvNormActivation
from search_space.pretrained import PUBLISHED, Published, Transferred, overlap


class _Known(NamedTuple):
    """A network of which a library publishes weights.

    Attributes:
        told: its name in messages, with what tells its kind.
        make: our architecture of it.
        weights: the name of its weights in `torchvision.models`.
        eps: what its batch normalisations add to variances.
    """

    told: str
    make: Callable[[], MobileArchitecture]
    weights: str
    eps: float = 1e-5


_KNOWN = (
    _Known("MobileNetV2 (relu6)", mobilenetv2, "MobileNet_V2_Weights"),
    _Known("EfficientNet-B0 (silu)", efficientnet_b0, "EfficientNet_B0_Weights"),
    _Known("MobileNetV3-Large (hardswish)", mobilenetv3_large, "MobileNet_V3_Large_Weights", eps=1e-3),
    _Known("MobileNetV3-Small (hardswish)", mobilenetv3_small, "MobileNet_V3_Small_Weights", eps=1e-3),
)


def _known(architecture: MobileArchitecture) -> _Known:
    """The published network of an architecture's kind, of two sizes the nearer. Raises InputError if there is none."""
    blocks = sorted({stage.block for stage in architecture.stages})
    kinds = {known: known.make() for known in _KNOWN}
    fitting = {known: own for known, own in kinds.items() if _kind(own) == _kind(architecture)}
    if not fitting:
        raise InputError(
            f"`init` torchvision: no published weights for {', '.join(blocks)} blocks with {architecture.activation}; "
            f"known: {', '.join(known.told for known in _KNOWN)}"
        )
    found = [known for known, own in fitting.items() if can_match(own, architecture)]
    if not found:
        stages = len(next(iter(fitting.values())).stages)
        raise InputError(
            f"`init` torchvision: the network has {len(architecture.stages)} stages, the published one {stages}; use "
            "`init` scratch"
        )
    return min(found, key=lambda known: abs(math.log(_channels(fitting[known]) / _channels(architecture))))


def _kind(architecture: MobileArchitecture) -> tuple[object, ...]:
    blocks = {stage.block for stage in architecture.stages}
    return architecture.activation, blocks, architecture.pooled_width is not None, architecture.pooled_norm


def _channels(architecture: MobileArchitecture) -> int:
    return sum(stage.width * stage.depth for stage in architecture.stages)


def _source(architecture: MobileArchitecture) -> MobileArchitecture:
    """The published architecture of the architecture's kind. Raises InputError if there are no weights of one."""
    return _known(architecture).make()


def _published(architecture: MobileArchitecture, state: dict[str, Tensor] | None = None) -> MobileNetwork:
    """The published ImageNet network of the architecture's kind, with 1000 classes, as one of ours.

    What its batch normalisations add to variances is part of their variances here, where it is another number.

    Args:
        state: a state dictionary as torchvision has it; by default the published one, which is downloaded once into
            torch's cache.

    Raises InputError for a kind that torchvision has no weights of, or if they cannot be fetched.
    """
    known = _known(architecture)
    network = build(known.make())
    assert isinstance(network, MobileNetwork)
    if state is None:
        state = _fetched(known)
    own = network.state_dict()
    if len(own) != len(state):
        raise InputError(f"`init` torchvision: {len(state)} tensors, expected {len(own)}: not the network meant")
    # Both definitions hold the same tensors in the same order; shapes are checked on loading. A linear layer's weights
    # may be those of a 1×1 convolution.
    tensors = (
        theirs.view(mine.shape) if theirs.numel() == mine.numel() else theirs
        for mine, theirs in zip(own.values(), state.values(), strict=True)
    )
    network.load_state_dict(dict(zip(own, tensors, strict=True)))
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
            norm.running_var += known.eps - norm.eps
    return network


def _at_hand(architecture: MobileArchitecture) -> tuple[str, str]:
    """What `auto` stands for, `torchvision` or `scratch`, and why. Nothing is downloaded."""
    try:
        known = _known(architecture)
    except InputError as error:
        return "scratch", str(error).removeprefix("`init` torchvision: ").partition(";")[0]
    file = _cache() / Path(_url(known)).name
    if file.is_file():
        return "torchvision", f"published weights are in {file}"
    return "scratch", f"no published weights in {file}; `init` torchvision downloads them"


def _fetched(known: _Known) -> dict[str, Tensor]:
    url = _url(known)
    try:
        # Not torchvision's own way: that one unpickles.
        return dict(torch.hub.load_state_dict_from_url(url, weights_only=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"`init` torchvision: cannot fetch {url} ({error}); put the file into {_cache()}, or use `init` scratch"
        ) from None


def _url(known: _Known) -> str:
    from torchvision import models

    return str(getattr(models, known.weights).DEFAULT.url)


def _cache() -> Path:
    """Where torch keeps what it has downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _transfer(source: MobileNetwork, target: MobileNetwork, report: Transferred, *, compensate: bool) -> None:
    """Copies what the backbone of `target` shares with that of `source`; see `search_space.pretrained.transfer`.

    Raises InputError for stages that cannot be matched, or are of other blocks.
    """
    theirs, own = source.architecture, target.architecture
    assert isinstance(theirs, MobileArchitecture)
    assert isinstance(own, MobileArchitecture)
    if not can_match(theirs, own):
        raise InputError(f"the source has {len(theirs.stages)} stages, the network {len(own.stages)}")
    if len(theirs.stages) == len(own.stages):
        for number, (there, here) in enumerate(zip(theirs.stages, own.stages, strict=True), 1):
            if there.depth and here.depth and there.block != here.block:
                raise InputError(
                    f"stage {number} of the source is of {there.block} blocks, the network's of {here.block}"
                )
    matches = matched(theirs, own)
    if not _activates_alike(theirs, own, matches):
        report.differs("activation", f"{own.everywhere} instead of {theirs.everywhere}")
    if theirs.output_stride != own.output_stride:
        report.differs("stages", "dilated otherwise")
    overlap("stem", source.stem, target.stem, report)
    for i, stage in enumerate(target.stages):
        assert isinstance(stage, nn.Sequential)
        for j, new in enumerate(stage):
            name = f"stages.{i}.{j}"
            assert isinstance(new, Block)
            place = matches.get(Place(i, j))
            if place is not None:
                old = source.get_submodule(f"stages.{place.stage}.{place.number}")
                assert isinstance(old, Block)
                _block(name, old, new, report, compensate)
            elif new.skip:
                _close(new)
                report.notes[name] = "new block, starts as its skip"
            else:
                report.differs(name, "fresh: the source leaves the stage out")
    taken = Counter(place.stage for place in matches.values())
    for i, there in enumerate(theirs.stages):
        if taken[i] < there.depth:
            report.differs(f"stages.{i}", f"{there.depth - taken[i]} blocks of the source dropped")
    overlap("head", source.head, target.head, report)
    overlap("pooled", source.pooled, target.pooled, report)


def _activates_alike(theirs: MobileArchitecture, own: MobileArchitecture, matches: Mapping[Place, Place]) -> bool:
    """Whether the ends, and blocks that stand for each other, have the same activations."""
    pairs = {(place.stage, other.stage) for place, other in matches.items()}
    return theirs.activation == own.activation and all(
        (theirs.stages[there].activation or theirs.activation) == (own.stages[here].activation or own.activation)
        for here, there in pairs
    )


def _block(name: str, old: Block, new: Block, report: Transferred, compensate: bool) -> None:
    pieces = dict(old.named_children())
    gate = 1.0
    if old.skip != new.skip:
        report.differs(name, "the skip differs")
    for local, piece in new.named_children():
        place = f"{name}.{local}"
        mine = pieces.get(local)
        if local == "attention":
            if type(mine) is not type(piece):
                gate = _new_attention(place, mine, piece, report)
                continue
        elif mine is None:
            report.differs(place, "fresh: the source has none")
            continue
        elif gate != 1.0 and compensate and isinstance(piece, ConvNormActivation):
            overlap(place, mine, piece, report)
            piece.conv.weight.div_(gate)
            gate = 1.0
            continue
        assert mine is not None
        overlap(place, mine, piece, report)
    for local in pieces.keys() - dict(new.named_children()).keys():
        report.differs(f"{name}.{local}", "dropped")


def _new_attention(place: str, old: nn.Module | None, new: nn.Module, report: Transferred) -> float:
    """Makes an attention that the source lacks a constant; returns the constant."""
    dropped = old is not None and any(True for _ in old.parameters())
    if dropped:
        report.preserved = False
    if isinstance(new, nn.Identity):
        report.notes[place] = "dropped"
        return 1.0
    make_constant = getattr(new, "make_constant", None)
    if make_constant is None:
        report.differs(place, "fresh")
        return 1.0
    gate = float(make_constant())
    report.notes[place] = "another kind in the source; starts constant" if dropped else "new, starts constant"
    return gate


def _close(block: Block) -> None:
    """Zeroes the scale at a block's end, so that only its skip remains."""
    last = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


PUBLISHED.register("mobile")(Published(check=_source, network=_published, at_hand=_at_hand, transfer=_transfer))
