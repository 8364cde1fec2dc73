"""How long whole networks take for one picture, in several runtimes side by side."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deployment.choices import COMPARED, INT8
from deployment.latency import settled_times
from deployment.onnx_export import onnx_models
from deployment.quantisation import quantised, without_log
from deployment.runtimes import Call, Runtime
from foundation.errors import InputError, first_line
from foundation.progress import Reporter
from search_space.network import Network


class Spread(NamedTuple):
    """Of times in nanoseconds the median, and the quartiles below and above it."""

    median: int
    low: int
    high: int


def compare_latency(
    networks: Sequence[tuple[str, Network]],
    runtimes: Sequence[str] | None,
    threads: int,
    device: torch.device,
    rounds: int,
    reporter: Reporter,
) -> dict[tuple[str, str], Spread]:
    """Times of each (network, runtime), for one picture at the network's resolution, up to the network's outputs.

    All take turns, so that what else the machine does meets them alike. On one CPU thread it is processor time, else
    time as it passes, see `quickest`. In integers a network is calibrated on noise, since its time does not depend on
    its values. Times are the medians of three calls in a row.

    Args:
        networks: each with the name that it is shown by.
        runtimes: of `COMPARED`, each of which must be there; None for all that are, and can use the device.

    Raises InputError where a runtime is named that is not installed, or cannot use the device, and for a network of
    several outputs.
    """
    wanted = {name: found for name in runtimes or COMPARED if (found := _runtime(name, threads, device, runtimes))}
    calls: dict[tuple[str, str], Call] = {}
    with reporter.track("preparing networks", len(networks), "networks") as advance:
        for name, network in networks:
            network = network.cpu().eval().requires_grad_(False)
            for runtime, call in _calls(network, wanted, named=runtimes is not None, reporter=reporter).items():
                calls[name, runtime] = call
            advance(name)
    times = settled_times(list(calls.values()), next(iter(wanted.values())), rounds)
    return {key: spread(own) for key, own in zip(calls, times, strict=True)}


def spread(times: Sequence[int]) -> Spread:
    """Median and quartiles of some times."""
    if len(times) == 1:
        return Spread(times[0], times[0], times[0])
    low, median, high = (round(value) for value in statistics.quantiles(times, n=4, method="inclusive"))
    return Spread(median, low, high)


def _runtime(name: str, threads: int, device: torch.device, named: Sequence[str] | None) -> Runtime | None:
    try:
        return Runtime("onnxruntime" if name == INT8 else name, threads, device)
    except InputError:
        if named is not None:
            raise
        return None


def _calls(network: Network, runtimes: dict[str, Runtime], *, named: bool, reporter: Reporter) -> dict[str, Call]:
    """A call for each runtime; the compiler's is left out where it cannot be used and nobody asked for it by name."""
    size = network.architecture.resolution
    x = torch.rand(1, 3, size, size)
    with torch.no_grad():
        if not isinstance(network(x), Tensor):
            raise InputError("`latency`: for networks of one output; this task's have several")
    calls: dict[str, Call] = {}
    model = None
    for name, runtime in runtimes.items():
        if runtime.name == "onnxruntime":
            model = model or onnx_models([network], [x])[0]
            chosen = quantised(model, [torch.randn_like(x) for _ in range(4)]) if name == INT8 else model
            calls[name] = runtime.onnx_call(chosen, network, x)
            continue
        (call,) = runtime.calls([network], [x])
        try:
            with without_log():
                call()  # compiles
        except Exception as error:
            if name != "compile":
                raise
            reason = first_line(error)
            if named:
                raise InputError(f"`runtimes` compile: torch's compiler cannot be used here ({reason})") from error
            reporter.say(f"compile: left out, since torch's compiler cannot be used here ({reason})")
            continue
        calls[name] = call
    return calls
