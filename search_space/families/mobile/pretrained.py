"""Weights of one mobile network carried over to another, published ones above all.

The matching part of every tensor is copied: leading channels, centred kernels. What the source lacks is filled so that
the network's function stays what it was, or as near as can be (function-preserving transformations, Net2Net,
arXiv:1511.05641):

- wider: new channels are fresh, and whatever reads them starts with zero weights;
- larger kernels: zeros around the source's;
- a new depthwise convolution that changes no size: the identity, where an activation after it leaves what is there;
- deeper: a new block ends in a zero scale, so that only its skip remains;
- new attention: gates start at a constant, and the next convolution makes up for it.
"""

from collections import Counter
from collections.abc import Mapping

from torch import nn

from foundation.errors import InputError
from search_space.attention.probes import of_other_classes
from search_space.families.mobile import published_networks
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.blocks import EXPAND, Block
from search_space.families.mobile.matching import Place, can_match, matched
from search_space.families.mobile.network import MobileNetwork
from search_space.parts import ConvNormActivation
from search_space.pretrained import PUBLISHED, Published, Transferred, overlap


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
            if type(mine) is not type(piece) or of_other_classes(mine, piece):
                gate = _new_attention(place, mine, piece, report)
                continue
        elif mine is None:
            if compensate and isinstance(piece, ConvNormActivation) and _made_identity(piece, old):
                report.notes[place] = "new, starts as the identity"
            else:
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


def _made_identity(piece: ConvNormActivation, block: Block) -> bool:
    """Makes a fresh depthwise convolution of stride 1 the identity; False where it cannot be.

    An activation after it has to leave what the block's expansion, with the same one, gives: as rectifiers do.
    """
    conv, norm = piece.conv, piece.norm
    plain = not hasattr(piece, "activation")
    rectified = isinstance(getattr(piece, "activation", None), nn.ReLU | nn.ReLU6) and hasattr(block, EXPAND)
    if conv.groups != conv.out_channels or conv.stride != (1, 1) or not (plain or rectified):
        return False
    nn.init.zeros_(conv.weight)
    conv.weight[:, :, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1
    nn.init.constant_(norm.weight, (1 + norm.eps) ** 0.5)  # its fresh variance is 1
    return True


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
    what = "a probe of other classes" if of_other_classes(old, new) else "another kind"
    report.notes[place] = f"{what} in the source; starts constant" if dropped else "new, starts constant"
    return gate


def _close(block: Block) -> None:
    """Zeroes the scale at a block's end, so that only its skip remains."""
    last = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


PUBLISHED.register("mobile")(
    Published(_transfer, published_networks.source, published_networks.network, published_networks.at_hand)
)
