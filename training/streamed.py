"""Labelled pictures that are decoded from their files whenever they are needed."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from training.corrupt import Corrupt
from training.draws import Draws
from training.loaders import Decoded, Loaders, Work
from training.progress import Reporter
from training.split import Planned, Split

CHUNK = 32  # pictures that a process decodes at a time


class StreamedSplit(Split):
    """Pictures in files.

    For a pass with random-resized-crop a picture is cropped so from all of its pixels; else its centre is cut out.

    Args:
        name: of the split, for messages.
        paths: of the pictures.
        labels: N, int64.
        margin: how much larger than the resolution the shorter side is made, before the centre is cut out.
        skip_corrupt: whether pictures that cannot be decoded are passed over. In a shuffled pass the next one of the
            split that can be takes the place; else it is left out. They are counted, and named at the end of the pass.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[str],
        labels: Tensor,
        resolution: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        *,
        margin: float,
        loaders: Loaders,
        reporter: Reporter,
        skip_corrupt: bool = False,
    ):
        super().__init__(mean, std, (resolution, resolution), device)
        self.name = name
        self.paths = paths
        self.labels = labels
        self.sources = None
        self.margin = margin
        self.loaders = loaders
        self.reporter = reporter
        self.corrupt = Corrupt(name, len(paths), skip_corrupt)

    def subset(self, chosen: Tensor) -> "StreamedSplit":
        """The pictures of these numbers (int64), in this order."""
        return StreamedSplit(
            self.name,
            [self.paths[number] for number in chosen.tolist()],
            self.labels[chosen],
            self.size[0],
            self.mean,
            self.std,
            self.device,
            margin=self.margin,
            loaders=self.loaders,
            reporter=self.reporter,
            skip_corrupt=self.corrupt.skipped,
        )

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
                yield planned, images, self._moved(self.labels[planned.index])
        if self.corrupt and not delivered:
            self.corrupt.refuse()
        self.corrupt.say(self.reporter)

    def _works(self, planned: Planned) -> Iterator[Work]:
        for start in range(0, len(planned.index), CHUNK):
            part = slice(start, start + CHUNK)
            yield self._work(planned.index[part], planned.draws.of(part))

    def _work(self, index: Tensor, draws: Draws) -> Work:
        return Work([self.paths[number] for number in index.tolist()], self.size[0], self.margin, draws)

    def _whole(self, planned: Planned, chunks: Sequence[Decoded]) -> tuple[Planned, Tensor]:
        """The batch on the device, and what of it could be decoded."""
        corrupt = {
            number * CHUNK + place: reason
            for number, chunk in enumerate(chunks)
            for place, reason in chunk.corrupt.items()
        }
        for place, reason in corrupt.items():
            self._note(int(planned.index[place]), reason)
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
            if other in self.corrupt:
                continue
            (result,) = Loaders(0).results(iter([self._work(torch.tensor([other]), draws)]))
            if not result.corrupt:
                return other, result.images[0]
            self._note(other, result.corrupt[0])
        raise AssertionError("a split without any other picture has been refused before")

    def _note(self, number: int, reason: str) -> None:
        self.corrupt.note(number, self.paths[number], reason)
