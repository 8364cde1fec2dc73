"""Weights of one T2T-ViT carried over to another, and those that the authors publish.

Leading channels are copied, as weights are shared. A new block at the end starts as its skips. What is of another kind,
or for another kernel, is fresh. Between widths the function is lost: a norm of more channels is another one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search_space.attention.probes import of_other_classes
from search_space.families.t2t.architecture import T2TArchitecture
from search_space.families.t2t.network import T2TNetwork
from search_space.families.t2t.published import classes_of, from_published, is_published
from search_space.families.t2t.transformer import Block
from search_space.network import Network
from search_space.pretrained import PUBLISHED, Published, Transferred, overlap


def _of_authors(tensors: Mapping[str, Tensor]) -> Network | None:
    return from_published(tensors, classes_of(tensors)) if is_published(tensors) else None


def _transfer(source: T2TNetwork, target: T2TNetwork, report: Transferred, *, compensate: bool) -> None:  # noqa: ARG001
    """See `search_space.pretrained.transfer`; nothing makes up for a new gate: it leaves the class token as it is."""
    theirs, own = source.architecture, target.architecture
    assert isinstance(theirs, T2TArchitecture)
    assert isinstance(own, T2TArchitecture)
    if theirs.table_width != own.table_width:
        report.differs("embedding", f"positions by a table of width {own.table_width} instead of {theirs.table_width}")
    if theirs.width != own.width:
        report.differs("norm", f"{own.width} channels instead of {theirs.width}")
    if theirs.token_strides != own.token_strides:
        report.differs("tokens", "other strides")
    for index, step in enumerate(target.tokens):
        alike = theirs.tokens == own.tokens and theirs.kernels[index] == own.kernels[index]
        _carry(f"tokens.{index}", source.tokens[index] if alike else nn.Module(), step, report)
    same = len(theirs.token_strides) == len(own.token_strides) and theirs.kernels[-1] == own.kernels[-1]
    _carry("embedding", source.embedding if same else nn.Module(), target.embedding, report)
    for index, layer in enumerate(target.layers):
        assert isinstance(layer, Block)
        name = f"layers.{index}"
        if index >= len(source.layers):
            _close(layer)
            report.notes[name] = "new block, starts as its skips"
            continue
        before = source.layers[index]
        assert isinstance(before, Block)
        if theirs.head_width == own.head_width:
            _carry(f"{name}.mix", before.mix, layer.mix, report)
        else:
            report.differs(f"{name}.mix", "fresh: heads of another width")
        _gate(f"{name}.attention", before.attention, layer.attention, report)
        _carry(f"{name}.mlp", before.mlp, layer.mlp, report)
    if theirs.depth > own.depth:
        report.differs("layers", f"{theirs.depth - own.depth} blocks dropped")
    _carry("norm", source.norm, target.norm, report)


def _carry(name: str, old: nn.Module, new: nn.Module, report: Transferred) -> None:
    """Copies what is shared; the rows that a performer draws stay its own where they are of another width."""
    kept = {path: buffer.clone() for path, buffer in new.named_buffers() if path.endswith("features")}
    overlap(name, old, new, report)
    theirs = dict(old.named_buffers())
    for path, buffer in kept.items():
        if path in theirs and theirs[path].shape != buffer.shape:
            new.get_buffer(path).copy_(buffer)
            report.differs(f"{name}.{path}", f"{len(buffer)} features instead of {len(theirs[path])}")


def _gate(name: str, old: nn.Module, new: nn.Module, report: Transferred) -> None:
    """What gates the grid: carried over to one of its kind, constant where it is new."""
    if type(old) is type(new) and not of_other_classes(old, new):
        overlap(name, old, new, report)
        return
    make_constant = getattr(new, "make_constant", None)
    if make_constant is not None:
        make_constant()
    report.differs(
        name, "dropped" if isinstance(new, nn.Identity) else "new, starts constant" if make_constant else "fresh"
    )


@torch.no_grad()
def _close(block: Block) -> None:
    """Zeroes the ends of a block's branches."""
    for branch in (block.mix, block.mlp):
        project = branch.get_submodule("project")
        for parameter in project.parameters():
            parameter.zero_()


PUBLISHED.register("t2t")(Published(transfer=_transfer, of_authors=_of_authors))
