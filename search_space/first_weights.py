"""The first weights of networks as a value: a name that tells them from others, and the networks they come from."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from foundation import distributed
from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.head import Head
from search_space.network import Network, bare
from search_space.pretrained import LIBRARIES, Transferred, check_published, published, transfer


@dataclass(frozen=True)
class FirstWeights:
    """Where first weights come from: for each network another one, which is carried over to it.

    It can be sent to another process.

    Attributes:
        name: tells them from others in what identifies a run: `scratch`, a library such as `torchvision`, or a kind and
            a digest.
        source: the network to carry over from, for one of an architecture; None for fresh weights.
        check_source: refuses an architecture that the source has nothing for, where the source itself would download.
        told: what they are, where the name does not say it: `the shared weights of runs/x`.
        path: the file or folder that was named, absolute; None for those that have a name.
        of_one_space: whether networks of one space alone can begin from them.
    """

    name: str = "scratch"
    source: Callable[[Architecture], Network] | None = None
    check_source: Callable[[Architecture], object] | None = None
    told: str = ""
    path: str | None = None
    of_one_space: bool = False

    @property
    def setting(self) -> str:
        """What names them on a command line."""
        return self.path or self.name

    @property
    def recorded(self) -> dict[str, Any]:
        """What a run keeps of them beside its identity, so that a retraining of what it found finds them."""
        return {} if self.path is None else {"init": {"path": self.path, "name": self.name}}

    def check(self, head: Head | int, *architectures: Architecture) -> None:
        """Raises InputError if a network of one of them cannot begin from these. Downloads nothing."""
        for architecture in architectures:
            if self.check_source is not None:
                self.check_source(architecture)
            elif self.source is not None:
                with torch.random.fork_rng(devices=[]):
                    self.fill(bare(architecture, head))

    def fill(self, network: Network, *, compensate: bool = True) -> Transferred:
        """Carries them over to a freshly initialised network, see `search_space.pretrained.transfer`; not scratch.

        Raises InputError if the network cannot begin from them.
        """
        assert self.source is not None
        source = self.source(network.architecture)
        try:
            return transfer(source, network, compensate=compensate)
        except InputError as error:
            raise InputError(f"`init` {self.setting}: {error}; give another network's, or `init` scratch") from None

    def begin(self, network: Network) -> str:
        """Fills a network, and says with what, and what came of it."""
        report = self.fill(network)
        return f"init {self.name}: {f'{self.told}: ' if self.told else ''}{report}"


SCRATCH = FirstWeights()
TORCHVISION = FirstWeights("torchvision", published, check_published)


# Functions with names, so that what is sent to another process is equal there.
def _by_timm(architecture: Architecture) -> Network:
    return published(architecture, library="timm")


def _check_timm(architecture: Architecture) -> object:
    return check_published(architecture, library="timm")


TIMM = FirstWeights("timm", _by_timm, _check_timm)

PUBLISHED_BY = (TORCHVISION, TIMM)
"""The published weights of each library."""


def check_init(text: str, *more: str) -> None:
    """Raises InputError for a setting that names no first weights: neither known ones, nor a file or folder."""
    known = ("scratch", *LIBRARIES, "auto", *more)
    # Not pathlib's, which raises for a name that is too long.
    if text not in known and not distributed.from_first(lambda: os.path.exists(text)):
        raise InputError(
            f"`init` {text}: unknown; known: {', '.join(known)}; and there is no file or folder of that name"
        )
