"""Measuring a latency table: every piece of a space alone, then some whole networks that correct their sum."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from deployment.choices import ROUNDS
from deployment.runtimes import Call, Runtime, device_name
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.cost.latency import LatencyTable, fitted, read_latency_table
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import space_pieces
from search_space.head import Head
from search_space.network import bare, initialise
from search_space.parts import Piece

BURST = 3  # calls in a row: the first finds other pieces' data in the caches
NETWORKS = 12
SECONDS_EACH = 2.0  # at most, of measuring one piece or network; at least three rounds


def quickest(calls: Sequence[Call], runtime: Runtime, rounds: int) -> list[int]:
    """The quickest of each call's times in nanoseconds, 1 or more.

    Calls take turns, so that what else the machine does meets all alike. On one CPU thread it is processor time, which
    other processes' turns do not lengthen; else it is time as it passes.
    """
    return [max(1, min(map(min, bursts))) for bursts in _bursts(calls, runtime, rounds)]


def settled_times(calls: Sequence[Call], runtime: Runtime, rounds: int) -> list[list[int]]:
    """Each call's times in nanoseconds, taken as by `quickest`: the median of each turn's three calls."""
    return [[sorted(burst)[BURST // 2] for burst in bursts] for bursts in _bursts(calls, runtime, rounds)]


def _bursts(calls: Sequence[Call], runtime: Runtime, rounds: int) -> list[list[list[int]]]:
    """The times of each call's turns."""
    alone = runtime.threads == 1 and runtime.device.type == "cpu"
    clock = time.thread_time_ns if alone else time.perf_counter_ns
    times: list[list[list[int]]] = [[] for _ in calls]
    with runtime.settled():
        for call in calls:
            call()
            call()
        spent = 0
        for done in range(rounds):
            if done >= 3 and spent > SECONDS_EACH * 1e9 * len(calls):
                break
            for call, own in zip(calls, times, strict=True):
                burst = []
                for _ in range(BURST):
                    before = clock()
                    call()
                    took = clock() - before
                    burst.append(took)
                    spent += took
                own.append(burst)
    return times


def network_calls(
    architectures: Sequence[Architecture], num_classes: Head | int, runtime: Runtime, reporter: Reporter
) -> list[Call]:
    """A call for each whole network, at its own resolution."""
    calls: list[Call] = []
    with reporter.track("preparing networks", len(architectures), "networks") as advance:
        for architecture in architectures:
            network = settled(bare(architecture, num_classes))
            size = architecture.resolution
            calls += runtime.calls([network], [torch.rand(1, 3, size, size)])
            advance("")
    return calls


def measure_table(
    priced: PricedSpace,
    runtime: Runtime,
    path: Path,
    reporter: Reporter,
    rounds: int = ROUNDS,
    networks: int = NETWORKS,
) -> LatencyTable:
    """The table of the space's pieces by this runtime, in the file; what the file has already is kept.

    It is written after every group of pieces, so a killed measurement goes on where it was. Raises InputError for a
    file of another device, runtime or number of threads.
    """
    table = _same_device(path, runtime) if path.is_file() else _empty(runtime)
    remove_leftovers(path.parent, (path.name,))
    pieces = space_pieces(priced.space, priced.head)
    lacking = [name for name in pieces if name not in table.pieces]
    if not lacking and table.networks:
        return table
    random.Random(derive("latency pieces")).shuffle(lacking)
    reporter.say(f"latency: {len(pieces)} pieces of space {priced.space.name} by {table}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("latency weights"))
        with reporter.track("latency", len(pieces), "pieces", len(pieces) - len(lacking)) as advance:
            for start in range(0, len(lacking), runtime.group):
                names = lacking[start : start + runtime.group]
                call_ns, times = _group([pieces[name] for name in names], runtime, rounds)
                call_ns = min(call_ns, table.call_ns or call_ns)
                known = {**table.pieces, **dict(zip(names, times, strict=True))}
                table = replace(table, pieces=known, call_ns=call_ns, scale=1.0, constant_ns=0, networks=0)
                write_json(path, table.to_dict())
                for name in names:
                    advance(name)
        table = _calibrated(table, priced, networks, runtime, rounds, reporter)
        write_json(path, table.to_dict())
    return table


def kept_table(path: Path, runtime: Runtime) -> LatencyTable:
    """The table in the folder of a run that has begun. Raises InputError if there is none, or one of another device."""
    if not path.exists():
        raise InputError(
            f"`out` {path.parent}: holds another run, without {path.name}; use another `out`, or give the same settings"
        )
    return _same_device(path, runtime)


def _empty(runtime: Runtime) -> LatencyTable:
    return LatencyTable(device_name(runtime.device), runtime.described, runtime.threads, {})


def _same_device(path: Path, runtime: Runtime) -> LatencyTable:
    """The table in a file. Raises InputError if it is not of this device, runtime and number of threads."""
    found, here = read_latency_table(path), _empty(runtime)
    if (found.device, found.runtime, found.threads) != (here.device, here.runtime, here.threads):
        raise InputError(
            f"{path}: a latency table of another device: {found}; here it is {here}; use it with `latency_table`, or "
            "measure into another file"
        )
    return found


def _group(pieces: Sequence[tuple[Piece, int]], runtime: Runtime, rounds: int) -> tuple[int, list[int]]:
    """Times of a call that computes nothing, and of each piece."""
    modules: list[nn.Module] = [nn.Identity()]
    inputs: list[Tensor] = [torch.rand(1, 1, 1, 1)]
    for piece, size in pieces:
        modules.append(settled(piece.create()))
        inputs.append(torch.rand(1, *piece.input_shape(size)))
    call_ns, *times = quickest(runtime.calls(modules, inputs), runtime, rounds)
    return call_ns, times


def settled(module: nn.Module) -> nn.Module:
    """The module as it is deployed: evaluation mode, weights of an ordinary size, nothing to learn."""
    initialise(module)
    return module.eval().requires_grad_(False)


def calibrators(priced: PricedSpace, count: int = NETWORKS) -> list[Architecture]:
    """The networks that a table's sums are fitted on: the smallest, the largest, and random ones."""
    rng = random.Random(derive("latency networks"))
    untimed = PricedSpace(priced.space, priced.num_classes)
    return [untimed.smallest, untimed.largest, *(untimed.sample(rng) for _ in range(count - 2))]


def _calibrated(
    table: LatencyTable, priced: PricedSpace, count: int, runtime: Runtime, rounds: int, reporter: Reporter
) -> LatencyTable:
    """The table with the scale and constant that fit some whole networks best."""
    networks = calibrators(priced, count)
    times = quickest(network_calls(networks, priced.num_classes, runtime, reporter), runtime, rounds)
    sums = [measure(network, priced.num_classes, table).latency_ns for network in networks]
    scale, constant_ns = fitted(sums, times)
    return replace(table, scale=scale, constant_ns=constant_ns, networks=len(networks))
