"""CoordNAS from a program of your own: runs, networks, searches, and things of your own that are searched.

    import coordnas

    run = coordnas.load_run("runs/digits")
    network = coordnas.build(run.best, num_classes=len(run.classes))
    trained = coordnas.load_network("runs/digits/retrain/found-0")
    print(trained.predict("picture.jpg"))

Bad input raises `coordnas.InputError`, whose one line names the value, the place and the remedy. Importing this imports
neither torch nor timm; `timm.create_model("local-dir:…")` knows the networks all the same, once timm is imported.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment.timm_hook import register_with_timm
from foundation.errors import InputError
from foundation.metric import Measured, Metric

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from search_space.architecture import Architecture
    from search_space.cost.cost import Budget, Cost
    from search_space.network import Network
    from search_space.space import SearchSpace
    from studies.runs.source import Source
    from training.data.datasets import Dataset
    from training.data.own import Labelled
    from training.model_file import ModelInfo
    from training.task import Answers

__all__ = [
    "Found",
    "InputError",
    "Measured",
    "Metric",
    "Run",
    "TrainedNetwork",
    "build",
    "load_architecture",
    "load_network",
    "load_run",
    "register_attention",
    "register_dataset",
    "register_evaluator",
    "register_method",
    "register_sampler",
    "register_score",
    "register_space",
    "register_task",
    "search",
]


@dataclass(frozen=True)
class Found:
    """A network on a run's front.

    Attributes:
        cost: for one picture: `macs`, `params`, `latency_ns` (0 without a latency table).
        metrics: what the search scored it by, by name: `accuracy` (a share) and `loss` (nats), or one score; the run's
            metric is among them, such as the `score` that a prior made of the accuracy.
    """

    architecture: "Architecture"
    cost: "Cost"
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """What a finished search came to.

    Attributes:
        best: the best architecture within the budget.
        metric: what networks were ranked by: its name, unit, and which way is better.
        front: those that none beats in both score and cost, the cheapest first; where finalists were trained, the best
            may be none of them.
        classes: names, in the order of a network's logits.
        mean, std: by which pictures in 0 to 1 are normalised, of one channel for grey ones, else of three.
    """

    folder: Path
    best: "Architecture"
    front: tuple[Found, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    space: "SearchSpace"
    budget: "Budget"
    metric: Metric


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights, its classes, and how its pictures are prepared.

    Attributes:
        network: a torch module in evaluation mode: N×3×H×W, prepared, to N×classes logits, or to what the head of
            another task gives.
        classes: names, in the order of the network's.
    """

    network: "Network"
    classes: tuple[str, ...]
    architecture: "Architecture"
    _info: "ModelInfo" = field(repr=False)

    def prepare(self, picture: "str | Path | Image") -> "Tensor":
        """A picture as in every evaluation of this program: 3×H×W, float32, normalised, on the CPU.

        Args:
            picture: a file's path, or a PIL image, which stays as it is. A large JPEG is decoded smaller from its file,
                see docs/deployment.md, so its image has slightly other pixels.

        Raises InputError for a file that is missing, or cannot be read as a picture.
        """
        from training.data.preprocessing import normalised_image, read_picture

        if isinstance(picture, str | Path):
            return read_picture(Path(picture), self._info)
        from PIL.Image import Image

        if not isinstance(picture, Image):
            raise InputError(f"picture: expected a path or a PIL image, got {type(picture).__name__}")
        return normalised_image(picture, self._info)

    def answers(self, images: "Tensor") -> "Answers":
        """What the network says of prepared pictures, as its task has it, without gradients.

        Of a classifier N×classes logits; of segmentation the class of each pixel, N×H×W (int64).

        Args:
            images: N×3×H×W, see `prepare`.

        Raises InputError for a task that is not known, or does not say what its networks' outputs mean.
        """
        import torch

        from deployment.answers import answering

        with torch.inference_mode():
            outputs = self.network(images.to(next(self.network.parameters()).device))
            return answering(self._info, "network").answers(outputs, (images.shape[2], images.shape[3]))

    def predict(self, picture: "str | Path | Image", top: int = 5) -> list[tuple[str, float]]:
        """What is seen in a picture, at most `top` things, the most first; see `prepare`.

        Of a classifier the most probable classes with their probabilities; of segmentation the classes that most pixels
        have, with their shares of the picture. Raises InputError as `answers` does.
        """
        from deployment.answers import answering

        if type(top) is not int or top < 1:
            raise InputError(f"top: expected an integer from 1, got {top!r}")
        answers = self.answers(self.prepare(picture)[None])
        return answering(self._info, "network").told(answers, self.classes, top)[0]


