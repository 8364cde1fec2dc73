"""Coordinate attention against the authors' formulation, and against the memory traffic that no form can do without.

    python -m benchmarks.attention [--threads 1,2] [--rounds N] [--compiled] [--networks]

The authors' formulation is timm's `CoordAttn` with the authors' settings; the two are given the same weights. The maps
are those of MobileNetV2 at 224×224 where its attention stands. Forward is in inference, backward a whole training pass:
forward, and the gradients by input and parameters. The contenders take turns in rounds, and ratios are taken within a
round: above 1, this project's is faster. On one thread it is processor time, on more it is time as it passes, so let
nothing else run. The floor is reading the map twice (the gates depend on all of it) and writing it once: a sum and a
copy. "kept" is what a forward pass keeps for the backward pass, weights aside, in maps.

`--compiled` measures the authors' as torch.compile makes it, which takes some 10 s a shape, against ours as it is: what
the compiler is shown of ours is the plain form. `--networks` measures whole networks instead: with the authors'
attention, with ours, and without.

A GPU is not measured: there ours is the plain form, and torch.compile of it is the way to have it in few kernels.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from timm.layers.coord_attn import CoordAttn
from torch import Tensor, nn

from deployment.runtimes import Runtime
from search_space.architecture import Attention
from search_space.attention import CoordinateAttention
from search_space.backbones import mobilenetv2
from search_space.families.mobile.blocks import BlockPart
from search_space.network import build, parts
from search_space.parts import AttentionPart

RESOLUTION, REDUCTION = 224, 32
NETWORK_BATCHES = {"forward": 1, "backward": 16}
LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}
SECONDS = 0.004  # of a contender in a round, at least

Call = Callable[[], object]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--batches", default="1,32", help="of the maps")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--networks", action="store_true")
    arguments = parser.parse_args()
    layouts = arguments.layouts.split(",")
    for threads in map(int, arguments.threads.split(",")):
        with Runtime("eager", threads, torch.device("cpu")).settled(), torch.inference_mode(False):
            print(f"\n{threads} thread{'s' if threads > 1 else ''}, {arguments.rounds} rounds")
            if arguments.networks:
                _networks(layouts, arguments.rounds)
            else:
                batches = [int(batch) for batch in arguments.batches.split(",")]
                _maps(layouts, batches, arguments.rounds, arguments.compiled)


def maps() -> dict[tuple[int, int], int]:
    """Channels and side of the maps that MobileNetV2's attention sees, each with how many of its blocks have it."""
    found: dict[tuple[int, int], int] = {}
    size = RESOLUTION
    for _, part in parts(mobilenetv2(attention=Attention("ca", REDUCTION), resolution=RESOLUTION), 1000):
        if isinstance(part, BlockPart):
            side = size
            for _, piece in part.pieces:
                if isinstance(piece, AttentionPart) and piece.attention.kind == "ca":
                    found[piece.channels, side] = found.get((piece.channels, side), 0) + 1
                side = piece.output_size(side)
        size = part.output_size(size)
    return found


def authors(ours: CoordinateAttention) -> CoordAttn:
    """The authors' formulation with the weights of ours."""
    reduced = ours.reduce.out_channels
    theirs = CoordAttn(ours.reduce.in_channels, rd_channels=reduced, bias=True, act_layer=nn.Hardswish)
    for name, own in (("conv1", ours.reduce), ("bn1", ours.norm), ("conv_h", ours.height), ("conv_w", ours.width)):
        getattr(theirs, name).load_state_dict(own.state_dict())
    return theirs.to(ours.reduce.weight.dtype).train(ours.training)


