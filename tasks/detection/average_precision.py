"""Average precision of boxes as COCO has it, by torchmetrics and faster-coco-eval."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from foundation.errors import InputError

Things = Mapping[str, Tensor]
"""Of a picture: `boxes` K×4 (left, top, right, bottom in pixels), `labels` K (int64), and of those found `scores` K."""


def average_precision(
    found: Sequence[Things], true: Sequence[Things], classes: int
) -> tuple[dict[str, float], tuple[float, ...]]:
    """The average precision of all pictures by name, and that of each class; NaN where there is no box to be found.

    `ap` is the mean over intersections over unions of .5 to .95, `ap50` and `ap75` are at these; `ap_small`,
    `ap_medium` and `ap_large` are of boxes below 32² pixels, from there to 96², and above. Of a picture the 100 best
    boxes count. What finds a box that is `ignored` (K, bool) is neither right nor wrong, as for COCO's `iscrowd`.
    """
    from torchmetrics.detection import MeanAveragePrecision

    # By class from its table of precisions: asked for those, it would begin anew for each class. Of several processes
    # each has all pictures already: it would wait for as many from each.
    measure = MeanAveragePrecision(backend="faster_coco_eval", extended_summary=True, sync_on_compute=False)
    measure.warn_on_many_detections = False
    measure.update([_named(one) for one in found], [_named(one) for one in true])
    result: dict[str, Any] = measure.compute()
    names = {"ap": "map", "ap50": "map_50", "ap75": "map_75"}
    names |= {f"ap_{size}": f"map_{size}" for size in ("small", "medium", "large")}
    values = {name: _known(result[theirs]) for name, theirs in names.items()}
    each = [float("nan")] * classes
    for place, label in enumerate(result["classes"].reshape(-1).tolist()):
        precisions = result["precision"][:, :, place, 0, -1]  # of boxes of all sizes
        each[label] = _known(precisions.mean())
    return values, tuple(each)


def check_installed() -> None:
    """Raises InputError where torchmetrics or faster-coco-eval is not installed."""
    for package in ("torchmetrics", "faster_coco_eval"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"`task` detection: {package.replace('_', '-')} is not installed; get it by: "
                "pip install 'coordnas[detection]'"
            )


def plain(things: Things) -> dict[str, Tensor]:
    """Plain tensors, on the CPU."""
    return {name: tensor.as_subclass(Tensor).cpu() for name, tensor in things.items()}


def _known(value: Tensor) -> float:
    """The value; what says -1 where there is no box to be found is NaN."""
    return float(value) if value >= 0 else float("nan")


def _named(things: Things) -> dict[str, Tensor]:
    """By torchmetrics' names."""
    named = plain(things)
    if "ignored" in named:
        named["iscrowd"] = named.pop("ignored").int()
    return named
