"""What is to be said of a split's pictures once some of them are decoded: nothing is guessed or changed in silence."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from foundation.progress import Reporter
from training.data.preparation import Found

ENOUGH = 256  # pictures of a streamed split that are looked at
FLAT = 8  # of 255: the largest difference within a picture of (nearly) one value


class Remarks:
    """Those on one split, said once.

    Args:
        split: its name.
        enough: pictures after which they are said; else when asked for.

    Attributes:
        said: whether all has been said.
    """

    def __init__(self, split: str, reporter: Reporter, enough: int = ENOUGH):
        self.split = split
        self._reporter = reporter
        self._enough = enough
        self._seen = 0
        self._turned: list[str] = []
        self._flat: list[str] = []
        self._white: Counter[float] = Counter()
        self.said = False

    def take(self, images: Tensor, paths: Sequence[str], found: Mapping[int, Found]) -> None:
        """Looks at decoded pictures.

        Args:
            images: N×C×H×W, uint8.
            paths: of the N files.
            found: by place, of those files that are not upright pictures of 8 bits.
        """
        if self.said or not len(images):
            return
        self._seen += len(images)
        pixels = images.flatten(1)
        flat = (pixels.amax(1).int() - pixels.amin(1).int() <= FLAT).nonzero()[:, 0]
        self._flat += [paths[place] for place in flat.tolist()]
        for place, what in found.items():
            if what.turned:
                self._turned.append(paths[place])
            if what.white is not None:
                self._white[what.white] += 1
        if self._seen >= self._enough:
            self.say()

    def say(self) -> None:
        """Says what there is to say; later calls say nothing."""
        if self.said or not self._seen:
            return
        self.said = True
        if self._turned:
            self._reporter.say(
                f"{self.split}: {self._share(len(self._turned))} lie turned in their files, and are turned upright as "
                f"their EXIF says: {self._turned[0]}, …"
            )
        if self._white:
            ranges = ", ".join(f"{white:,.10g} in {count}" for white, count in sorted(self._white.items()))
            mixed = "; they are not all taken alike" if len(self._white) > 1 else ""
            self._reporter.say(
                f"{self.split}: {self._share(self._white.total())} have more than 8 bits a pixel, white is taken to be "
                f"{ranges}{mixed}; if that is wrong, convert them to 8 bits"
            )
        if 2 * len(self._flat) >= self._seen:
            self._reporter.say(
                f"{self.split}: {self._share(len(self._flat))} are (nearly) one value all over, such as "
                f"{self._flat[0]}; are they what they should be?"
            )

    def _share(self, count: int) -> str:
        return f"{count} of {self._seen} pictures"
