"""A T2T-ViT from a state dictionary as its authors name the tensors, in one of the published sizes."""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.families.t2t import backbones
from search_space.families.t2t.architecture import T2TArchitecture
from search_space.families.t2t.network import T2TNetwork
from search_space.families.t2t.transformer import sine_table
from search_space.hand_designed import BACKBONES
from search_space.network import build

MARK = "tokens_to_token.project.weight"
"""A name that every such dictionary has, and few others."""

_PARALLEL = "module."  # before each name, where the network was trained on several GPUs
_ROUNDING = 1e-4


def is_published(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are the authors'."""
    return MARK in tensors or _PARALLEL + MARK in tensors


def from_published(tensors: Mapping[str, Tensor], num_classes: int) -> T2TNetwork:
    """The published network with these weights, on the CPU; it gives exactly their logits.

    The authors' table of positions is the sine table, which the network computes. Their scale of attention is that of
    training, 1/√64. The classifier is drawn afresh where the dictionary's is of another number of classes.

    Args:
        tensors: a state dictionary with the authors' names: fused `qkv` and `kqv`, `tokens_to_token.attention1.w` and
            so on.

    Raises InputError naming the tensor that is missing, unknown, or of another shape, or for a size that is not
    published. By shapes the authors' variant of T2T-ViT-14 with 32 heads is T2T-ViT-14: it is taken for that.
    """
    theirs = {name.removeprefix(_PARALLEL): tensor for name, tensor in tensors.items()}
    architecture = _architecture(theirs)
    theirs = {name: tensor for name, tensor in theirs.items() if not _is_table(name, tensor, architecture)}
    network = cast(T2TNetwork, build(architecture, num_classes))
    own = network.state_dict()
    for name, parts in _names(architecture):
        found = theirs.pop(name, None)
        if found is None:
            raise InputError(f"{name}: missing")
        whole = torch.cat([own[part].reshape(_flat(own[part])) for part in parts])
        if name.startswith("head.") and found.shape[1:] == whole.shape[1:] and len(found) != num_classes:
            continue
        if found.numel() != whole.numel() or found.shape[0] not in (1, len(whole)):
            raise InputError(f"{name}: expected {whole.numel()} numbers, got {tuple(found.shape)}")
        for part, piece in zip(parts, found.reshape(whole.shape).chunk(len(parts)), strict=True):
            own[part].copy_(piece.reshape(own[part].shape))
    if theirs:
        raise InputError(f"{shown(min(theirs))}: unknown in {_told(architecture)}")
    return network


def classes_of(tensors: Mapping[str, Tensor]) -> int:
    """How many classes the dictionary's head has. Raises InputError if there is none."""
    found = tensors.get("head.weight", tensors.get(f"{_PARALLEL}head.weight"))
    if found is None or found.ndim != 2:
        raise InputError("head.weight: missing")
    return len(found)


def _architecture(theirs: Mapping[str, Tensor]) -> T2TArchitecture:
    """The published architecture of these shapes. Raises InputError if there is none."""
    known = {name: BACKBONES[name]() for name in BACKBONES if hasattr(backbones, name)}
    depth = len({name.split(".")[1] for name in theirs if name.startswith("blocks.") and name.count(".") > 1})
    tokens = "performer" if "tokens_to_token.attention1.w" in theirs else "transformer"
    for name in ("cls_token", "blocks.0.mlp.fc1.weight"):
        if name not in theirs or theirs[name].ndim < 2:
            raise InputError(f"{name}: missing")
    width = theirs["cls_token"].numel()
    expansion = len(theirs["blocks.0.mlp.fc1.weight"]) / width
    for one in known.values():
        assert isinstance(one, T2TArchitecture)
        if (one.tokens, one.width, one.depth, one.blocks[0].expansion) == (tokens, width, depth, expansion):
            return one
    raise InputError(
        f"{depth} blocks of width {width}, expansion {expansion:g}, {tokens} tokens: no published T2T-ViT; known: "
        f"{', '.join(known)}"
    )


def _is_table(name: str, tensor: Tensor, architecture: T2TArchitecture) -> bool:
    """Whether it is the table of positions. Raises InputError for one that is not of sines."""
    if name != "pos_embed":
        return False
    rows = tensor.shape[-2] if tensor.ndim > 1 else 0
    table = sine_table(rows, architecture.width, torch.device("cpu"))
    if tensor.shape != (1, *table.shape) or not torch.allclose(tensor[0].float(), table, rtol=0, atol=_ROUNDING):
        raise InputError(f"pos_embed: not the sine table of width {architecture.width}, which the network has")
    return True


def _names(architecture: T2TArchitecture) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each of the authors' names, and the names here of what is fused in it, in order."""
    yield "cls_token", ("embedding.class_token",)
    yield from _layer("tokens_to_token.project", "embedding.project")
    performer = architecture.tokens == "performer"
    for index in range(2):
        theirs, ours = f"tokens_to_token.attention{index + 1}", f"tokens.{index}"
        yield from _layer(f"{theirs}.norm1", f"{ours}.norm")
        if performer:
            yield f"{theirs}.w", (f"{ours}.attention.features",)
            yield from _layer(f"{theirs}.kqv", *(f"{ours}.attention.{part}" for part in ("key", "query", "value")))
            yield from _layer(f"{theirs}.proj", f"{ours}.attention.project")
            layers = ("mlp.0", "mlp.2")
        else:
            yield _fused(f"{theirs}.attn.qkv", f"{ours}.attention")
            yield from _layer(f"{theirs}.attn.proj", f"{ours}.attention.project")
            layers = ("mlp.fc1", "mlp.fc2")
        yield from _layer(f"{theirs}.norm2", f"{ours}.mlp_norm")
        for layer, own in zip(layers, ("mlp.0", "mlp.2"), strict=True):
            yield from _layer(f"{theirs}.{layer}", f"{ours}.{own}")
    for index in range(architecture.depth):
        theirs, ours = f"blocks.{index}", f"layers.{index}"
        yield from _layer(f"{theirs}.norm1", f"{ours}.mix.norm")
        yield _fused(f"{theirs}.attn.qkv", f"{ours}.mix")
        yield from _layer(f"{theirs}.attn.proj", f"{ours}.mix.project")
        yield from _layer(f"{theirs}.norm2", f"{ours}.mlp.norm")
        yield from _layer(f"{theirs}.mlp.fc1", f"{ours}.mlp.expand")
        yield from _layer(f"{theirs}.mlp.fc2", f"{ours}.mlp.project")
    yield from _layer("norm", "norm")
    yield from _layer("head", "classifier")


def _layer(theirs: str, *ours: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for own in ("weight", "bias"):
        yield f"{theirs}.{own}", tuple(f"{part}.{own}" for part in ours)


def _fused(theirs: str, ours: str) -> tuple[str, tuple[str, ...]]:
    return f"{theirs}.weight", tuple(f"{ours}.{part}.weight" for part in ("query", "key", "value"))


def _flat(tensor: Tensor) -> tuple[int, ...]:
    """As a linear layer has it: what is before a kernel's own axes, and the rest."""
    return (len(tensor), -1) if tensor.ndim > 1 else (len(tensor),)


def _told(architecture: T2TArchitecture) -> str:
    return next(name for name in BACKBONES if BACKBONES[name]() == architecture)
