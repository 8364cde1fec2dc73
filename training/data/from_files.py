"""What pictures in files have in common: notes on what was found, and decoding while the training goes on."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from foundation.device import processors
from foundation.progress import Reporter
from training.data import folders
from training.data.corrupt import check_complete
from training.data.dataset import Wanted
from training.data.pictures import Listed
from training.data.preparation import View
from training.data.split import Split

if TYPE_CHECKING:
    from training.data.loaders import Loaders

MOST_LOADERS = 16  # unless more are asked for


class FromFiles:
    """Streams the splits of a data set; all of them share the processes that decode."""

    def __init__(self, wanted: Wanted):
        self.wanted = wanted

    @cached_property
    def _processes(self) -> "Loaders":
        from training.data.loaders import Loaders  # decoding brings torchvision, which takes a second to import

        loaders = self.wanted.loaders
        return Loaders(
            min(processors(), MOST_LOADERS) if loaders is None else loaders, pinned=self.wanted.device.type == "cuda"
        )

    def stream(self, split: str, files: Listed, classes: tuple[str, ...]) -> Split:
        """A split that is decoded whenever its pictures are needed."""
        from training.data.streamed import StreamedSplit

        wanted = self.wanted
        check_complete(split, files.labels, classes, wanted.reporter)
        return StreamedSplit(
            split,
            files.paths,
            files.labels,
            View.of(wanted.kind, wanted.side),
            folders.MEAN,
            folders.STD,
            wanted.device,
            classes=classes,
            loaders=self._processes,
            reporter=wanted.reporter,
            skip_corrupt=wanted.skip_corrupt,
        )


def tell(reporter: Reporter, notes: Sequence[str], equal: Callable[[], str | None]) -> None:
    """Says what was found in a folder, once, however many resolutions its pictures are read for."""
    first, *more = notes
    if reporter.say_once(first):
        for note in (*more, equal()):
            if note is not None:
                reporter.say(note)
