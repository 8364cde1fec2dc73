"""A trained network as a model of simulated neurons: what it predicts of them, and how pictures made by it fool them.

In the manner of arXiv:2011.05623, whose code is not published. The neurons are those of a hidden network of another
family (`tasks.neural.brain`); nothing was recorded from an animal.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from deployment.model_source import Model
from deployment.neuron_bench import Bench, Example
from foundation.errors import InputError
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from foundation.seeds import derive
from tasks.neural.attacks import GUIDED, METHODS, Attacks
from tasks.neural.brain import Brain, brain_of
from tasks.neural.ensemble import ensemble_of
from tasks.neural.substitute import Pixels, recorded, substitute_of
from training.data.dataset import Dataset
from training.data.split import Split
from training.task import check_class_labels

FEWEST = 16
ENOUGH = 0.5
"""Share of pictures that are taken for their target from which a budget is shown."""
KEPT = "neurons.json"


@dataclass(frozen=True)
class Study:
    """What a network came to beside simulated neurons.

    Attributes:
        explained: mean explained variance of the neurons on pictures that nothing was fitted on.
        ceiling: their mean noise ceiling there.
        decoded: share of those pictures whose category the linear decoder finds.
        at_rest: share of them that are taken for their target as they are.
        pictures: how many were changed.
        budgets: bounds on the mean squared difference of values from 0 to 1.
        taken: by attack, for each budget the share that the decoder takes for the target.
        explained_on_changed: the explained variance on neuron-guided pictures, for each budget.
        shown: the budget of the examples.
    """

    explained: float
    ceiling: float
    decoded: float
    at_rest: float
    pictures: int
    budgets: tuple[float, ...]
    taken: Mapping[str, tuple[float, ...]]
    explained_on_changed: tuple[float, ...]
    shown: float
    examples: Sequence[Example]

    @property
    def share(self) -> float:
        """The explained variance by the noise ceiling."""
        return self.explained / self.ceiling if self.ceiling > 0 else math.nan

    @property
    def error(self) -> float:
        """Half the widest interval of 95% of a share of so many pictures."""
        return 1.96 * math.sqrt(0.25 / self.pictures)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "explained": self.explained,
            "ceiling": self.ceiling,
            "share_of_ceiling": self.share if math.isfinite(self.share) else None,
            "decoded": self.decoded,
            "taken_at_rest": self.at_rest,
            "pictures": self.pictures,
            "budgets": list(self.budgets),
            "taken_for_target": {name: list(shares) for name, shares in self.taken.items()},
            "explained_on_neuron_guided": list(self.explained_on_changed),
        }


@dataclass(frozen=True)
class Hidden:
    """The hidden network of some pictures, and networks for the ensemble attack: the same for all that is judged."""

    brain: Brain
    ensemble: Sequence[nn.Module]

    @classmethod
    def of(cls, data: Dataset, folder: Path, reporter: Reporter, seed: int = 0) -> "Hidden":
        """From the folder, or trained and kept there."""
        return cls(brain_of(data, folder, reporter, seed), ensemble_of(data, folder, reporter, seed))


def check_neurons(model: Model) -> None:
    """Raises InputError for a network that is no classifier, or whose gradients are not to be had."""
    check_class_labels(model.task, "`neurons`", "leave it out")
    if len(model.info.classes) < 2:
        raise InputError(
            f"{model.path}: has one class, so there is no other to change a picture to; leave `neurons` out"
        )
    if model.network is None:
        raise InputError(
            f"{model.path}: an ONNX file gives neither features nor gradients, and `neurons` takes both; give the "
            "network's .safetensors"
        )


def check_pictures(split: Split) -> None:
    """Raises InputError for a split of fewer than 16 pictures."""
    if len(split) < FEWEST:
        raise InputError(f"`neurons`: {len(split)} pictures in the split; give `data` with at least {FEWEST} in it")


def studied(
    model: Model,
    data: Dataset,
    split: Split,
    hidden: Hidden,
    folder: Path,
    *,
    name: str,
    part: str,
    budgets: Sequence[float],
    pictures: int,
    seed: int = 0,
    reporter: Reporter,
) -> Study:
    """The network beside the hidden network's neurons.

    A regression on its features is fitted on responses to clean training pictures, and scored on those of the split.
    Then pictures of the split are changed by each attack within each budget, and a linear decoder of the hidden
    network's responses says what they are taken for. What each attack came to is kept in `neurons.json` in the folder,
    from where a killed study goes on; all draws are by a picture's number.

    Args:
        name: what progress calls the network.
        part: of the data, that the split is.
        budgets: bounds on the mean squared change of values from 0 to 1.
        pictures: that are changed, evenly spaced.

    Raises InputError for a split of fewer than 16 pictures.
    """
    check_pictures(split)
    assert model.network is not None
    pixels = Pixels(data.mean, data.std)
    recording = recorded(hidden.brain, data, pixels, derive(seed, "recording"))
    frozen = model.network.eval().requires_grad_(False)
    substitute = substitute_of(frozen, recording, pixels)
    attacks = Attacks(hidden.brain, recording, substitute, hidden.ensemble, pixels, seed)
    bench = Bench(attacks, split, min(pictures, len(split)), seed)
    explained, ceiling, decoded = bench.scored()
    kept = _Kept(folder / KEPT, {**_identity(model, data), "pictures": bench.count, "seed": seed, "split": part})
    taken: dict[str, tuple[float, ...]] = {}
    explained_on: tuple[float, ...] = ()
    for method in METHODS:
        found = []
        for budget in budgets:
            key = f"{method} {budget!r}"
            if key not in kept.found:
                kept.add(key, bench.judged(method, budget, f"{name}, {method}, MSE {budget:g}", reporter))
            found.append(kept.found[key])
        taken[method] = tuple(float(one["taken"]) for one in found)
        if method == GUIDED:
            explained_on = tuple(float(one["explained"]) for one in found)
    shown = next((b for b, share in zip(budgets, taken[GUIDED], strict=True) if share >= ENOUGH), budgets[-1])
    return Study(
        explained,
        ceiling,
        decoded,
        bench.at_rest(),
        bench.count,
        tuple(budgets),
        taken,
        explained_on,
        shown,
        bench.examples(shown, data.classes),
    )


class _Kept:
    """What attacks came to so far, by their names and budgets, in a file."""

    def __init__(self, path: Path, identity: Mapping[str, Any]):
        self.path, self.identity = path, dict(identity)
        content = read_json(path) if path.exists() else {}
        same = isinstance(content, dict) and content.get("identity") == self.identity
        found: Any = content.get("found") if same else {}
        self.found: dict[str, dict[str, float]] = found if _is_found(found) else {}

    def add(self, key: str, value: dict[str, float]) -> None:
        """Keeps it on the disk as well."""
        self.found[key] = value
        write_json(self.path, {"identity": self.identity, "found": self.found})


def _is_found(content: object) -> bool:
    """Whether a file's content is what `_Kept` writes; else all is judged again."""
    rows = list(content.values()) if isinstance(content, dict) else [None]
    named = {"taken", "explained"}
    return all(
        isinstance(row, dict) and row.keys() == named and all(type(one) is float for one in row.values())
        for row in rows
    )


def _identity(model: Model, data: Dataset) -> dict[str, Any]:
    return {"network": hashlib.sha256(model.path.read_bytes()).hexdigest(), "data": data.identity}
