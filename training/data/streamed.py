"""Labelled pictures that are decoded from their files whenever they are needed."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from foundation.progress import Reporter
from training.augmentation.draws import NOTHING, Draws
from training.data.corrupt import Corrupt, check_complete
from training.data.loaders import Decoded, Loaders, Work
from training.data.preparation import View
from training.data.remarks import Remarks
from training.data.split import Planned, Split

CHUNK = 32  # pictures that a process decodes at a time


class StreamedSplit(Split):
    """Pictures in files, with class labels.

    For a pass with random-resized-crop a picture is cropped so from all of its pixels; else it is prepared as
    `training.data.preparation` says.

    Args:
        name: of the split, for messages.
        paths: of the pictures.
        labels: N, int64.
        view: what is seen of them.
        classes: names by label; a split for training that has lost one is refused, another says so.
        skip_corrupt: whether pictures that cannot be decoded are passed over. In a shuffled pass the next one of the
            split that can be takes the place; else it is left out. They are counted, and named at the end of the pass.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[str],
        labels: Tensor,
        view: View,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        *,
        classes: Sequence[str],
        loaders: Loaders,
        reporter: Reporter,
        skip_corrupt: bool = False,
    ):
        super().__init__(mean, std, (view.resolution, view.resolution), device)
        self.name = name
        self.paths = paths
        self.targets: Tensor = labels
        self.sources = None
        self.view = view
        self.classes = classes
        self.loaders = loaders
        self.reporter = reporter
        self.corrupt = Corrupt(name, len(paths), skip_corrupt)
        self._remarks = Remarks(name, reporter)
        self._origin: StreamedSplit | None = None  # of a subset
        self._known: set[int] = set()  # classes that were looked through for a picture
        self._lost: list[int] = []  # those without any

    def subset(self, chosen: Tensor) -> "StreamedSplit":
        """The pictures of these numbers (int64), in this order."""
        subset = StreamedSplit(
            self.name,
            [self.paths[number] for number in chosen.tolist()],
            self.targets[chosen],
            self.view,
            self.mean,
            self.std,
            self.device,
            classes=self.classes,
            loaders=self.loaders,
            reporter=self.reporter,
            skip_corrupt=self.corrupt.skipped,
        )
        subset._origin, subset._remarks = self._origin or self, self._remarks
        return subset

    def _delivered(self, plans: Iterator[Planned]) -> Iterator[tuple[Planned, Tensor, Tensor]]:
        waiting: deque[Planned] = deque()

        def works() -> Iterator[Work]:
            for planned in plans:
                waiting.append(planned)
                yield from self._works(planned)

        results = self.loaders.results(works())
        delivered = False
        for first in results:
            planned = waiting.popleft()
            chunks = [first, *itertools.islice(results, len(range(CHUNK, len(planned.index), CHUNK)))]
            planned, images = self._whole(planned, chunks)
            if len(images):
                delivered = True
                yield planned, images, self._moved(self.targets[planned.index])
        if self.corrupt and not delivered:
            self.corrupt.refuse()
        self.corrupt.say(self.reporter)
        self._remarks.say()

    def _works(self, planned: Planned) -> Iterator[Work]:
        for start in range(0, len(planned.index), CHUNK):
            part = slice(start, start + CHUNK)
            yield self._work(planned.index[part], planned.draws.of(part))

    def _work(self, index: Tensor, draws: Draws) -> Work:
        return Work([self.paths[number] for number in index.tolist()], self.view, draws)

    def _whole(self, planned: Planned, chunks: Sequence[Decoded]) -> tuple[Planned, Tensor]:
        """The batch on the device, and what of it could be decoded."""
        corrupt = {
            number * CHUNK + place: reason
            for number, chunk in enumerate(chunks)
            for place, reason in chunk.corrupt.items()
        }
        for place, reason in corrupt.items():
            self._note(int(planned.index[place]), reason)
        for number, chunk in enumerate(chunks):
            self._remark(planned.index[number * CHUNK :], chunk)
        images = [self._moved(chunk.images) for chunk in chunks]
        batch = torch.cat(images) if len(images) > 1 else images[0]
        if not corrupt:
            return planned, batch
        if not planned.shuffled:
            kept = torch.tensor([place not in corrupt for place in range(len(batch))])
            return replace(planned, index=planned.index[kept]), batch[kept.to(batch.device)]
        index = planned.index.clone()
        for place in corrupt:
            index[place], image = self._next(int(index[place]), planned.draws.of(slice(place, place + 1)))
            batch[place] = self._moved(image)
        return replace(planned, index=index), batch

    def _next(self, number: int, draws: Draws) -> tuple[int, Tensor]:
        """The next picture after that of `number` that can be decoded; the first follows the last."""
        for step in range(1, len(self)):
            other = (number + step) % len(self)
            image = self._decoded(other, draws)
            if image is not None:
                return other, image
        raise AssertionError("a split without any other picture has been refused before")

    def _decoded(self, number: int, draws: Draws) -> Tensor | None:
        """A single picture, or None if it cannot be decoded."""
        if number in self.corrupt:
            return None
        (result,) = Loaders(0).results(iter([self._work(torch.tensor([number]), draws)]))
        if result.corrupt:
            self._note(number, result.corrupt[0])
            return None
        return result.images[0]

    def _note(self, number: int, reason: str) -> None:
        self.corrupt.note(number, self.paths[number], reason)
        (self._origin or self)._check_class(int(self.targets[number]))

    def _check_class(self, label: int) -> None:
        """Looks once for a picture of the class that can be decoded. Raises InputError where a training has none."""
        if label in self._known:
            return
        self._known.add(label)
        of_class = (self.targets == label).nonzero()[:, 0].tolist()
        if all(self._decoded(number, NOTHING) is None for number in of_class):
            self._lost.append(label)
            left = self.targets[~torch.isin(self.targets, torch.tensor(self._lost))]
            check_complete(self.name, left, self.classes, self.reporter)

    def _remark(self, index: Tensor, chunk: Decoded) -> None:
        if self._remarks.said:
            return
        good = [place for place in range(len(chunk.images)) if place not in chunk.corrupt]
        found = {number: chunk.found[place] for number, place in enumerate(good) if place in chunk.found}
        self._remarks.take(chunk.images[good], [self.paths[int(index[place])] for place in good], found)
