"""A trained supernet's weights for each of its architectures, to start a training from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError, one_line
from foundation.json_files import parse_json
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.network import Network, check
from search_space.space import SearchSpace
from training.checkpoint import load_weights


def slices(path: Path, setting: str) -> Callable[[Architecture], Network]:
    """What makes an architecture's network with the shared weights of a file; its batch statistics are fresh.

    The network has the head that the weights were trained with, and the resolution and the dilation that the file's
    space has: weights know of neither.

    Args:
        setting: by which the file was named, for messages.

    Raises InputError if the file holds no such weights. What it returns does so for an architecture that is not in the
    file's space.
    """
    tensors, metadata = load_weights(path)
    try:
        trained: dict[str, Any] = parse_json(metadata["trained"])
        priced = PricedSpace.from_dict(trained["space"])
        for _, widest in priced.space.widest(own_kernels=False):  # a file's space could be of any size
            check(widest, priced.head)
        store = WeightStore(priced.space, priced.head, own_kernels=trained["recipe"]["own_kernels"])
        store.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # InputError among them
        reason = one_line(error)
        raise InputError(
            f"`init` {setting}: {path} does not hold a supernet's weights ({reason}); search again, or `init` scratch"
        ) from None

    def sliced(architecture: Architecture) -> Network:
        try:
            own = _as_in(priced.space, architecture)
            priced.space.choices(own)
        except InputError:
            raise InputError(
                f"`init` {setting}: architecture {architecture.digest()[:12]} is not in space {priced.space.name} of "
                f"{path}; give weights of a space that has it, or `init` scratch"
            ) from None
        return store.extract(own)

    return sliced


def _as_in(space: SearchSpace, architecture: Any) -> Any:
    """The architecture at a resolution of the space, and as dilated as its networks are: the weights are the same."""
    own = space.member_of(architecture)
    if own is None:
        return architecture
    dilated = {name: getattr(own, name) for name in ("output_stride",) if hasattr(own, name)}
    return replace(architecture, resolution=max(space.resolution), **dilated)
