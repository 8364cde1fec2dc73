"""The supernet's weights: the widest tensor of every parameter, and sub-networks as views of them.

There is no second definition of the networks. A sub-network is the ordinary module of its architecture, run on leading
channels and centred kernels of the stored tensors. Parameters only are stored: batch statistics belong to a candidate.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from search_space.architecture import Architecture
from search_space.constants import set_constants
from search_space.family import found_in
from search_space.first_weights import FirstWeights
from search_space.head import Head, as_head
from search_space.network import NETWORKS, Network, bare, initialise_head, is_of_head, parts
from search_space.parts import Compound, Part, Piece
from search_space.pretrained import Transferred
from search_space.space import SearchSpace
from training import lanes
from training.synchronised_norm import synchronise

MAX_CACHED_MODULES = 8192  # of each lane


class _View(NamedTuple):
    """A parameter of a part: the module in it that has the parameter as `own`, the stored tensor, and how that is cut.

    Attributes:
        path: the parameter's name within the part.
        cuts: (axis, start, length) for each axis not whole.
    """

    path: str
    holder: nn.Module
    own: str
    key: str
    cuts: tuple[tuple[int, int, int], ...]


_Cached = tuple[nn.Module, tuple[_View, ...]]
"""A part's or piece's module and its parameters."""

_Cache = OrderedDict[tuple[str, str, Part], _Cached]


class SubNetwork(NamedTuple):
    """A network on the stored weights whose gradients are its own, so that several may be trained at the same time.

    Attributes:
        network: maps images to logits until the lane that made it makes another.
        leaves: its parameters, each a leaf on the memory of a view, with that view.
    """

    network: Network
    leaves: list[tuple[_View, Tensor]]


class WeightStore(nn.Module):
    """The shared parameters of every architecture of a space.

    Each is kept under the position of its part, its role and, inside an attention, the attention's kind; so the
    reduction ratios of one kind share, and different kinds do not.

    Args:
        own_kernels: whether each kernel size has depthwise weights and norms of its own, or else all sizes share the
            largest's, the smaller ones its centre. The centre of a 5×5 kernel that is trained as a whole serves a 3×3
            network badly, so sharing it ranks small kernels too low.
        sync_batch_norm: whether sub-networks normalise by the statistics of every process's share of a batch.
    """

    def __init__(
        self, space: SearchSpace, num_classes: Head | int, *, own_kernels: bool = False, sync_batch_norm: bool = False
    ):
        super().__init__()
        self.space = space
        self.num_classes = as_head(num_classes)
        self.own_kernels = own_kernels
        self.sync_batch_norm = sync_batch_norm
        self.tensors = nn.ParameterDict()
        self._modules_caches: list[_Cache] = [OrderedDict() for _ in range(lanes.MOST)]
        for member in space.members:
            self._store(member)

    def _store(self, space: SearchSpace) -> None:
        """Draws the parameters of a space of one family."""
        kind = found_in(NETWORKS, space.family, "network")
        for name, pieces in space.stored_pieces(self.num_classes, own_kernels=self.own_kernels):
            modules = [piece.create() for _, piece in pieces]
            for (role, piece), module in zip(pieces, modules, strict=True):
                kind.initialise(module)
                if is_of_head(name):
                    initialise_head(module, self.num_classes)
                for local, parameter in module.named_parameters():
                    key = self._key(self._scoped(space.family, name), role, piece, local)
                    if key not in self.tensors:
                        self.tensors[key] = nn.Parameter(parameter.detach().clone())

    def _scoped(self, family: str, name: str) -> str:
        """Under which name a part is kept: families that are searched together share nothing."""
        return name if len(self.space.members) == 1 else f"{family}.{name}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightStore":
        """Tensors of its own. The space is a value; cached modules hold no weights, and are made when needed."""
        copied = WeightStore.__new__(WeightStore)
        memo[id(self)] = copied
        nn.Module.__init__(copied)
        copied.space = self.space
        copied.num_classes = self.num_classes
        copied.own_kernels = self.own_kernels
        copied.sync_batch_norm = self.sync_batch_norm
        copied.tensors = copy.deepcopy(self.tensors, memo)
        copied._modules_caches = [OrderedDict() for _ in range(lanes.MOST)]
        return copied.train(self.training)

    @torch.no_grad()
    def carry_over(self, first: FirstWeights) -> dict[str, Transferred]:
        """Starts the shared weights from others: what came of it, for the widest network of each attention kind.

        Raises InputError if one of these networks cannot begin from them.
        """
        reports: dict[str, Transferred] = {}
        for kind, architecture in self.space.widest(own_kernels=self.own_kernels):
            network = self.extract(architecture)
            # A new attention's gates start constant; batch statistics, recomputed for each candidate, make up for it.
            report = first.fill(network, compensate=False)
            reports.setdefault(kind, report)  # of the largest kernels
            for view, parameter in zip(self.views(architecture).values(), network.parameters(), strict=True):
                view.copy_(parameter)
        return reports

    def forward(self, architecture: Architecture, images: Tensor) -> Tensor:
        """Logits of the sub-network on its views, normalising by the batch's own statistics; gradients reach the store.

        No module is constructed except for parts not seen lately, and nothing but gradients is written.
        """
        # Made in training mode, and never set to another.
        return cast(Tensor, bare(architecture, self.num_classes, partial(self._on_views, architecture.family))(images))

    def sub_network(self, architecture: Architecture) -> SubNetwork:
        """The sub-network on leaves of its own; what they gather reaches the store by `add_gradients`."""
        leaves: list[tuple[_View, Tensor]] = []

        def on_leaves(name: str, part: Part) -> nn.Module:
            module, views = self._part(self._scoped(architecture.family, name), part)
            for view in views:
                leaf = self._cut(view).detach().requires_grad_()
                view.holder._parameters[view.own] = cast(nn.Parameter, leaf)
                leaves.append((view, leaf))
            return module

        return SubNetwork(bare(architecture, self.num_classes, on_leaves), leaves)

    @torch.no_grad()
    def add_gradients(self, leaves: Sequence[tuple[_View, Tensor]]) -> None:
        """Adds the leaves' gradients to the stored tensors'; where no leaf has one there stays none."""
        for view, leaf in leaves:
            if leaf.grad is None:
                continue
            stored: Tensor = self.tensors[view.key]
            if stored.grad is None:
                stored.grad = torch.zeros_like(stored)
            self._cut(view, stored.grad).add_(leaf.grad)

    def views(self, architecture: Architecture) -> dict[str, Tensor]:
        """The sub-network's parameters by the names its module has for them, as views of the stored tensors."""
        return {
            f"{name}.{view.path}": self._cut(view)
            for name, part in parts(architecture, self.num_classes)
            for view in self._part(self._scoped(architecture.family, name), part)[1]
        }

    def extract(self, architecture: Architecture) -> Network:
        """An ordinary network of its own with copies of the views. Its batch statistics are still to be computed."""
        with torch.device("meta"):
            network = bare(architecture, self.num_classes)
        network.to_empty(device=self._device)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        set_constants(network, self._device)
        views = self.views(architecture)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(views[name])
        return network

    @property
    def _device(self) -> torch.device:
        return next(iter(self.tensors.values())).device

    def _on_views(self, family: str, name: str, part: Part) -> nn.Module:
        """A part's cached module, its parameters set to views until it is used next.

        That is what `torch.func.functional_call` does for the length of a call, at twice the overhead: it looks every
        parameter up by its path, and puts the former ones back.
        """
        module, views = self._part(self._scoped(family, name), part)
        for view in views:
            view.holder._parameters[view.own] = cast(nn.Parameter, self._cut(view))
        return module

    def _cut(self, view: _View, whole: Tensor | None = None) -> Tensor:
        """The view of its stored tensor, or of another one of that shape."""
        tensor: Tensor = self.tensors[view.key] if whole is None else whole
        for axis, start, length in view.cuts:
            tensor = tensor.narrow(axis, start, length)
        return tensor

    def _part(self, name: str, part: Part, role: str = "") -> _Cached:
        """The module of a part, or of the piece with that role in it, and where its parameters are; cached, bounded."""
        key = (name, role, part)
        cache = self._modules_caches[lanes.current() or 0]  # lanes set the parameters of modules of their own
        cached = cache.get(key)
        if cached is not None:
            cache.move_to_end(key)
            return cached
        if isinstance(part, Piece):
            made = self._piece(name, role, part)
        else:
            assert isinstance(part, Compound)
            made = self._block(name, part)
        cache[key] = made
        if len(cache) > MAX_CACHED_MODULES:
            cache.popitem(last=False)
        return made

    def _block(self, name: str, part: Compound) -> _Cached:
        """Made of pieces that other blocks in its place have too: blocks differ in far more ways than pieces do."""
        pieces = {role: self._part(name, piece, role) for role, piece in part.pieces}
        block = part.composed(lambda role, _: pieces[role][0])
        return block, tuple(view for _, views in pieces.values() for view in views)

    def _piece(self, name: str, role: str, piece: Piece) -> _Cached:
        """A module without storage or batch statistics."""
        with torch.device("meta"):
            module = piece.create()
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        set_constants(module, self._device)
        if self.sync_batch_norm:
            synchronise(module)
        views = []
        for local, parameter in module.named_parameters():
            key = self._key(name, role, piece, local)
            holder, _, own = local.rpartition(".")
            path = f"{role}.{local}" if role else local
            cuts = _cuts(self.tensors[key].shape, parameter.shape)
            views.append(_View(path, module.get_submodule(holder), own, key, cuts))
        return module, tuple(views)

    def _key(self, name: str, role: str, piece: Piece, local: str) -> str:
        """Where a piece's parameter is stored: by position and role, by an attention's kind, perhaps by kernel size."""
        role = piece.stored_role(role, own_kernels=self.own_kernels)
        # A parameter's name must not hold dots.
        return ".".join(filter(None, (name, role, local))).replace(".", "/")


def _cuts(stored: Sequence[int], wanted: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """The cut of a stored tensor: leading channels, centred kernels; nothing along a dimension used whole."""
    if len(stored) != len(wanted) or any(n > m for n, m in zip(wanted, stored, strict=True)):
        raise ValueError(f"a parameter of {tuple(wanted)} is not part of the stored {tuple(stored)}")
    cuts = []
    for axis, (whole, length) in enumerate(zip(stored, wanted, strict=True)):
        if length < whole:
            cuts.append((axis, (whole - length) // 2 if axis >= 2 else 0, length))
    return tuple(cuts)
