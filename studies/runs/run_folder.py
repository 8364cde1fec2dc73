"""A run's folder: which configuration it belongs to, who works in it, and the results it ends with."""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.files import check_folder, remove_leftovers, write_json
from foundation.json_files import MAX_OF_A_RUN, read_json, shown
from foundation.metric import ACCURACY, Metric, described, metric, read_measured, read_metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost
from search_space.cost.latency import LatencyTable
from studies.runs.identity import FILES, IN_PLACES, Asked, difference
from studies.trials import Candidate
from training.data.datasets import Dataset
from training.specs import TASK, named

CONFIG, FRONT, BEST, STUDY, RESULTS = "config.json", "front.json", "best.json", "study.db", "results.json"
LATENCY = "latency.json"
WORTH = (FRONT, BEST, STUDY, RESULTS, "adaptation.json", "checkpoint*", "weights.*", "*/checkpoint*", "*/weights.*")
"""Patterns of what a folder is worth keeping for, whichever command made it; without, another run takes its place."""
MIN_FREE_BYTES = 64 << 20
MAX_NAME, MAX_PATH = 255, 3500  # bytes, on Linux; what lies in the folder has a path as well
MOST_SHOWN = 100  # characters of a path that is too long


def check_name(folder: Path) -> None:
    """Raises InputError if the folder's name cannot be part of a storage's URL, or of a file."""
    place = os.fsencode(folder.absolute())
    if max(map(len, place.split(b"/"))) > MAX_NAME or len(place) > MAX_PATH:
        raise InputError(f"`out` {str(folder)[:MOST_SHOWN]}…: its path is too long; choose another")
    try:
        place.decode()
    except UnicodeDecodeError:
        raise InputError(f"`out` {folder}: the name is not UTF-8; choose another") from None
    if any(character in str(folder) for character in "?#%"):
        raise InputError(f"`out` {folder}: ?, # and % cannot stand in a study's address; choose another")


def begun(folder: Path) -> bool:
    """Whether the folder holds a run already."""
    return (folder / CONFIG).exists()


def check_same(
    folder: Path,
    identity: dict[str, Any],
    free: dict[str, Any],
    keeps: tuple[str, ...] = ("*",),
    asked: Asked = IN_PLACES,
) -> None:
    """Raises InputError, as `opened` would, if the folder holds another run."""
    if begun(folder):
        config = _configuration(folder / CONFIG)
        _refuse_another(folder, config, json.loads(json.dumps(identity)), free, keeps, asked)


def kept_identity(folder: Path, keeps: tuple[str, ...]) -> dict[str, Any]:
    """The identity of what the folder holds; empty if there is nothing that is worth keeping."""
    if not begun(folder) or not _is_kept(folder, keeps):
        return {}
    identity: dict[str, Any] = _configuration(folder / CONFIG)["identity"]
    return identity


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Makes the folder if need be, and keeps other processes out of it. Raises InputError if one is in it.

    A folder with links that lead out of it is refused: what a run writes stays where the user said.

    Args:
        shared: whether those may be in it that say so as well.
    """
    check_name(folder)
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115 (closed below)
    except FileExistsError:
        raise InputError(f"`out` {folder}: is a file, not a folder; choose another") from None
    except OSError as error:
        raise InputError(f"`out` {folder}: cannot be written ({error.strerror}); choose another") from None
    with lock:
        _take(lock, folder, shared)
        room = shutil.disk_usage(folder).free
        if room < MIN_FREE_BYTES:
            raise InputError(
                f"`out` {folder}: {room >> 20} MiB free on its disk, at least {MIN_FREE_BYTES >> 20} are needed"
            )
        yield


@contextmanager
def turn(folder: Path, what: str, reporter: Reporter) -> Iterator[None]:
    """Of the processes that share the folder, one at a time does `what`; the others wait until it has, or is gone."""
    with open(folder / f".{what}.lock", "a+") as lock:
        said = False
        while not _locks(lock, fcntl.LOCK_EX, folder):
            if not said:
                reporter.say(f"{what}: waiting for {_owner(lock)}")
                said = True
            time.sleep(0.2)
        _sign(lock)
        yield


@contextmanager
def opened(
    folder: Path,
    identity: dict[str, Any],
    free: dict[str, Any],
    *,
    shared: bool = False,
    keeps: tuple[str, ...] = ("*",),
    asked: Asked = IN_PLACES,
) -> Iterator[dict[str, Any]]:
    """Makes or continues the run in `folder`, alone; yields the recorded `free` settings.

    Args:
        shared: whether other processes that say so may work in it at the same time.
        identity: what makes two runs the same. A folder with another identity is refused, naming the first difference.
        keeps: patterns of what a run is worth keeping for; where nothing is like any, another identity takes its place.
        free: what may change between starts; `threads` is kept as first recorded, since results depend on it.
        asked: in whose words another identity is refused.
    """
    identity = json.loads(json.dumps(identity))  # as it is read back: tuples are lists
    with locked(folder, shared=shared):
        path = folder / CONFIG
        with turn(folder, "configuration", Reporter(quiet=True)):
            free = _configured(path, identity, free, keeps, asked)
            if not shared:  # else another process may be writing just now
                remove_leftovers(folder, (FRONT, BEST, RESULTS))
        yield free


def _configured(
    path: Path, identity: dict[str, Any], free: dict[str, Any], keeps: tuple[str, ...], asked: Asked
) -> dict[str, Any]:
    """Compares with the configuration that is there, or writes it."""
    if path.exists():
        config = _configuration(path)
        if not _refuse_another(path.parent, config, identity, free, keeps, asked):
            free = {**free, "threads": _threads(path, config.get("free"))}
    remove_leftovers(path.parent, (CONFIG,))
    write_json(path, {"identity": identity, "free": free})
    return free


def _configuration(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("identity"), dict):
        raise InputError(f"{path}: not a run's configuration; use another `out`")
    return config


def _refuse_another(
    folder: Path,
    config: dict[str, Any],
    identity: dict[str, Any],
    free: dict[str, Any],
    keeps: tuple[str, ...],
    asked: Asked,
) -> bool:
    """Whether the configuration is another run's, which has left nothing to keep. Raises InputError if it has."""
    if "space" in config["identity"] and "space" not in identity:
        raise InputError(f"`out` {folder}: holds a search; use another `out`")
    found = difference(config["identity"], identity)
    if found and _is_kept(folder, keeps):
        recorded = config.get("free")
        there = recorded.get(FILES) if isinstance(recorded, dict) else None
        such = asked.flags(config["identity"], identity)
        told = found.told(there, free.get(FILES), asked)
        raise InputError(f"`out` {folder}: holds another run: {told}{f', here {such}' if such else ''}")
    return bool(found)