def saved_bytes(op: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, the module's own tensors aside; each storage once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*op.parameters(), *op.buffers())}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = op(x)  # alive until it is counted, or a later tensor could have its place
    del out
    return sum(found.values())


def _maps(layouts: Iterable[str], batches: Iterable[int], rounds: int, compiled: bool) -> None:
    print(
        f"{'':32} {'authors':>9} {'ours':>9} {'authors over ours':>24} {'over the floor':>16} {'kept':>12}\n"
        f"{'layout':14} {'batch':>5} {'map':>11} {'':32} {'(quartiles)':>14} {'authors':>9} {'ours':>6} "
        f"{'authors':>7} {'ours':>4}"
    )
    for layout in layouts:
        for batch in batches:
            total: dict[str, list[float]] = {"forward": [0.0, 0.0], "backward": [0.0, 0.0]}
            for (channels, side), count in maps().items():
                for mode, sums in total.items():
                    taken = _race(layout, batch, channels, side, mode, rounds, compiled)
                    sums[0] += count * taken[0]
                    sums[1] += count * taken[1]
            for mode, (theirs, ours) in total.items():
                print(f"{layout:14} {batch:5} all 16 blocks {mode:9} {theirs:9.2f} {ours:9.2f} ms {theirs / ours:8.2f}")


def _race(
    layout: str, batch: int, channels: int, side: int, mode: str, rounds: int, compiled: bool
) -> tuple[float, float]:
    """Prints a line: median milliseconds of theirs and ours."""
    torch.manual_seed(0)
    x = torch.randn(batch, channels, side, side).contiguous(memory_format=LAYOUTS[layout])
    out = torch.empty_like(x)
    ours = CoordinateAttention(channels, REDUCTION).train(mode == "backward")
    forms: list[Any] = [authors(ours), ours]
    size = x.numel() * x.element_size()
    kept = [saved_bytes(form, x.clone().requires_grad_()) / size for form in forms]
    if compiled:
        torch.compiler.reset()
        forms[0] = torch.compile(forms[0], dynamic=False)
    calls = [_call(form, x, mode) for form in forms]
    times = timed([*calls, lambda: (x.sum(), out.copy_(x))], rounds)
    theirs, own, floor = map(statistics.median, times)
    over = "" if mode == "backward" else f"{theirs / floor:9.1f} {own / floor:6.1f}"
    print(
        f"{layout:14} {batch:5} {f'{channels}×{side}×{side}':>11} {mode:9} {1e3 * theirs:8.3f} {1e3 * own:9.3f} ms "
        f"{ratio(times[0], times[1]):>21} {over:16} {kept[0]:7.2f} {kept[1]:5.2f}",
        flush=True,
    )
    return 1e3 * theirs, 1e3 * own


def _call(form: nn.Module, x: Tensor, mode: str) -> Call:
    if mode == "forward":

        def infer() -> None:
            with torch.inference_mode():
                form(x)

        return infer
    parameters = [parameter for parameter in form.parameters() if parameter.requires_grad]
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    gradient = torch.randn_like(form(x))
    return lambda: torch.autograd.grad(form(x), [x, *parameters], gradient)


def timed(calls: Sequence[Call], rounds: int) -> list[list[float]]:
    """Seconds of each call in each round; in a round each is repeated for some milliseconds."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    repeats = []
    for call in calls:
        call()
        before = clock()
        call()
        repeats.append(max(1, round(SECONDS / max(1e-6, clock() - before))))
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds):
        for turn in range(len(calls)):
            index = (number + turn) % len(calls) if number % 2 else (number - turn) % len(calls)
            calls[index]()
            before = clock()
            for _ in range(repeats[index]):
                calls[index]()
            times[index].append((clock() - before) / repeats[index])
    return times


def ratio(times: Sequence[float], others: Sequence[float]) -> str:
    """Median and quartiles of the ratios of each round."""
    ratios = [one / other for one, other in zip(times, others, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f}–{high:.2f})"


def _networks(layouts: Iterable[str], rounds: int) -> None:
    for layout in layouts:
        for mode, batch in NETWORK_BATCHES.items():
            torch.manual_seed(0)
            ours = build(mobilenetv2(attention=Attention("ca", REDUCTION), resolution=RESOLUTION))
            ours = ours.to(memory_format=LAYOUTS[layout]).train(mode == "backward")
            theirs = copy.deepcopy(ours)
            for block in list(theirs.modules()):
                own = getattr(block, "attention", None)
                if isinstance(own, CoordinateAttention):
                    block.attention = authors(own)
            without = build(mobilenetv2(resolution=RESOLUTION)).to(memory_format=LAYOUTS[layout])
            without.train(mode == "backward")
            x = torch.randn(batch, 3, RESOLUTION, RESOLUTION).contiguous(memory_format=LAYOUTS[layout])
            networks = {"authors'": theirs, "ours": ours, "without": without}
            times = dict(
                zip(networks, timed([_call(network, x, mode) for network in networks.values()], rounds), strict=True)
            )
            print(f"MobileNetV2 CA r{REDUCTION}, {layout}, batch {batch}, {mode}")
            for name, own_times in times.items():
                print(f"  {name:9} {1e3 * statistics.median(own_times):9.2f} ms")
            print("  authors' over ours:", ratio(times["authors'"], times["ours"]))


if __name__ == "__main__":
    main()
