"""The supernet's weights: the widest tensor of every parameter, and sub-networks as views of them.

There is no second definition of the networks. A sub-network is the ordinary module of its architecture, run on leading
channels and centred kernels of the stored tensors. Parameters only are stored: batch statistics belong to a candidate.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from search_space.architecture import Architecture
from search_space.blocks import BlockPart, Part
from search_space.network import Network, initialise, parts
from search_space.pretrained import Transferred, transfer
from search_space.space import SearchSpace, dimension
from training.synchronised_norm import synchronise

MAX_CACHED_MODULES = 4096


class _View(NamedTuple):
    """A parameter of a part: the module in it that has the parameter as `own`, the stored tensor, and how that is cut.

    Attributes:
        cuts: (axis, start, length) for each axis not whole.
    """

    holder: nn.Module
    own: str
    key: str
    cuts: tuple[tuple[int, int, int], ...]


class WeightStore(nn.Module):
    """The shared parameters of every architecture of a space.

    Each is kept under the position of its part, its role and, inside an attention, the attention's kind; so the
    reduction ratios of one kind share, and different kinds do not.

    Args:
        sync_batch_norm: whether sub-networks normalise by the statistics of every process's share of a batch.
    """

    def __init__(self, space: SearchSpace, *, sync_batch_norm: bool = False):
        super().__init__()
        self.space = space
        self.sync_batch_norm = sync_batch_norm
        self.tensors = nn.ParameterDict()
        self._modules_cache: OrderedDict[tuple[str, Part], tuple[nn.Module, dict[str, _View]]] = OrderedDict()
        for architecture in _widest(space).values():
            for name, part in parts(architecture, space.num_classes):
                module = part.create()
                initialise(module)
                for local, parameter in module.named_parameters():
                    key = _key(name, part, local)
                    if key not in self.tensors:
                        self.tensors[key] = nn.Parameter(parameter.detach().clone())

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightStore":
        """Tensors of its own. The space is a value; cached modules hold no weights, and are made when needed."""
        copied = WeightStore.__new__(WeightStore)
        memo[id(self)] = copied
        nn.Module.__init__(copied)
        copied.space = self.space
        copied.sync_batch_norm = self.sync_batch_norm
        copied.tensors = copy.deepcopy(self.tensors, memo)
        copied._modules_cache = OrderedDict()
        return copied.train(self.training)

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
        network = Network(architecture, self.space.num_classes, self._on_views)
        return cast(Tensor, network.train()(images))

    def views(self, architecture: Architecture) -> dict[str, Tensor]:
        """The sub-network's parameters by the names its module has for them, as views of the stored tensors."""
        views = {}
        for name, part in parts(architecture, self.space.num_classes):
            for local, view in self._part(name, part)[1].items():
                views[f"{name}.{local}"] = self._cut(view)
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

    def _on_views(self, name: str, part: Part) -> nn.Module:
        """A part's cached module, its parameters set to views until it is used next.

        That is what `torch.func.functional_call` does for the length of a call, at twice the overhead: it looks every
        parameter up by its path, and puts the former ones back.
        """
        module, views = self._part(name, part)
        for view in views.values():
            view.holder._parameters[view.own] = cast(nn.Parameter, self._cut(view))
        return module

    def _cut(self, view: _View) -> Tensor:
        tensor: Tensor = self.tensors[view.key]
        for axis, start, length in view.cuts:
            tensor = tensor.narrow(axis, start, length)
        return tensor

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
        if self.sync_batch_norm:
            synchronise(module)
        views = {}
        for local, parameter in module.named_parameters():
            key = _key(name, part, local)
            path, _, own = local.rpartition(".")
            views[local] = _View(module.get_submodule(path), own, key, _cuts(self.tensors[key].shape, parameter.shape))
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
            what = dimension(name)
            if what == "attention":
                return kind if kind in options else options[0]
            return space.extreme(name, options, largest=True)

        found[kind] = space.assemble(choose)
    return found


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