def load_run(folder: str | Path) -> Run:
    """What the search in the folder came to. Raises InputError if it has not finished, or a file of it is broken."""
    from foundation.json_files import MAX_OF_A_RUN, read_json
    from search_space.architecture import Architecture
    from search_space.cost.cost import Cost
    from studies.runs.identity import ranked_by
    from studies.runs.run_folder import BEST, CONFIG, FRONT

    path = Path(folder)
    if not (path / BEST).is_file() or not (path / FRONT).is_file():
        raise InputError(f"{path}: holds no {BEST} and {FRONT}; finish its search first")
    source = _read_source(path)
    assert source.priced is not None
    best, content = read_json(path / BEST), read_json(path / FRONT, MAX_OF_A_RUN)
    try:
        mean, std = (tuple(map(float, best["normalisation"][name])) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path / BEST}: normalisation: expected mean and std, lists of numbers") from None
    if source.classes is None:
        raise InputError(f"{path / BEST}: classes: missing")
    try:
        front = tuple(
            Found(Architecture.from_dict(one["architecture"]), Cost.from_dict(one["cost"]), dict(one["metrics"]))
            for one in content["front"]
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{path / FRONT}: not a run's front ({error})") from None
    try:
        metric = ranked_by(read_json(path / CONFIG)["identity"])
    except InputError as error:
        raise InputError(f"{path / CONFIG}: identity.{error}") from None
    priced = source.priced
    return Run(path, source.architecture, front, source.classes, mean, std, priced.space, priced.budget, metric)


def load_architecture(source: str | Path) -> "Architecture":
    """An architecture by where it stands.

    Args:
        source: a run's folder (its best), a `front.json` (its best), a training's folder, an architecture's JSON file,
            a trained network's `.safetensors` file, or a hand-designed network's name: `mobilenetv2`, `mobilenetv2-ca`.

    Raises InputError for anything else, and for a broken file.
    """
    if str(source).endswith(".safetensors"):
        return load_network(source).architecture
    return _read_source(source).architecture


def _read_source(source: str | Path) -> "Source":
    from studies.runs.source import read_source

    return read_source(str(source), data="any")  # which says where to train, and is not asked for here


def build(architecture: "Architecture", num_classes: int = 1000) -> "Network":
    """The architecture's network, a torch module in training mode, freshly initialised from torch's random state.

    It takes N×3×H×W of any H and W, normalised, and gives N×num_classes logits. Raises InputError for a network that
    cannot be built: of an attention that is not registered, or of more than 500 million parameters.
    """
    from search_space.network import build as build_network

    return build_network(architecture, num_classes)


def load_network(source: str | Path) -> TrainedNetwork:
    """A trained network of any task with its weights, on the CPU, in evaluation mode.

    Args:
        source: a `.safetensors` file of a retraining, or the folder that it is in (`runs/digits/retrain/found-0`).

    Raises InputError if there is none, or several, or for weights that do not fit their architecture.
    """
    from deployment.model_source import find_model
    from training.model_file import load_model

    path = find_model(str(source))
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: no .safetensors file; of an ONNX file predict.py and evaluate.py make use")
    network, info = load_model(path)
    return TrainedNetwork(network, info.classes, info.architecture, info)


def search(
    space: "str | SearchSpace",
    dataset: "str | Dataset | tuple[Labelled, Labelled] | Mapping[str, Labelled]",
    *,
    folder: str | Path,
    max_macs: int | None = None,
    max_params: int | None = None,
    evaluator: str | None = None,
    trials: int | None = None,
    seed: int | None = None,
    preset: str | None = None,
    classes: Sequence[str] | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Searches as the command `search` does, in this process; called again with the same arguments, it goes on.

    Args:
        space: a space's name, a file `FILE.toml`, or a `SearchSpace`.
        dataset: what is learnt: training and validation pictures as a pair of torch's map-style datasets, or as a
            dictionary of them with the keys `train` and `validation`; or a spec such as `digits` or `folder:PATH`; or a
            `training.data.datasets.Dataset`. A dataset delivers a picture (a PIL image, or a tensor of uint8, 3×H×W or
            1×H×W) and its label (an integer from 0). All pictures are held in memory: their central squares, at the
            largest resolution of the space. What a dataset delivers has to be the same each time.
        folder: of the run; see docs/run-folder.md.
        max_macs, max_params: the budget for one picture; where neither is given, the preset's.
        evaluator: how a candidate is scored: `supernet`, `proxy`, `zero-cost`, `tabular`, or a registered one.
        trials: distinct candidates to evaluate.
        seed: of everything that is drawn.
        preset: sets all that is not given: one that `python search.py --help` names; by default that of a task given as
            `task`, or else `digits`.
        classes: names of the classes of datasets of torch's, in the order of the labels; by default those that the
            training dataset has as `classes`, or else the labels.
        quiet: whether nothing is printed.
        settings: further flags of the command by name, with `_` for `-`: `supernet_epochs=4, sampler="evolution"`.

    Torch's random state and number of threads are afterwards what they were. Raises InputError for a setting that is
    unknown or out of its range, data that cannot be used, or a folder that holds another run.
    """
    import torch

    from commands import search as command
    from commands.search_settings import usual
    from commands.search_setup import Own
    from commands.settings_in_python import checked
    from foundation.device import resolve_device
    from search_space.space import SearchSpace
    from search_space.spaces import named_space
    from training.data.own import given_data

    named = {"max_macs": max_macs, "max_params": max_params, "evaluator": evaluator, "trials": trials, "seed": seed}
    given = checked({**{name: value for name, value in named.items() if value is not None}, **settings})
    given |= {"out": str(folder), "quiet": quiet, **({} if preset is None else {"preset": preset})}
    if not isinstance(space, str):  # it says itself how coarse its maps are
        given.setdefault("output_stride", None)
    if isinstance(space, str):
        given["space"] = space
    elif not isinstance(space, SearchSpace):
        raise InputError(f"space: expected a name, a FILE.toml or a SearchSpace, got {type(space).__name__}")
    searched = named_space(space) if isinstance(space, str) else space
    defaults = usual(given)
    data = None
    if isinstance(dataset, str):
        if classes is not None:
            raise InputError(
                "classes: are named for datasets of torch's; data of a spec have their own; leave them out"
            )
        given["data"] = dataset
    else:
        device = resolve_device(given.get("device", defaults.device))
        data = given_data(dataset, max(searched.resolution), device, classes)
    wanted = replace(defaults, **given)
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            command.run(wanted, Own(None if isinstance(space, str) else space, data))
    finally:
        torch.set_num_threads(threads)
    return load_run(folder)


def register_attention(name: str) -> Callable[[type], type]:
    """Class decorator: makes an attention op known, from N×C×H×W to the same shape, see docs/attention-op.md."""
    return _register("search_space.attention", name)


def register_score(name: str) -> Callable[[Any], Any]:
    """Function decorator: makes a zero-cost score known, from a fresh network, images and labels to a number."""
    return _register("evaluators.zero_cost.registry", name)


def register_sampler(name: str) -> Callable[[type], type]:
    """Class decorator: makes a sampler known, a `studies.samplers.Sampler`, see docs/proposing.md."""
    return _register("studies.samplers", name)


def register_evaluator(name: str) -> Callable[[Any], Any]:
    """Decorator of a class or function: makes an evaluator known, made from a `Setup`, see docs/evaluator.md."""
    return _register("evaluators.choice", name, "EVALUATORS")


def register_space(name: str) -> Callable[[Any], Any]:
    """Function decorator: makes a space known, by a function without parameters that returns a `SearchSpace`."""
    return _register("search_space.spaces", name, "SPACES")


def register_task(name: str) -> Callable[[Any], Any]:
    """Decorator of a class: makes a task known, see `training.task.Task`."""
    return _register("tasks.choice", name, "TASKS")


def register_method(name: str) -> Callable[[Any], Any]:
    """Decorator of a class or function: makes a method known, made from a `training.methods.registry.Training`."""
    return _register("training.methods.choice", name, "METHODS")


def register_dataset(name: str) -> Callable[[Any], Any]:
    """Function decorator: makes the pictures of `--data NAME` known, a `Dataset` from a `Wanted`, see docs/data.md."""
    return _register("training.data.datasets", name, "DATASETS")


def _register(module: str, name: str, registry: str | None = None) -> Any:
    """The decorator of a module, or of a registry in it. A name that is taken raises ValueError when it is used."""
    found = importlib.import_module(module)
    return (found if registry is None else getattr(found, registry)).register(name)


register_with_timm()

if __name__ == "__main__":  # `python -m coordnas search …`, and torchrun's `-m coordnas search …`
    from commands.main import main

    main()
