"""Architectures costed a second: the cost table against fvcore, ptflops and torch's counter on the built model.

    python -m benchmarks.cost_model [--seconds S]

All on one core, side by side in one run, on the same random architectures of the space `mobilenetv2`; the peers' times
include no building of the model. ptflops is optional: `pip install ptflops`.
"""

import argparse
import contextlib
import io
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_space.architecture import Architecture
from search_space.cost.cost import Budget, measure
from search_space.cost.encoding import encoding
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.spaces import mobilenetv2
from search_space.network import bare
from search_space.spaces import priced_space

_Input = TypeVar("_Input")

PEERS = 12  # networks that each peer counts


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring for each of the table's ways")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # fvcore and ptflops use what torch has deprecated
    torch.set_num_threads(1)
    priced = priced_space("mobilenetv2")
    start = time.perf_counter()
    table = priced.costs
    setup = time.perf_counter() - start
    architectures, counted, sampling = _drawn(priced)
    own = encoding(priced)
    codes = own.encode(architectures)
    own.costs(codes)  # makes the arrays that the codes are looked up in
    many = np.tile(codes, (50, 1))
    built = [(bare(a, 1000).eval(), a.resolution, a) for a in architectures[:PEERS]]

    ways = {
        "table, one architecture": _rate(table.cost, architectures, arguments.seconds),
        "table, encoded batch": len(many) * _rate(own.costs, [many], arguments.seconds),
    }
    peers: dict[str, Callable[[nn.Module, int], object]] = {"torch FlopCounterMode": _torch, "fvcore": _fvcore}
    try:
        import ptflops  # noqa: F401

        peers["ptflops"] = _ptflops
    except ImportError:
        print("ptflops is not installed: left out")
    times: dict[str, list[float]] = {name: [] for name in peers}
    for network, resolution, architecture in built:
        for name, peer in peers.items():  # in turns, so that the machine's noise meets all alike
            start = time.perf_counter()
            macs = peer(network, resolution)
            times[name].append(time.perf_counter() - start)
            if name != "ptflops" and macs != measure(architecture).macs:  # ptflops counts activations in
                raise SystemExit(f"{name} counts {macs} MACs, the table {measure(architecture).macs}")
    ways |= {name: 1 / statistics.median(seconds) for name, seconds in times.items()}
    fastest = max(ways[name] for name in peers)
    for name, rate in ways.items():
        print(f"{name:26} {rate:14,.1f} a second   {rate / fastest:12,.1f} × the fastest peer")
    print(f"set-up: costs of all outcomes {setup:.2f} s, counting within 300M MACs {counted:.2f} s")
    print(f"a sample within the budget: {1000 * sampling:.2f} ms")
    blocks = replace(priced, space=replace(mobilenetv2(), attention_per="block"))
    start = time.perf_counter()
    blocks.costs  # noqa: B018 (computes them)
    setup = time.perf_counter() - start
    _, counted, sampling = _drawn(blocks)
    print(f"attention per block: costs, what is counted already left out, {setup:.2f} s, counting {counted:.2f} s")
    print(f"a sample within the budget: {1000 * sampling:.2f} ms")


def _drawn(priced: PricedSpace) -> tuple[list[Architecture], float, float]:
    """Architectures within 300M MACs, and the seconds of counting and of one sample."""
    start = time.perf_counter()
    table = priced.within(Budget(max_macs=300_000_000)).table
    counted = time.perf_counter() - start
    rng = random.Random(0)
    start = time.perf_counter()
    architectures = [table.sample(rng) for _ in range(2000)]
    return architectures, counted, (time.perf_counter() - start) / len(architectures)


def _rate(run: Callable[[_Input], object], inputs: Sequence[_Input], seconds: float) -> float:
    """Runs a second."""
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for value in inputs:
            run(value)
        done += len(inputs)
    return done / (time.perf_counter() - start)


@torch.no_grad()
def _torch(network: nn.Module, resolution: int) -> int:
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, resolution, resolution))
    return int(counter.get_total_flops()) // 2


def _fvcore(network: nn.Module, resolution: int) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network, torch.empty(1, 3, resolution, resolution))
    counts = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return int(counts["conv"] + counts["linear"])


def _ptflops(network: nn.Module, resolution: int) -> int:
    import ptflops

    with contextlib.redirect_stdout(io.StringIO()):
        macs, _ = ptflops.get_model_complexity_info(
            network, (3, resolution, resolution), as_strings=False, print_per_layer_stat=False, verbose=False
        )
    return int(macs or 0)


if __name__ == "__main__":
    main()
