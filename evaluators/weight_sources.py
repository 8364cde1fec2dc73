"""First weights by what a setting says: known ones, or those that a run or a training has left."""

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from evaluators.supernet.given import WEIGHTS as SHARED_WEIGHTS
from evaluators.supernet.slices import slices
from foundation import distributed
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.first_weights import PUBLISHED_BY, SCRATCH, FirstWeights
from search_space.network import Network
from search_space.pretrained import at_hand, of_authors
from training.checkpoint import load_state, load_weights
from training.model_file import load_model
from training.standalone import WEIGHTS

SHARED, TRAINED, AUTHORS = "supernet", "network", "authors"
"""The kinds of weights that a file may hold."""


def first_weights(text: str, architecture: Architecture, reporter: Reporter, *others: Architecture) -> FirstWeights:
    """The first weights that a setting names, for an architecture or one of its kind; `auto` is decided, and told.

    Args:
        others: of further kinds that are to begin from the same. `auto` takes what is there for all of them: some that
            begin from published weights and some from none would not be compared for what they are.

    Raises InputError for a folder that holds none, or a broken file.
    """
    if text == "auto":
        text, why = distributed.from_first(lambda: _at_hand_for_all(architecture, *others))
        reporter.say(f"init {text}: {why}")
    known = {one.name: one for one in (SCRATCH, *PUBLISHED_BY)}
    return known[text] if text in known else weights_in(Path(text))


def _at_hand_for_all(*architectures: Architecture) -> tuple[str, str]:
    """What `auto` stands for, and why, see `search_space.pretrained.at_hand`."""
    found = [at_hand(one) for one in architectures]
    libraries = {library for library, _ in found}
    if len(libraries) > 1 and SCRATCH.name not in libraries:
        return SCRATCH.name, "published weights of one kind of networks are of another library than those of another"
    return next((one for one in found if one[0] == SCRATCH.name), found[0])


def weights_in(path: Path) -> FirstWeights:
    """Those of the folder of a run or of a training, or of the file there. It is read by the first process alone.

    They are told apart by what the file holds, not by where it lies. Raises InputError if there are none.
    """
    place = str(path.absolute())
    kind, file, digest = distributed.from_first(lambda: _found(path))
    whose = {SHARED: "the shared weights", TRAINED: "the network", AUTHORS: "the authors' network"}
    told = f"{whose[kind]} of {path}"
    source = _OfFile(kind, Path(file), digest, place)
    return FirstWeights(f"{kind} {digest}", source, told=told, path=place, of_one_space=kind == SHARED)


def own_shared_weights(run: Path) -> FirstWeights:
    """A run's own shared weights, for its own networks: what `init` supernet is. Raises InputError if it has none."""
    if not distributed.from_first(lambda: (run / SHARED_WEIGHTS).is_file()):
        raise InputError(
            f"`init` {SHARED}: {run} holds no {SHARED_WEIGHTS}; only a search by `evaluator` supernet leaves one"
        )
    found = weights_in(run)
    assert isinstance(found.source, _OfFile)
    return replace(found, name=SHARED, source=replace(found.source, setting=SHARED), path=None)


@dataclass(frozen=True)
class _OfFile:
    """The networks of a file of weights, which is read when the first of them is asked for.

    Attributes:
        setting: by which it was named, for messages.
    """

    kind: str
    file: Path
    digest: str
    setting: str

    def __call__(self, architecture: Architecture) -> Network:
        return _read(self)(architecture)


@lru_cache(maxsize=1)  # a command begins from one file
def _read(source: _OfFile) -> Callable[[Architecture], Network]:
    if _digest(source.file) != source.digest:  # in another process, or long after
        raise InputError(f"`init` {source.setting}: {source.file} has changed since the command began; start it again")
    with torch.random.fork_rng(devices=[]):  # whether it is read already makes no difference
        if source.kind == SHARED:
            return slices(source.file, source.setting)
        network = _of_authors(source) if source.kind == AUTHORS else load_model(source.file)[0]
        return lambda _: network


def _found(path: Path) -> tuple[str, str, str]:
    """Kind, absolute path and digest of the weights."""
    if not os.path.exists(path):  # pathlib's raises for a name that is too long
        raise InputError(f"`init` {path}: no such file or folder; name where it is now, or `init` scratch")
    files = [path / SHARED_WEIGHTS, path / WEIGHTS] if os.path.isdir(path) else [path]
    file = next((file for file in files if os.path.isfile(file)), None)
    if file is None:
        raise InputError(
            f"`init` {path}: holds neither {SHARED_WEIGHTS} nor {WEIGHTS}; give the folder of a search by `evaluator` "
            "supernet, or of one training, such as RUN/retrain/found-0"
        )
    return _kind(file), str(file.absolute()), _digest(file)


def _kind(file: Path) -> str:
    """Which weights the file holds. Raises InputError for one that is neither of safetensors nor of torch's."""
    if zipfile.is_zipfile(file):  # as torch writes; what this program leaves is of safetensors
        return AUTHORS
    metadata = load_weights(file)[1]
    return SHARED if "trained" in metadata else TRAINED if metadata else AUTHORS


def _of_authors(source: _OfFile) -> Network:
    try:
        network = of_authors(load_state(source.file))
    except InputError as error:
        raise InputError(f"`init` {source.setting}: {error}; give another file, or `init` scratch") from None
    if network is None:
        raise InputError(
            f"`init` {source.setting}: neither this program wrote it, nor are its tensors named as a known network's "
            "authors name them; give another file, or `init` scratch"
        )
    return network


def _digest(file: Path) -> str:
    """16 hexadecimal digits of SHA-256."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
