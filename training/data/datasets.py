"""The pictures that a spec names."""

import importlib
import re
from pathlib import Path
from typing import Any

import torch

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.dataset import DATASETS, Dataset, Wanted
from training.data.held import HeldSplit
from training.data.split import Split
from training.specs import ADAPTED, DATA, TO


def load_data(
    spec: str,
    resolution: int,
    device: torch.device,
    reporter: Reporter | None = None,
    *,
    streamed: bool | None = None,
    skip_corrupt: bool = False,
    loaders: int | None = None,
    download: bool = True,
) -> Dataset:
    """The labelled pictures that a spec names, at `resolution` pixels a side.

    Args:
        streamed: whether a `folder:` is decoded from its files whenever pictures are needed, instead of held in memory;
            None for only if it does not fit there. `imagenet:` always is, and the others never are.
        skip_corrupt: whether files that cannot be decoded are passed over, see `StreamedSplit`; of held ones left out.
        loaders: processes that decode streamed pictures; 0 for none beside this one, None for one a processor.
        download: whether data that torchvision has and that are not there are fetched, into where the spec says.

    Raises InputError for an unknown spec, or a folder that cannot be used.
    """
    kind = spec.partition(":")[0]
    if TO in spec:
        raise InputError(
            f"`data` {spec}: pictures to adapt to are for task {ADAPTED}; give that too, or leave them out"
        )
    if loaders is not None and loaders < 0:
        raise InputError(f"`loaders` {loaders}: expected 0 or more")
    if kind not in DATASETS:
        plugins = [name for name in DATASETS if name not in _OWN]
        raise InputError(f"`data` {spec}: unknown; known: {', '.join([DATA, *plugins])}")
    options: dict[str, Any] = {"streamed": streamed, "skip_corrupt": skip_corrupt, "loaders": loaders}
    return DATASETS[kind](Wanted.of(spec, resolution, device, reporter, **options, download=download))


for _file in sorted((Path(__file__).parent / "sources").glob("[a-z]*.py")):
    importlib.import_module(f"training.data.sources.{_file.stem}")
_OWN = {re.split(r"[:\[]", spec)[0] for spec in DATA.split(", ")}

__all__ = ["DATASETS", "Dataset", "HeldSplit", "Split", "Wanted", "load_data"]
