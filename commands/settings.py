"""The settings of the commands that have few: a search's are in `search_settings`, a retraining's in `recipes`."""

from collections.abc import Sequence
from dataclasses import dataclass

from commands import flags
from commands.command_line import Command, flag, positional
from commands.registered import attacks, backbones, spaces, tasks, told
from commands.values import fraction, fractions, names, number, whole
from deployment.choices import COMPARED, NEURON_BUDGETS, NEURON_PICTURES, ROUNDS, RUNTIMES, compared_runtimes
from training.attacks.epsilon import EPSILON
from training.specs import DATA, OTHERS, TASK

SPLITS = ("test", "validation", "train")
TOLD_BY = ("place", "appearance")


@dataclass(frozen=True)
class EvaluateSettings:
    """Test trained networks on pictures with targets, class by class, or with --latency how fast they are."""

    source: str = positional(
        "a network's folder, a retraining's with several (runs/digits/retrain), or a .safetensors or .onnx file"
    )
    data: str | None = flag(
        None, f"pictures (default: those of the training, if it says which): {DATA}; {OTHERS}", group="main"
    )
    split: str = flag("test", f"which of the pictures: {', '.join(SPLITS)}", choices=SPLITS, group="main")
    out: str | None = flag(
        None, "folder for the results (default: evaluation, beside each network's file)", group="main"
    )
    batch_size: int = flag(256, "pictures that a network is shown at a time", whole(1, 65_536))
    attack: tuple[str, ...] | None = flag(
        None,
        "also test classifiers on pictures that are changed so that they get them wrong, by each of these: "
        f"{','.join(attacks())}; with another number of steps or queries as pgd:100,square:5000 (default: none)",
        names,
        group="main",
    )
    epsilon: str | None = flag(
        None,
        f"how much --attack may change a value of a picture, from 0 to 1 (default: {EPSILON})",
        number,
        group="main",
    )
    pictures: int | None = flag(
        None,
        "how many pictures --attack and --neurons change, evenly spaced among them all (default: all, and "
        f"{NEURON_PICTURES})",
        whole(1),
        group="main",
    )
    neurons: bool = flag(
        False,
        "also predict simulated neurons, of a hidden network, and change pictures so that they take them for others; "
        "goes on after a kill",
        group="main",
    )
    budgets: tuple[float, ...] | None = flag(
        None,
        "bounds on the mean squared change that --neurons makes to values from 0 to 1 "
        f"(default: {','.join(f'{budget:g}' for budget in NEURON_BUDGETS)})",
        fractions,
        group="main",
    )
    latency: bool = flag(
        False, "measure one picture's time instead, on the CPU unless --device cuda; needs no data", group="main"
    )
    runtimes: tuple[str, ...] | None = flag(
        None,
        f"what --latency compares (default: all that are installed): {','.join(COMPARED)}",
        compared_runtimes,
        group="latency",
    )
    threads: int = flag(1, "threads that --latency measures with", whole(1, 4096), group="latency")
    rounds: int = flag(ROUNDS, "times that each network has its turn in --latency", whole(1, 10_000), group="latency")
    skip_corrupt: bool = flags.skip_corrupt()
    loaders: int | None = flags.loaders()
    device: str = flags.device()
    quiet: bool = flags.quiet()


EVALUATE = Command(
    "evaluate",
    EvaluateSettings,
    "example: python evaluate.py runs/digits/retrain, or python evaluate.py runs/digits/retrain --latency",
    continues=False,
    continues_with="--neurons",
)


@dataclass(frozen=True)
class PredictSettings:
    """Say what a trained network sees in pictures."""

    source: str = positional("a network's folder (runs/digits/retrain/found-0), or a .safetensors or .onnx file")
    pictures: Sequence[str] = positional("picture files, or folders of them", several=True)
    top: int = flag(5, "classes, or other things seen, to name of each picture", whole(1, 1_000_000))
    out: str | None = flag(None, "folder for the pictures with what is seen drawn over them, where a task can draw it")
    device: str = flags.device()


PREDICT = Command(
    "predict",
    PredictSettings,
    "example: python predict.py runs/digits/retrain/found-0 picture.jpg folder/of/pictures --top 3",
    continues=False,
)


