"""Networks of our own, trained briefly on a user's pictures and kept in a folder, once for all that use them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError
from foundation.files import remove_leftovers
from foundation.progress import Reporter
from foundation.seeds import derive
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights, remove_checkpoints, save_weights
from training.data.dataset import Dataset
from training.data.split import Split
from training.loop import fit
from training.methods.label_step import LabelStep
from training.recipe import Recipe

SIDE = 32
"""Pixels a side at which they see every picture."""
PICTURES = 5000
"""That they learn from at most, evenly spaced among the training pictures."""
RECIPE = Recipe(epochs=12, batch_size=64, learning_rate=0.05)

Module = TypeVar("Module", bound=nn.Module)


def sample(data: Dataset, most: int = PICTURES) -> Split:
    """At most so many of the training pictures, evenly spaced."""
    count = min(most, len(data.train))
    return data.train.subset(torch.arange(count) * len(data.train) // max(1, count))


def trained_briefly(
    build: Callable[[], Module],
    data: Dataset,
    *,
    seed: int,
    checkpoint: Path,
    identity: Mapping[str, Any],
    reporter: Reporter,
    what: str,
) -> Module:
    """A classifier of the data's classes, trained by `RECIPE`, or on from its checkpoint; in evaluation mode.

    Args:
        build: makes it, with weights from torch's global random state.
        identity: plain values that tell it apart, as `training.loop.fit` takes them.
    """
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    world = distributed.world()  # whose processes share each batch evenly
    recipe = replace(RECIPE, batch_size=max(2 * world, RECIPE.batch_size // world * world))
    torch.manual_seed(derive(seed, "weights"))
    network = build().to(data.device).to(memory_format=torch.channels_last)
    fit(
        LabelStep(network, SIDE, recipe, CLASSIFICATION, data.num_classes),
        sample(data),
        recipe,
        seed=derive(seed, "training"),
        checkpoint=checkpoint,
        identity={**identity, **_of(data)},
        reporter=reporter,
        what=what,
    )
    return network.eval()


def kept_or_made(
    module: Module, make: Callable[[Path], Module], data: Dataset, folder: Path, name: str, identity: Mapping[str, Any]
) -> Module:
    """The module with what `NAME.safetensors` in the folder holds; if that is not there, with what is made and kept so.

    Processes that train together call this together.

    Args:
        make: given where its checkpoint goes; called by all processes.
        identity: plain values; a file of another identity, or of other pictures, is refused.

    Raises InputError for such a file, or a broken one.
    """
    path, checkpoint = folder / f"{name}.safetensors", folder / f"{name}.checkpoint"
    described = json.dumps({**identity, **_of(data)}, sort_keys=True)

    def known() -> dict[str, Tensor] | None:
        remove_leftovers(folder, (path.name, checkpoint.name))
        if not path.exists():
            return None
        tensors, metadata = load_weights(path)
        if metadata.get("trained") != described:
            raise InputError(f"{path}: made from other pictures, or with another seed; use another `out`, or remove it")
        try:
            module.load_state_dict(tensors)
        except RuntimeError:
            raise InputError(f"{path}: its weights do not fit; remove it, and it is made again") from None
        return tensors

    state = distributed.from_first(known)
    if state is None:
        state = dict(make(checkpoint).state_dict())
        if distributed.rank() == 0:
            save_weights(path, state, {"trained": described})
            remove_checkpoints(checkpoint)
    module.load_state_dict(state)
    return module


def _of(data: Dataset) -> dict[str, Any]:
    """What tells the trainings of other pictures, or by another recipe, apart."""
    return {
        "data": data.identity,
        "pixels": list(data.train.size),
        "recipe": RECIPE.described(),
        "pictures": PICTURES,
    }
