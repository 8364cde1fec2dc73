"""Labelled pictures in three splits, and the `--data` specs that name them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import torch

from search_space.errors import InputError
from training import digits, folders, imagenet, torchvision_sets
from training.device import processors
from training.held import HeldSplit
from training.pictures import Listed
from training.progress import Reporter
from training.split import Split

if TYPE_CHECKING:
    from training.loaders import Loaders

SPECS = "digits, digits:clutter, cifar10[:ROOT], cifar100[:ROOT], fashion-mnist[:ROOT], folder:PATH, imagenet:PATH"
SKIP_CORRUPT = "pass over pictures that cannot be decoded, and say how many"
LOADERS = "processes that decode pictures (default: one a processor)"
MOST_LOADERS = 16  # unless more are asked for


@dataclass(frozen=True)
class Dataset:
    """A classification problem. The test split is made only when asked for.

    Attributes:
        name: without any path, so that results do not depend on where pictures lie.
        identity: tells data apart; for files of the user's own by their names, classes and sizes.
        load: makes `train`, `validation` or `test`.
        mean, std: of each channel, in 0 to 1.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[str], Split]
    device: torch.device

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def train(self) -> Split:
        return self.load("train")

    @cached_property
    def validation(self) -> Split:
        return self.load("validation")

    @cached_property
    def test(self) -> Split:
        return self.load("test")


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
    """The dataset that a `--data` spec names, at `resolution` pixels a side.

    Args:
        streamed: whether a `folder:` is decoded from its files whenever pictures are needed, instead of held in memory;
            None for only if it does not fit there. `imagenet:` always is, and the others never are.
        skip_corrupt: whether files that cannot be decoded are passed over, see `StreamedSplit`; of held ones left out.
        loaders: processes that decode streamed pictures; 0 for none beside this one, None for one a processor.
        download: whether data that torchvision has and that are not there are fetched, into where the spec says.

    Raises InputError for an unknown spec, or a folder that cannot be used.
    """
    kind, _, rest = spec.partition(":")
    reporter = reporter or Reporter(quiet=True)
    if loaders is not None and loaders < 0:
        raise InputError(f"--loaders {loaders}: expected 0 or more")
    if kind == "digits":
        return _digits(spec, rest or "pointed", resolution, device)
    if kind in torchvision_sets.KINDS:
        found = torchvision_sets.find(spec, kind, rest or torchvision_sets.ROOT, resolution, download=download)
        mean, std = torchvision_sets.KINDS[kind].mean, torchvision_sets.KINDS[kind].std
        return Dataset(
            name=kind,
            identity=kind,
            classes=found.classes,
            mean=mean,
            std=std,
            load=lambda split: HeldSplit(found.load(split), mean, std, device),
            device=device,
        )
    if kind not in ("folder", "imagenet"):
        raise InputError(f"--data {spec}: unknown; known: {SPECS}")

    @cache
    def processes() -> "Loaders":
        from training.loaders import Loaders  # decoding brings torchvision, which takes a second to import

        return Loaders(min(processors(), MOST_LOADERS) if loaders is None else loaders, pinned=device.type == "cuda")

    def stream(split: str, files: Listed, margin: float) -> Split:
        from training.streamed import StreamedSplit

        return StreamedSplit(
            split,
            files.paths,
            files.labels,
            resolution,
            folders.MEAN,
            folders.STD,
            device,
            margin=margin,
            loaders=processes(),
            reporter=reporter,
            skip_corrupt=skip_corrupt,
        )

    if kind == "imagenet":
        listed = imagenet.scan(spec, rest)
        return Dataset(
            name=kind,
            identity=f"{kind} {listed.fingerprint}",
            classes=listed.classes,
            mean=folders.MEAN,
            std=folders.STD,
            load=lambda split: stream(split, listed.splits[split], imagenet.MARGIN),
            device=device,
        )
    tree = folders.scan(spec, rest)
    if streamed is None:
        streamed = not tree.fits(resolution)

    def load(split: str) -> Split:
        if streamed:
            return stream(split, tree.listed(split), folders.MARGIN)
        return HeldSplit(
            tree.load(split, resolution, reporter, skip_corrupt=skip_corrupt), folders.MEAN, folders.STD, device
        )

    return Dataset(
        name=kind,
        # Streamed pictures are decoded otherwise than held ones: a training that changed would end with other bits.
        identity=f"{kind} {'streamed ' if streamed else ''}{tree.fingerprint}",
        classes=tree.classes,
        mean=folders.MEAN,
        std=folders.STD,
        load=load,
        device=device,
    )


def _digits(spec: str, variant: str, resolution: int, device: torch.device) -> Dataset:
    if variant not in digits.VARIANTS:
        raise InputError(f"--data {spec}: unknown variant; known: digits, digits:clutter")
    if resolution != digits.SIDE:
        raise InputError(f"--data {spec}: pictures of {digits.SIDE} pixels, but the space wants {resolution}")
    mean, std = (digits.MEAN[variant],), (digits.STD[variant],)
    return Dataset(
        name=spec,
        identity=spec,
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        load=lambda split: HeldSplit(digits.compose(variant, split), mean, std, device),
        device=device,
    )


__all__ = ["Dataset", "HeldSplit", "Split", "load_data"]
