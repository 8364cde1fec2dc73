"""A reporter that remembers what it was told to say."""

from foundation.progress import Reporter


class Saying(Reporter):
    """Quiet it is not told what there is only for somebody who reads along."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)