@dataclass(frozen=True)
class TrackSettings:
    """Follow people through a video, with their joints, and measure it where the truth is known."""

    source: str = positional(
        "a network of task pose: its folder (runs/pose/retrain/found-0), or a .safetensors or .onnx"
    )
    frames: str = positional(
        "a folder of frames, in order of the numbers in their names, a video's in HiEve's format, or "
        "scenes:people:N, a made clip"
    )
    detector: str | None = flag(None, "a network of task detection, which says where people are")
    boxes: str | None = flag(None, "a file that says where people are, in MOTChallenge's format, instead of --detector")
    least_score: float = flag(0.3, "score from which on a box of --detector is taken", fraction)
    truth: str | None = flag(None, "the true tracks in MOTChallenge's format (default: the frames' own, where known)")
    by: str = flag("place", f"what tells people apart: {', '.join(TOLD_BY)}", choices=TOLD_BY)
    smoothing: float = flag(0.5, "weight of the frames before and after in a joint's place, 0 to 1; 0: none", fraction)
    out: str = flag("tracking", "folder for tracks, joints, measures and a strip of frames")
    device: str = flags.device()
    quiet: bool = flags.quiet()


TRACK = Command(
    "track",
    TrackSettings,
    "example: python track.py runs/pose/retrain/found-0 scenes:people",
    continues=True,
)


@dataclass(frozen=True)
class DescribeSettings:
    """Draw and cost a network, stage by stage, without training it and without data."""

    source: str = positional(
        "a run's folder or its front.json, a training's folder, an architecture's JSON file, or "
        f"{told(backbones())}, each also with -none, -se, -ca"
    )
    network: int | None = flag(
        None, "of a run's folder or front.json: the network of its front, 1 the cheapest (default: the best)", whole(1)
    )
    resolution: int | None = flag(None, "pixels a side (default: the architecture's own)", whole(1, 4096))
    classes: int | None = flag(None, "classes of the head (default: the source's, or 1000)", whole(1, 1_000_000))
    task: str | None = flag(None, f"whose head it has: {', '.join(tasks())} (default: the source's, or {TASK})")
    head: str | None = flags.head("the source's, or the task's first")
    output_stride: int | None = flags.output_stride()
    svg: str | None = flag(None, "write the drawing into this file")
    json: str | None = flag(None, "write the architecture into this file, which retrain.py takes")
    quiet: bool = flags.quiet()


DESCRIBE = Command(
    "describe",
    DescribeSettings,
    "example: python describe.py mobilenetv2-ca --svg mobilenetv2-ca.svg",
    continues=False,
)


@dataclass(frozen=True)
class LatencySettings:
    """Measure how long each piece of a space's networks takes, alone and on one picture, into a latency table.

    Or export the pieces as ONNX files, for a device that this program does not run on.
    """

    space: str = flag("mobile-32", f"search space: {', '.join(spaces())}, or a file FILE.toml")
    classes: int | None = flag(None, "classes of the pictures (default: the space's)", whole(1, 1_000_000))
    task: str = flag(TASK, f"what the networks are for: {', '.join(tasks())}")
    head: str | None = flags.head("the task's first")
    output_stride: int | None = flags.output_stride()
    resolution: int | None = flag(
        None, "measure at this one of the space's resolutions; a search needs all (default: all)", whole(1, 4096)
    )
    runtime: str = flag("eager", f"what the pieces run in: {', '.join(RUNTIMES)}")
    threads: int = flag(1, "threads of the runtime", whole(1, 4096))
    device: str = flags.device("cpu")
    rounds: int = flag(ROUNDS, "times that each piece has its turn, of which the quickest counts", whole(1, 10_000))
    out: str = flag("latency.json", "the table's file; the same command again continues it")
    export: str | None = flag(None, "write the pieces into this folder instead, with a table to fill in")
    quiet: bool = flags.quiet()


MEASURE_LATENCY = Command(
    "measure_latency",
    LatencySettings,
    "example: python measure_latency.py --space mobilenetv2 --resolution 224 --runtime onnxruntime",
    continues=True,
)
