"""What of a search's outcome needs a word, and the flag that helps: said in the terminal, on the page, in the plan."""

from collections.abc import Mapping
from typing import Any

from foundation.metric import ACCURACY, Measured, is_corrected
from reports.notation import COST_NAMES
from reports.record import Record
from reports.uncertainty import near_chance, of_share, with_error
from search_space.first_weights import SCRATCH
from training.sizing import FEWEST_STEPS, epoch_steps

FAR_BELOW = 0.85
"""A winner that takes less of the bound that it is nearest to is far below its budget."""

FEW = 0.75
"""Trainings are planned for `FEWEST_STEPS` at least, in whole epochs: what is below this share was asked for."""

LONGER = 4
"""Times as many epochs are advised where shared weights have learnt nothing."""


def remarks(record: Record) -> list[str]:
    """A sentence or two for each thing that stands out; nothing for a search that has not finished."""
    if record.best is None:
        return []
    found = (
        _of_chance(record),
        few_steps(record.identity.get("evaluator") or {}, record.pictures("train")),
        _unused(record),
    )
    return [said for said in found if said is not None]


def few_steps(evaluator: Mapping[str, Any], pictures: int | None) -> str | None:
    """That shared weights were trained for few steps; None where they were for enough, or where it is not known.

    Args:
        evaluator: its identity.
        pictures: that there are to train on.
    """
    epochs, batch = _training(evaluator)
    begun = evaluator.get("weights") or evaluator.get("init", SCRATCH.name) != SCRATCH.name
    if begun or not epochs or not batch or not pictures:
        return None
    an_epoch = epoch_steps(pictures, batch)
    if epochs * an_epoch >= FEW * FEWEST_STEPS:
        return None
    wanted = -(-FEWEST_STEPS // an_epoch)
    return (
        f"the shared weights have {epochs * an_epoch} training steps in all, which is few to rank networks by: "
        f"--supernet-epochs {wanted} gives {wanted * an_epoch}"
    )


def _training(evaluator: Mapping[str, Any]) -> tuple[int, int]:
    """Epochs and batch of the shared weights; zeros where there are none."""
    supernet = evaluator.get("supernet") if evaluator.get("name") == "anchored" else evaluator
    recipe = supernet.get("recipe") if isinstance(supernet, Mapping) else None
    if evaluator.get("name") not in ("supernet", "anchored") or not isinstance(recipe, Mapping):
        return 0, 0
    epochs, batch = recipe.get("epochs"), recipe.get("batch_size")
    return (epochs, batch) if type(epochs) is int and type(batch) is int and min(epochs, batch) > 0 else (0, 0)


def _of_chance(record: Record) -> str | None:
    """That the best of the front is hardly better than guessing."""
    pictures, classes = record.scored_pictures, record.num_classes
    best = max((accuracy for one in record.front if (accuracy := _accuracy(one.measured)) is not None), default=None)
    if best is None or not pictures or not classes or not near_chance(best, pictures, classes):
        return None
    error = of_share(best, pictures)
    said = (
        f"the best accuracy of the front, {with_error(ACCURACY, best, error)} of {pictures} pictures, is not told from "
        f"guessing one of {classes} classes ({ACCURACY.written(1 / classes)}): such scores rank nothing"
    )
    epochs, batch = _training(record.identity.get("evaluator") or {})
    if not epochs:
        return said
    wanted = max(
        LONGER * epochs, -(-FEWEST_STEPS // epoch_steps(record.pictures("train") or FEWEST_STEPS * batch, batch))
    )
    return f"{said}; --supernet-epochs {wanted} trains the shared weights for longer (now {epochs})"


def _accuracy(measured: Measured) -> float | None:
    """The accuracy itself, where that was measured."""
    if measured.metric == ACCURACY:
        return measured.value
    return measured.beside.get(ACCURACY.name) if is_corrected(measured.metric) else None


def _unused(record: Record) -> str | None:
    """That the best takes little of its budget, and what that means: of a search that looked at larger ones too."""
    assert record.best is not None
    space = record.space
    if space is None or not record.bounds:
        return None
    reachable = dict(record.bounds)
    for name in reachable.keys() & {"macs", "params"}:  # a run keeps no times
        largest = space.cost(space.cheapest(name, sign=-1))
        reachable[name] = min(reachable[name], getattr(largest, name))
    shares = {name: getattr(record.best.cost, name) / bound for name, bound in reachable.items()}
    nearest = max(shares, key=lambda name: shares[name])
    filling = FAR_BELOW * reachable[nearest]
    candidates = (*record.front, *(one.candidate for one in record.evaluated))
    tried = any(getattr(one.cost, nearest) >= filling for one in candidates)
    if shares[nearest] >= FAR_BELOW or not tried:
        return None
    said = (
        f"the best takes {100 * shares[nearest]:.0f} % of the budget of {COST_NAMES[nearest]}: no larger network was "
    )
    if record.decided is not None:
        return f"{said}found to be better, nor did a larger finalist come to more, so a smaller budget does as well"
    return (
        f"{said}found to be better, so a smaller budget does as well, or these scores flatter small networks; "
        "--finalists trains some that fill the budget by themselves"
    )
