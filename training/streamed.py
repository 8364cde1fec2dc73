"""Labelled pictures that are decoded from their files whenever they are needed."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from search_space.errors import InputError
from training.loaders import Decoded, Loaders, Work, decode
from training.progress import Reporter
from training.split import Planned, Split

CHUNK = 32  # pictures that a process decodes at a time
NAMED = 3  # of the pictures that cannot be decoded


class StreamedSplit(Split):
    """Pictures in files.

    For a pass with random-resized-crop a picture is cropped so from all of its pixels; else it is scaled and its centre
    cut out, as `training.decoding.centre_crop` says.

    Args:
        name: of the split, for messages.
        paths: of the pictures.
        labels: N, int64.
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
        loaders: Loaders,
        reporter: Reporter,
        skip_corrupt: bool = False,
    ):
        super().__init__(mean, std, device)
        self.name = name
        self.paths = paths
        self.labels = labels
        self.sources = None
        self.size = (resolution, resolution)
        self.loaders = loaders
        self.reporter = reporter
        self.skip_corrupt = skip_corrupt
        self._corrupt: dict[int, str] = {}  # reasons by the picture's number
        self._said = 0  # how many of them the user knows

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
            loaders=self.loaders,
            reporter=self.reporter,
            skip_corrupt=self.skip_corrupt,
        )

    def _delivered(self, plans: Iterator[Planned]) -> Iterator[tuple[Planned, Tensor, Tensor]]:
        waiting: deque[Planned] = deque()

        def works() -> Iterator[Work]:
            for planned in plans:
                waiting.append(planned)
                yield from self._works(planned)

        results = self.loaders.results(works())
        delivered = 0
        for first in results:
            planned = waiting.popleft()
            chunks = [first, *itertools.islice(results, len(range(CHUNK, len(planned.index), CHUNK)))]
            planned, images = self._whole(planned, chunks)
            delivered += len(images)
            if len(images):
                yield planned, images, self._moved(self.labels[planned.index])
        if not delivered and self._corrupt:
            raise InputError(f"{self.name}: not one picture can be decoded, {self._named()}; mend or replace them")
        self._say()

    def _works(self, planned: Planned) -> Iterator[Work]:
        for start in range(0, len(planned.index), CHUNK):
            part = slice(start, start + CHUNK)
            paths = [self.paths[number] for number in planned.index[part].tolist()]
            yield Work(paths, self.size[0], planned.draws.of(part).crops)

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
            index[place], image = self._next(int(index[place]), planned.draws.of(slice(place, place + 1)).crops)
            batch[place] = self._moved(image)
        return replace(planned, index=index), batch

    def _next(self, number: int, crops: Tensor | None) -> tuple[int, Tensor]:
        """The next picture after that of `number` that can be decoded; the first follows the last."""
        for step in range(1, len(self)):
            other = (number + step) % len(self)
            if other in self._corrupt:
                continue
            result = decode(Work([self.paths[other]], self.size[0], crops))
            if result.unreadable is not None:
                raise InputError(result.unreadable)
            if not result.corrupt:
                return other, result.images[0]
            self._note(other, result.corrupt[0])
        raise InputError(f"{self.name}: not one picture can be decoded, {self._named()}; mend or replace them")

    def _note(self, number: int, reason: str) -> None:
        if not self.skip_corrupt:
            raise InputError(
                f"{self.paths[number]}: cannot be decoded ({reason}); mend or remove it, or give --skip-corrupt"
            )
        self._corrupt.setdefault(number, reason)

    def _say(self) -> None:
        """Tells the user of pictures passed over that he does not know of yet."""
        if len(self._corrupt) > self._said:
            self._said = len(self._corrupt)
            self.reporter.say(
                f"{self.name}: {self._said} of {len(self)} pictures cannot be decoded and are passed over: "
                f"{self._named()}"
            )

    def _named(self) -> str:
        names = [self.paths[number] for number in itertools.islice(self._corrupt, NAMED)]
        return ", ".join(names) + (", …" if len(self._corrupt) > NAMED else "")
