"""The supernet's weights: the widest tensor of every parameter, and sub-networks as views of them.

There is no second definition of the networks. A sub-network is the ordinary module of its architecture, run by
`torch.func.functional_call` on leading channels and centred kernels of the stored tensors. Parameters only are stored:
batch statistics belong to a candidate.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from search_space.architecture import Architecture
from search_space.blocks import BlockPart, ConvPart, Part, stage_blocks
from search_space.decisions import dimension
from search_space.network import Network, initialise, parts
from search_space.pretrained import Transferred, transfer
from search_space.space import SearchSpace

MAX_CACHED_MODULES = 4096


class _View(NamedTuple):
    """Where a part's parameter is stored, and how it is cut: (axis, start, length) for each axis not whole."""

    key: str
    cuts: tuple[tuple[int, int, int], ...]


class WeightStore(nn.Module):
    """The shared parameters of every architecture of a space.

    Each is kept under the position of its part, its role and, inside an attention, the attention's kind; so the
    reduction ratios of one kind share, and different kinds do not.
    """

    def __init__(self, space: SearchSpace):
        super().__init__()
        self.space = space
        self.tensors = nn.ParameterDict()
        self._modules_cache: OrderedDict[tuple[str, Part], tuple[nn.Module, dict[str, _View]]] = OrderedDict()
        channels = _most_channels(space)
        for architecture in _widest(space).values():
            for name, part in parts(architecture, space.num_classes):
                module = _widened(name, part, channels)
                initialise(module)
                for local, parameter in module.named_parameters():
                    key = _key(name, part, local)
                    if key not in self.tensors:
                        self.tensors[key] = nn.Parameter(parameter.detach().clone())

    @torch.no_grad()
    def carry_over(self, source: Network) -> dict[str, Transferred]:
        """Starts the shared weights from a network's: what came of it, for the widest network of each attention kind.

        Raises InputError if the network is of another family.
        """
        reports = {}
        for kind, architecture in _widest(self.space).items():
            network = self.extract(architecture)
            # A new attention's gates start constant; batch statistics, recomputed for each candidate, make up for it.
            reports[kind] = transfer(source, network, compensate=False)
            for view, parameter in zip(self.views(architecture).values(), network.parameters(), strict=True):
                view.copy_(parameter)
        return reports

    def forward(self, architecture: Architecture, images: Tensor) -> Tensor:
        """Logits of the sub-network on its views, normalising by the batch's own statistics; gradients reach the store.

        No module is constructed except for parts not seen lately, and nothing but gradients is written.
        """
        network = self._skeleton(architecture)
        return torch.func.functional_call(network, self.views(architecture), (images,))

    def views(self, architecture: Architecture) -> dict[str, Tensor]:
        """The sub-network's parameters by the names its module has for them, as views of the stored tensors."""
        views = {}
        for name, part in parts(architecture, self.space.num_classes):
            for local, view in self._part(name, part)[1].items():
                tensor: Tensor = self.tensors[view.key]
                for axis, start, length in view.cuts:
                    tensor = tensor.narrow(axis, start, length)
                views[f"{name}.{local}"] = tensor
        return views

    def extract(self, architecture: Architecture) -> Network:
        """An ordinary network of its own with copies of the views. Its batch statistics are still to be computed."""
        with torch.device("meta"):
            network = Network(architecture, self.space.num_classes)
        network.to_empty(device=next(iter(self.tensors.values())).device)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        views = self.views(architecture)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(views[name])
        return network

    def _skeleton(self, architecture: Architecture) -> Network:
        return Network(architecture, self.space.num_classes, lambda name, part: self._part(name, part)[0]).train()

    def _part(self, name: str, part: Part) -> tuple[nn.Module, dict[str, _View]]:
        """A part's module without storage or batch statistics, and where its parameters are; cached, bounded."""
        cached = self._modules_cache.get((name, part))
        if cached is not None:
            self._modules_cache.move_to_end((name, part))
            return cached
        with torch.device("meta"):
            module = part.create()
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        views = {}
        for local, parameter in module.named_parameters():
            key = _key(name, part, local)
            views[local] = _View(key, _cuts(self.tensors[key].shape, parameter.shape))
        self._modules_cache[name, part] = module, views
        if len(self._modules_cache) > MAX_CACHED_MODULES:
            self._modules_cache.popitem(last=False)
        return module, views


def _widest(space: SearchSpace) -> dict[str, Architecture]:
    """The architectures that are largest in every dimension, one for each attention kind."""
    kinds = dict.fromkeys(attention.kind for options in space.stages for attention in options.attention)
    found = {}
    for kind in kinds:

        def choose(name: str, options: Sequence[Any], kind: str = kind) -> Any:
            if dimension(name) == "attention":
                return kind if kind in options else options[0]
            return min(options)  # of ratios, which divide

        found[kind] = space.extreme(choose, largest=True)
    return found


def _most_channels(space: SearchSpace) -> dict[str, tuple[int, int]]:
    """The most input and output channels that any network of the space has at each convolution of its blocks.

    The largest network has them, but for a sandglass: the rule on its least channels can leave it with fewer inside.
    """
    most: dict[str, tuple[int, int]] = {}
    widths: tuple[int, ...] = (space.stem_width,)
    for index, options in enumerate(space.stages):
        for in_width in widths:
            for shape in space.stage_shapes(index, in_width):
                for block, part in enumerate(stage_blocks(shape.stage, in_width, space.activation)):
                    for role, piece in part.pieces:
                        if isinstance(piece, ConvPart):
                            name = f"stages.{index}.{block}.{role}"
                            ins, outs = most.get(name, (0, 0))
                            most[name] = max(ins, piece.in_channels), max(outs, piece.out_channels)
        widths = options.width
    return most


def _widened(name: str, part: Part, channels: dict[str, tuple[int, int]]) -> nn.Module:
    """The part's module, its convolutions with so many channels."""
    if not isinstance(part, BlockPart):
        return part.create()
    module = nn.Module()
    for role, piece in part.pieces:
        if isinstance(piece, ConvPart):
            ins, outs = channels[f"{name}.{role}"]
            module.add_module(role, replace(piece, in_channels=ins, out_channels=outs).create())
        else:
            module.add_module(role, piece.create())
    return module


def _key(name: str, part: Part, local: str) -> str:
    """Where a parameter is stored: by position and role, and by the kind inside an attention."""
    if isinstance(part, BlockPart) and local.startswith("attention."):
        local = f"attention.{part.attention.kind}.{local.removeprefix('attention.')}"
    return f"{name}.{local}".replace(".", "/")  # a parameter's name must not hold dots


def _cuts(stored: Sequence[int], wanted: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """The cut of a stored tensor: leading channels, centred kernels; nothing along a dimension used whole."""
    if len(stored) != len(wanted) or any(n > m for n, m in zip(wanted, stored, strict=True)):
        raise ValueError(f"a parameter of {tuple(wanted)} is not part of the stored {tuple(stored)}")
    cuts = []
    for axis, (whole, length) in enumerate(zip(stored, wanted, strict=True)):
        if length < whole:
            cuts.append((axis, (whole - length) // 2 if axis >= 2 else 0, length))
    return tuple(cuts)
