"""Pictures in three splits, and the specs that name those of classes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING

import torch

from foundation.device import processors
from foundation.errors import InputError
from foundation.progress import Reporter
from training.data import digits, folders, imagenet, torchvision_sets
from training.data.corrupt import check_complete
from training.data.equal_pictures import equal_pictures
from training.data.held import HeldSplit
from training.data.pictures import Listed
from training.data.preparation import View
from training.data.split import Split
from training.specs import DATA

if TYPE_CHECKING:
    from training.data.loaders import Loaders

MOST_LOADERS = 16  # unless more are asked for
PREPARED = "prepared by Pillow"
"""In the identity of pictures in files since one preparation is that of all: before, pixels were others."""


@dataclass(frozen=True)
class Dataset:
    """What a task is learnt from. The test split is made only when asked for.

    Attributes:
        name: without any path, so that results do not depend on where pictures lie.
        classes: names of what a network has an output for.
        identity: tells data apart; for files of the user's own by their names, classes and sizes.
        load: makes `train`, `validation` or `test`.
        mean, std: of each channel, in 0 to 1.
        files: how many each split has, of files of the user's own, whether they can be decoded or not.
        counts: of each split's pictures, where these are known before they are loaded.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[str], Split]
    device: torch.device
    files: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def count(self, split: str) -> int:
        """How many pictures the split has. They are loaded where that is not known otherwise."""
        return self.counts[split] if split in self.counts else len(getattr(self, split))

    @cached_property
    def train(self) -> Split:
        return self.load("train")

    @cached_property
    def validation(self) -> Split:
        return self.load("validation")

    @cached_property
    def test(self) -> Split:
        return self.load("test")


def files_of(identity: str) -> str:
    """What of an identity tells the files apart: neither whether they are held in memory, nor how they are prepared."""
    return identity.replace("streamed ", "").removesuffix(f" {PREPARED}")


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
    kind, _, rest = spec.partition(":")
    reporter = reporter or Reporter(quiet=True)
    if loaders is not None and loaders < 0:
        raise InputError(f"`loaders` {loaders}: expected 0 or more")
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
        raise InputError(f"`data` {spec}: unknown; known: {DATA}")

    @cache
    def processes() -> "Loaders":
        from training.data.loaders import Loaders  # decoding brings torchvision, which takes a second to import

        return Loaders(min(processors(), MOST_LOADERS) if loaders is None else loaders, pinned=device.type == "cuda")

    def stream(split: str, files: Listed, classes: tuple[str, ...]) -> Split:
        from training.data.streamed import StreamedSplit

        check_complete(split, files.labels, classes, reporter)
        return StreamedSplit(
            split,
            files.paths,
            files.labels,
            View.of(kind, resolution),
            folders.MEAN,
            folders.STD,
            device,
            classes=classes,
            loaders=processes(),
            reporter=reporter,
            skip_corrupt=skip_corrupt,
        )

    if kind == "imagenet":
        listed = imagenet.scan_imagenet(spec, rest)
        _tell(reporter, listed.notes, lambda: equal_pictures(listed.splits, rest))
        return Dataset(
            name=kind,
            identity=f"{kind} {listed.fingerprint} {PREPARED}",
            classes=listed.classes,
            mean=folders.MEAN,
            std=folders.STD,
            load=lambda split: stream(split, listed.splits[split], listed.classes),
            device=device,
            files={split: len(files.paths) for split, files in listed.splits.items()},
        )
    tree = folders.scan(spec, rest)
    _tell(reporter, tree.notes, lambda: equal_pictures({split: tree.listed(split) for split in tree.files}, rest))
    if streamed is None:
        streamed = not tree.fits(resolution)

    def load(split: str) -> Split:
        if streamed:
            return stream(split, tree.listed(split), tree.classes)
        return HeldSplit(
            tree.load(split, resolution, reporter, skip_corrupt=skip_corrupt), folders.MEAN, folders.STD, device
        )

    counts = {split: len(members) for split, members in tree.files.items()}
    return Dataset(
        name=kind,
        # Random crops are taken from whole pictures where these are streamed: a training that changed would end with
        # other bits.
        identity=f"{kind} {'streamed ' if streamed else ''}{tree.fingerprint} {PREPARED}",
        classes=tree.classes,
        mean=folders.MEAN,
        std=folders.STD,
        load=load,
        device=device,
        files=counts,
        counts={} if skip_corrupt else counts,
    )


def _tell(reporter: Reporter, notes: Sequence[str], equal: Callable[[], str | None]) -> None:
    """Says what was found in a folder, once, however many resolutions its pictures are read for."""
    first, *more = notes
    if reporter.say_once(first):
        for note in (*more, equal()):
            if note is not None:
                reporter.say(note)


def _digits(spec: str, variant: str, resolution: int, device: torch.device) -> Dataset:
    if variant not in digits.VARIANTS:
        raise InputError(f"`data` {spec}: unknown variant; known: digits, digits:clutter")
    if resolution != digits.SIDE:
        raise InputError(f"`data` {spec}: pictures of {digits.SIDE} pixels, but the space wants {resolution}")
    mean, std = (digits.MEAN[variant],), (digits.STD[variant],)
    return Dataset(
        name=spec,
        identity=spec,
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        load=lambda split: HeldSplit(digits.compose(variant, split), mean, std, device),
        device=device,
        counts=digits.SIZES,
    )


__all__ = ["Dataset", "HeldSplit", "Split", "load_data"]