def _is_kept(folder: Path, keeps: tuple[str, ...]) -> bool:
    return any(file for pattern in keeps for file in folder.glob(pattern))


def write_results(
    folder: Path,
    front: list[Candidate],
    evaluated: int,
    budget: Budget,
    data: Dataset,
    task: str = TASK,
    best: Candidate | None = None,
) -> None:
    """Writes the front and the best. They hold no times, paths or trial numbers: equal runs give equal files.

    Args:
        best: the winner of the finalists; None for the front's best score.
    """
    write_json(folder / BEST, _best(best or best_of(front), budget, data, task))
    # Last, since a front with this number of candidates is what tells a finished run.
    write_json(folder / FRONT, _whole(front, evaluated, budget, data, task))


def best_of(front: Sequence[Candidate]) -> Candidate:
    """The front's best score, which is the best of all that were rescored."""
    return min(front, key=lambda candidate: candidate.merit)


def _best(best: Candidate, budget: Budget, data: Dataset, task: str) -> dict[str, Any]:
    """What is written of the best."""
    return {
        **_described(best),
        **described(best.measured.metric),
        **named("task", task),
        "budget": dict(budget.bounds()),
        "data": data.name,
        "num_classes": data.num_classes,
        "classes": list(data.classes),
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
    }


def finished_front(
    folder: Path,
    candidates: Sequence[Candidate],
    wanted: Metric,
    budget: Budget,
    data: Dataset,
    reporter: Reporter,
    task: str = TASK,
    best: Candidate | None = None,
) -> list[Candidate] | None:
    """The front of a run that finished after evaluating these candidates; None if there is none that is whole.

    A best that is broken, or is neither the one given nor the front's, is written anew, and a line says so.
    """
    path = folder / FRONT
    if not path.exists():
        return None
    try:
        front, evaluated = _front(path, wanted)
    except InputError as error:
        reporter.say(f"{error}; it is written anew")
        return None
    known = {candidate.architecture.digest() for candidate in candidates}
    if evaluated != len(candidates) or any(candidate.architecture.digest() not in known for candidate in front):
        return None
    for name, content in (
        (BEST, _best(best or best_of(front), budget, data, task)),
        (FRONT, _whole(front, evaluated, budget, data, task)),
    ):
        try:
            if read_json(folder / name, MAX_OF_A_RUN) != json.loads(json.dumps(content)):
                raise InputError(f"{folder / name}: is not what the search came to")
        except InputError as error:
            reporter.say(f"{error}; it is written anew")
            write_json(folder / name, content)
    return front


def _whole(front: list[Candidate], evaluated: int, budget: Budget, data: Dataset, task: str) -> dict[str, Any]:
    """What is written of the front."""
    return {
        "front": [_described(candidate) for candidate in front],
        **described(front[0].measured.metric),
        **named("task", task),
        "budget": dict(budget.bounds()),
        "data": data.name,
        "evaluated": evaluated,
    }


