"""A trained supernet's weights for one of its architectures, to start a training from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.supernet.given import WEIGHTS
from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from foundation.json_files import parse_json
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.head import Head, as_head
from search_space.network import Network, check
from training.checkpoint import load_weights


def sliced(run: Path, architecture: Architecture, head: Head | int) -> Network:
    """The architecture's network with the shared weights of a run's folder; its batch statistics are fresh.

    Raises InputError if the run has no finished supernet, or one of other classes, or if the architecture is not in
    its space.
    """
    path = run / WEIGHTS
    if not path.exists():
        raise InputError(f"`init` supernet: {run} holds no {WEIGHTS}; only a search by `evaluator` supernet leaves one")
    tensors, metadata = load_weights(path)
    try:
        trained: dict[str, Any] = parse_json(metadata["trained"])
        priced = replace(PricedSpace.from_dict(trained["space"]), num_classes=head)
        check(priced.largest, head)  # a file's space could be of any size
        store = WeightStore(priced.space, head, own_kernels=trained["recipe"]["own_kernels"])
    except (KeyError, TypeError, ValueError):  # InputError among them
        raise InputError(f"{path}: not a supernet's weights; search again, or start from scratch") from None
    try:
        store.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"`init` supernet: {path} is not of {as_head(head).told}, or of another version") from None
    try:
        priced.space.choices(architecture)
    except InputError:
        raise InputError(f"`init` supernet: the architecture is not in space {priced.space.name} of {path}") from None
    return store.extract(architecture)
