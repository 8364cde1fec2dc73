"""Weights of one mobile network carried over to another, torchvision's published ones above all.

The matching part of every tensor is copied: leading channels, centred kernels. What the source lacks is filled so that
the network's function stays what it was, or as near as can be (function-preserving transformations, Net2Net,
arXiv:1511.05641):

- wider: new channels are fresh, and whatever reads them starts with zero weights;
- larger kernels: zeros around the source's;
- deeper: a new block ends in a zero scale, so that only its skip remains;
- new attention: gates start at a constant, and the next convolution makes up for it.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.backbones import efficientnet_b0, mobilenetv2
from search_space.families.mobile.blocks import Block
from search_space.families.mobile.network import MobileNetwork
from search_space.network import build
from search_space.parts import ConvNormActivation
from search_space.pretrained import PUBLISHED, Published, Transferred, overlap


def _source(architecture: MobileArchitecture) -> MobileArchitecture:
    """torchvision's architecture of the family. Raises InputError if it publishes no weights of one."""
    blocks = {stage.block for stage in architecture.stages}
    sorts = {"relu6": mobilenetv2(), "silu": efficientnet_b0()}
    source = sorts.get(architecture.activation)
    if not isinstance(source, MobileArchitecture) or blocks != {"inverted_residual"}:
        raise InputError(
            f"`init` torchvision: no published weights for {', '.join(sorted(blocks))} blocks with "
            f"{architecture.activation}; known: MobileNetV2 (relu6) and EfficientNet-B0 (silu)"
        )
    if len(architecture.stages) != len(source.stages):
        raise InputError(
            f"`init` torchvision: the network has {len(architecture.stages)} stages, the published one "
            f"{len(source.stages)}; use `init` scratch"
        )
    return source


def _published(architecture: MobileArchitecture, state: dict[str, Tensor] | None = None) -> MobileNetwork:
    """torchvision's ImageNet network of the architecture's family, with 1000 classes, as one of ours.

    Args:
        state: a state dictionary of torchvision's `mobilenet_v2` or `efficientnet_b0`; by default the published one,
            which is downloaded once into torch's cache.

    Raises InputError for a family that torchvision has no weights of, or if they cannot be fetched.
    """
    source = _source(architecture)
    network = build(source)
    assert isinstance(network, MobileNetwork)
    if state is None:
        state = _fetched(architecture.activation)
    names = list(network.state_dict())
    if len(names) != len(state):
        raise InputError(f"`init` torchvision: {len(state)} tensors, expected {len(names)}: not the network meant")
    # Both definitions hold the same tensors in the same order; shapes are checked on loading.
    network.load_state_dict(dict(zip(names, state.values(), strict=True)))
    return network


def _at_hand(architecture: MobileArchitecture) -> tuple[str, str]:
    """What `auto` stands for, `torchvision` or `scratch`, and why. Nothing is downloaded."""
    try:
        _source(architecture)
    except InputError as error:
        return "scratch", str(error).removeprefix("`init` torchvision: ").partition(";")[0]
    file = _cache() / Path(_url(architecture.activation)).name
    if file.is_file():
        return "torchvision", f"published weights are in {file}"
    return "scratch", f"no published weights in {file}; `init` torchvision downloads them"


def _fetched(activation: str) -> dict[str, Tensor]:
    url = _url(activation)
    try:
        # Not torchvision's own way: that one unpickles.
        return dict(torch.hub.load_state_dict_from_url(url, weights_only=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"`init` torchvision: cannot fetch {url} ({error}); put the file into {_cache()}, or use `init` scratch"
        ) from None


def _url(activation: str) -> str:
    from torchvision.models import EfficientNet_B0_Weights, MobileNet_V2_Weights

    return str((MobileNet_V2_Weights if activation == "relu6" else EfficientNet_B0_Weights).DEFAULT.url)


def _cache() -> Path:
    """Where torch keeps what it has downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _transfer(source: MobileNetwork, target: MobileNetwork, report: Transferred, *, compensate: bool) -> None:
    """Copies what the backbone of `target` shares with that of `source`; see `search_space.pretrained.transfer`.

    Raises InputError for other numbers of stages, or other blocks.
    """
    theirs, own = source.architecture, target.architecture
    assert isinstance(theirs, MobileArchitecture)
    assert isinstance(own, MobileArchitecture)
    if len(theirs.stages) != len(own.stages):
        raise InputError(f"the source has {len(theirs.stages)} stages, the network {len(own.stages)}")
    for number, (there, here) in enumerate(zip(theirs.stages, own.stages, strict=True), 1):
        if there.depth and here.depth and there.block != here.block:
            raise InputError(f"stage {number} of the source is of {there.block} blocks, the network's of {here.block}")
    if theirs.activation != own.activation:
        report.differs("activation", f"{own.activation} instead of {theirs.activation}")
    if theirs.spreads != own.spreads:
        report.differs("stages", "dilated otherwise")
    overlap("stem", source.stem, target.stem, report)
    for i, (old_stage, new_stage) in enumerate(zip(source.stages, target.stages, strict=True)):
        assert isinstance(old_stage, nn.Sequential)
        assert isinstance(new_stage, nn.Sequential)
        for j, new in enumerate(new_stage):
            name = f"stages.{i}.{j}"
            assert isinstance(new, Block)
            if j < len(old_stage):
                old = old_stage[j]
                assert isinstance(old, Block)
                _block(name, old, new, report, compensate)
            elif new.skip:
                _close(new)
                report.notes[name] = "new block, starts as its skip"
            else:
                report.differs(name, "fresh: the source leaves the stage out")
        if len(new_stage) < len(old_stage):
            report.differs(f"stages.{i}", f"{len(old_stage) - len(new_stage)} blocks dropped")
    overlap("head", source.head, target.head, report)


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