def _front(path: Path, wanted: Metric) -> tuple[list[Candidate], int]:
    """The candidates of a front's file, and after how many it was written. Raises InputError if it is broken."""
    content = read_json(path, MAX_OF_A_RUN)
    try:
        front = [
            Candidate(
                Architecture.from_dict(entry["architecture"]),
                Cost.from_dict(entry["cost"]),
                read_measured(wanted, entry["metrics"]),
            )
            for entry in content["front"]
        ]
        if not front:
            raise InputError("it is empty")
        return front, content["evaluated"]
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{path}: not a run's front ({error})") from None


def front_architectures(path: Path) -> list[Architecture]:
    """Those of a run's `front.json`, the cheapest first. Raises InputError if it is none."""
    content = read_json(path, MAX_OF_A_RUN)
    try:
        return [Architecture.from_dict(entry["architecture"]) for entry in content["front"]]
    except (KeyError, TypeError):
        raise InputError(f"{path}: not a run's front") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def front_architecture(path: Path, wanted: int | None) -> Architecture:
    """The architecture of that number, from 1, in a run's `front.json`; the best one for None.

    Raises InputError if there is none, or if the file does not say which is the best.
    """
    architectures = front_architectures(path)
    if wanted is None:
        try:
            content = read_json(path, MAX_OF_A_RUN)
            ranked_by = _metric(content)
            merits = [read_measured(ranked_by, entry["metrics"]).merit for entry in content["front"]]
            wanted = 1 + merits.index(max(merits))
        except (LookupError, TypeError, AttributeError, ValueError):
            raise InputError(f"{path}: does not say which network is the best; give `network` N") from None
    if not 1 <= wanted <= len(architectures):
        raise InputError(f"`network` {wanted}: the front of {path.parent} has networks 1 to {len(architectures)}")
    return architectures[wanted - 1]


def _metric(content: dict[str, Any]) -> Metric:
    """What a front's networks are ranked by: what the file says; where it says nothing, accuracy, or the one score."""
    if content.get("metric") is not None:
        return read_metric(content)
    return metric(min(content["front"][0]["metrics"].keys() - set(ACCURACY.beside) or {ACCURACY.name}))


def merge_results(folder: Path, results: list[dict[str, Any]]) -> None:
    """Writes what each training of a network with a seed came to, beside what the folder holds of others.

    An entry holds the network's name, architecture and cost, the seed, and test accuracy, top-5 and loss.
    """
    path = folder / RESULTS
    merged = {}
    before = read_json(path, MAX_OF_A_RUN) if path.exists() else []
    if not isinstance(before, list):
        raise InputError(f"{path}: not a table of results; remove it")
    for entry in [*before, *results]:
        if not isinstance(entry, dict) or "network" not in entry or "seed" not in entry:
            raise InputError(f"{path}: not a table of results; remove it")
        merged[str(entry["network"]), str(entry["seed"])] = entry
    write_json(path, [merged[key] for key in sorted(merged)])


def _threads(path: Path, free: object) -> int:
    """The number of threads that a run began with."""
    threads = free.get("threads") if isinstance(free, dict) else None
    if type(threads) is not int or not 1 <= threads <= 4096:
        raise InputError(f"{path}: free.threads: expected an integer from 1 to 4096, got {shown(threads)}")
    return threads


def _described(candidate: Candidate) -> dict[str, Any]:
    return {
        "architecture": candidate.architecture.to_dict(),
        "digest": candidate.architecture.digest(),
        "cost": candidate.cost.to_dict(),
        "metrics": candidate.measured.numbers(),
    }


def _take(lock: Any, folder: Path, shared: bool) -> None:
    """Locks the folder; the lock goes with the process, however it ends."""
    if not _locks(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, folder):
        raise InputError(f"`out` {folder}: in use by {_owner(lock)}; wait for it, or choose another `out`")
    _sign(lock)


def _locks(lock: Any, how: int, folder: Path) -> bool:
    """Whether it could be locked now. Raises InputError for a file system without locks."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second of locks over a network
        return False
    except OSError as error:
        raise InputError(f"`out` {folder}: cannot be locked there ({error.strerror}); choose another `out`") from None
    return True


def _owner(lock: Any) -> str:
    """Who signed last."""
    lock.seek(0)
    return lock.read(200).strip() or "another process"


def _sign(lock: Any) -> None:
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()


def keep_times(folder: Path, table: LatencyTable) -> None:
    """Keeps the latency table of a run that has begun in its folder, where it does not lie there already."""
    if not (folder / LATENCY).exists():
        write_json(folder / LATENCY, table.to_dict())
