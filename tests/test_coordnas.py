"""The public face: runs, networks and searches from a program's own Python, and the examples that show it."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import coordnas
from commands import search as command
from deployment.model_source import read_model
from deployment.prediction import predict
from evaluators.choice import EVALUATORS
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.zero_cost.registry import SCORES
from search_space import Architecture, Attention, Stage, attention, build
from search_space.cost.cost import measure
from search_space.spaces import SPACES, named_space, priced_space
from studies.samplers.base import SAMPLERS
from tasks.choice import TASKS, task
from tasks.classification.room import Classification
from training.data.datasets import DATASETS, load_data
from training.data.own import own_data
from training.data.preprocessing import read_picture
from training.methods.choice import METHODS
from training.model_file import ModelInfo, save_model

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
SIDE = 16
Items = list[tuple[Any, Any]]


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (attention.OPS, EVALUATORS, SPACES, SCORES, SAMPLERS, TASKS, METHODS, DATASETS):
        monkeypatch.setattr(registry, "_things", dict(registry._things))


def _items(count: int, first: int = 0) -> Items:
    """Grey and coloured tensors and PIL images, in turn, of two classes."""
    items: Items = []
    for number in range(first, first + count):
        generator = torch.Generator().manual_seed(number)
        pixels = torch.randint(0, 256, (1 if number % 3 else 3, 20, 24), dtype=torch.uint8, generator=generator)
        picture = Image.fromarray(pixels[0].numpy()) if number % 2 else pixels
        items.append((picture, number // 2 % 2))
    return items


def _network(tmp_path: Path, data: str = "folder", channels: int = 3) -> Path:
    architecture = Architecture(24, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (Attention("ca", 4),)),), 16, "relu6")
    folder = tmp_path / "retrain" / "found-0"
    folder.mkdir(parents=True)
    info = ModelInfo(architecture, ("a", "b", "c"), (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels], data)
    save_model(folder / "weights.safetensors", build(architecture, 3).state_dict(), info)
    return folder


def test_it_imports_nothing_heavy() -> None:
    code = "import coordnas, sys; sys.exit(bool({'torch', 'timm', 'numpy', 'optuna', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("order", ["import coordnas, timm", "import timm, coordnas"])
def test_timm_knows_the_networks_in_either_order(order: str, tmp_path: Path) -> None:
    architecture = coordnas.load_architecture("mobilenetv2-ca")
    (tmp_path / "network.json").write_text(architecture.to_json())
    code = f"""
{order}, json, torch, warnings
warnings.simplefilter("error")
assert timm.is_model("coordnas")
network = json.load(open({str(tmp_path / "network.json")!r}))
maps = timm.create_model("coordnas", network=network, features_only=True)
print([features.shape[2] for features in maps(torch.rand(1, 3, 64, 64))], maps.feature_info.reduction())
import coordnas
importlib = __import__("importlib")
importlib.reload(coordnas)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[32, 16, 8, 4, 2] [2, 4, 8, 16, 32]\n"


def test_pictures_of_a_program_are_prepared_as_those_of_files(picture_folder: Path) -> None:
    data = load_data(f"folder:{picture_folder}", SIDE, CPU)
    paths = sorted(picture_folder.glob("*/*.png"))
    items = [(Image.open(path), int(path.parent.name[-1])) for path in paths]
    own = own_data(items, items, SIDE, CPU)
    assert own.classes == ("0", "1", "2", "3")
    batches = {split: next(data.load(split).batches(96)) for split in ("train", "validation", "test")}
    known = {
        image.numpy().tobytes(): int(label)
        for images, labels in batches.values()
        for image, label in zip(images, labels, strict=True)
    }
    images, labels = next(own.train.batches(96))
    assert len(images) == sum(len(labels) for _, labels in batches.values()) == 96
    assert [known[image.numpy().tobytes()] for image in images] == labels.tolist()


def test_tensors_and_images_of_the_same_pixels_are_the_same() -> None:
    pixels = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8)
    forms = [pixels, Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())]
    grey = [pixels[:1], pixels[0], Image.fromarray(pixels[0].numpy())]
    for same in (forms, grey):
        data = own_data([(form, index % 2) for index, form in enumerate(same)], [(same[0], torch.tensor(1))], SIDE, CPU)
        images, _ = next(data.train.batches(3))
        assert all(image.equal(images[0]) for image in images)
    whole = own_data([(pixels[:, :, 2:22], 0), (pixels, 1)], [(pixels, 0)], 20, CPU).train
    first, second = next(whole.batches(2))[0]
    assert first.equal(second)  # the central square, pixel by pixel
    assert (
        (first * whole._std[0, :, :, :1] + whole._mean[0, :, :, :1]).mul(255).round().equal(pixels[:, :, 2:22].float())
    )


def test_own_data_are_told_apart_by_what_they_hold() -> None:
    train, validation = _items(12), _items(4, 12)
    data = own_data(train, validation, SIDE, CPU)
    assert data.identity == own_data(train, validation, SIDE, CPU).identity
    others = [own_data(_items(12, 1), validation, SIDE, CPU), own_data(train, validation, SIDE, CPU, ["x", "y"])]
    assert data.identity not in {other.identity for other in others}
    assert (data.count("train"), data.count("validation")) == (12, 4)
    with pytest.raises(coordnas.InputError, match="there are no test pictures"):
        _ = data.test


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ([], "train: holds no pictures"),
        (iter([]), "train: expected a map-style dataset .*, got list_iterator"),
        ([torch.zeros(3, 4, 4)], r"train\[0\]: expected a pair of picture and label, got Tensor"),
        ([(torch.zeros(3, 4, 4), 0)], r"train\[0\]: expected a tensor of uint8, .* got \(3, 4, 4\) of float32; leave"),
        ([(torch.zeros(2, 4, 4, dtype=torch.uint8), 0)], r"train\[0\]: .* got \(2, 4, 4\) of uint8"),
        ([("cat.jpg", 0)], r"train\[0\]: expected a PIL image or a tensor of uint8, got str"),
        ([*_items(2), (Image.new("L", (4, 4)), -1)], r"train\[2\]: expected an integer label from 0, got -1"),
        ([(Image.new("L", (4, 4)), 0.5)], r"train\[0\]: expected an integer label from 0, got 0\.5"),
        ([(Image.new("L", (4, 4)), "cat")], r"train\[0\]: expected an integer label from 0, got 'cat'"),
        ([(Image.new("L", (4, 4)), 1)], "train: has no picture of class 0"),
    ],
)
def test_what_is_no_dataset_is_refused(train: Any, told: str) -> None:
    with pytest.raises(coordnas.InputError, match=told):
        own_data(train, _items(4), SIDE, CPU)


def _search(folder: Path, space: Any, dataset: Any = None, **settings: Any) -> coordnas.Run:
    dataset = (_items(48), _items(16, 48)) if dataset is None else dataset
    given = {"evaluator": "zero-cost", "score": "macs", "max_macs": 10_000_000, "trials": 6, "startup": 2, **settings}
    return coordnas.search(space, dataset, folder=folder, quiet=True, **given)


def test_a_search_over_own_data(tmp_path: Path, narrow_space_file: Path) -> None:
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    run = _search(tmp_path / "run", str(narrow_space_file), classes=["cat", "dog"])
    assert torch.random.get_rng_state().equal(state)
    assert torch.get_num_threads() == threads
    assert run == coordnas.load_run(tmp_path / "run")
    assert run.classes == ("cat", "dog")
    assert (run.space.name, run.budget.max_macs) == ("narrow", 10_000_000)
    assert len(run.mean) == len(run.std) == 3
    assert run.best in [found.architecture for found in run.front]
    assert [found.cost.macs for found in run.front] == sorted(found.cost.macs for found in run.front)
    assert coordnas.load_architecture(tmp_path / "run") == run.best
    free = json.loads((tmp_path / "run" / "config.json").read_text())["free"]
    assert (free["command"], free["data"]) == (None, None)

    before = (tmp_path / "run" / "front.json").read_bytes()
    data = {"validation": _items(16, 48), "train": _items(48)}
    space = named_space(str(narrow_space_file))
    _search(tmp_path / "run", space, data, classes=["cat", "dog"])  # goes on: the same data, the same space
    assert (tmp_path / "run" / "front.json").read_bytes() == before
    with pytest.raises(coordnas.InputError, match="holds another run: the pictures are not those"):
        _search(tmp_path / "run", space, (_items(48, 1), _items(16, 48)), classes=["cat", "dog"])


def test_a_finished_search_of_short_trainings_trains_nothing_again(
    tmp_path: Path, narrow_space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its generation is not whole, since the space has no more: it was forgotten, and trained anew."""
    space = named_space(str(narrow_space_file))
    bound = measure(priced_space(str(narrow_space_file)).smallest, 2).macs
    given = {"evaluator": "proxy", "score": "az_nas", "max_macs": bound, "proxy_epochs": (1,), "trials": 1}
    first = _search(tmp_path / "run", space, **given)
    kept = (tmp_path / "run" / "proxy.json").read_bytes()
    monkeypatch.setattr(ProxyEvaluator, "_trained", None)
    assert _search(tmp_path / "run", space, **given) == first
    assert (tmp_path / "run" / "proxy.json").read_bytes() == kept


def test_a_search_is_that_of_the_command(tmp_path: Path) -> None:
    words = [
        "digits",
        "--evaluator",
        "tabular",
        "--trials",
        "5",
        "--startup",
        "2",
        "--sampler",
        "random",
        "--seed",
        "3",
    ]
    command.main([*words, "--quiet", "--max-macs", "1M", "--out", str(tmp_path / "command")])
    settings = {"evaluator": "tabular", "sampler": "random", "seed": 3, "score": "az_nas", "max_macs": 1_000_000}
    _search(tmp_path / "python", "mobilenetv2-32", "digits", **settings, trials=5)
    for name in ("front.json", "best.json"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"trails": 5}, "trails: no setting of a search from Python; did you mean trials?"),
        ({"workers": 2}, "workers: no setting of a search from Python"),
        ({"trials": 0}, "trials: 0: "),
        ({"max_macs": "many"}, "max_macs: 'many': "),
        ({"skip_corrupt": "yes"}, "skip_corrupt: expected True or False, got 'yes'"),
        ({"evaluator": "absent"}, "`evaluator` absent: unknown"),
        ({"preset": "absent"}, "preset 'absent': unknown"),
        ({"space": "absent"}, "`space` absent: unknown"),
        ({"dataset": "digits", "classes": ["a"]}, "classes: are named for datasets of torch's"),
        ({"space": 3}, "space: expected a name, a FILE.toml or a SearchSpace, got int"),
        ({"dataset": [_items(4)]}, "dataset: expected a spec, a Dataset, or training and validation datasets"),
        ({"dataset": {"train": _items(4), "test": []}}, "dataset: expected the keys train and validation, got train"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    given = {"space": "mobilenetv2-32", **settings}
    with pytest.raises(coordnas.InputError, match=told.replace("?", r"\?")):
        _search(tmp_path / "run", given.pop("space"), given.pop("dataset", None), **given)
    assert not (tmp_path / "run").exists()


def test_data_of_another_size_are_refused(tmp_path: Path, narrow_space_file: Path) -> None:
    data = own_data(_items(8), _items(4), 32, CPU)
    with pytest.raises(coordnas.InputError, match="dataset: pictures of 32 pixels, but the space wants 16"):
        _search(tmp_path / "run", str(narrow_space_file), data)


@pytest.mark.parametrize(("data", "channels"), [("folder", 3), ("imagenet", 3), ("digits", 1)])
def test_a_network_prepares_as_the_program_does(tmp_path: Path, data: str, channels: int) -> None:
    folder = _network(tmp_path, data, channels)
    pixels = torch.randint(0, 256, (41, 50, 3), dtype=torch.uint8)
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels.numpy()).save(path, exif=exif)
    trained = coordnas.load_network(folder)
    model = read_model(folder / "weights.safetensors", CPU)
    prepared = trained.prepare(path)
    assert (prepared.shape, prepared.dtype) == ((3, 24, 24), torch.float32)
    assert prepared.equal(read_picture(path, model.info))
    with Image.open(path) as image:  # not twice as large as needed: the same pixels
        assert trained.prepare(image).equal(prepared)
        assert image.size == (50, 41)
    (expected,) = predict(model, [path], top=2)
    seen = trained.predict(path, top=2)
    assert [name for name, _ in seen] == [name for name, _ in expected.classes]
    assert [share for _, share in seen] == pytest.approx([share for _, share in expected.classes])
    assert not trained.network.training
    assert trained.network(prepared[None]).shape == (1, 3)
    assert coordnas.load_architecture(folder / "weights.safetensors") == trained.architecture


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda folder: coordnas.load_run(folder), "holds no best.json and front.json; finish its search first"),
        (lambda folder: coordnas.load_network(folder / "absent"), "no such file or folder"),
        (lambda folder: coordnas.load_architecture("absent"), "absent"),
        (lambda folder: coordnas.load_network(folder).prepare(folder / "absent.jpg"), "absent.jpg: no such file"),
        (lambda folder: coordnas.load_network(folder).prepare(3), "picture: expected a path or a PIL image, got int"),
        (lambda folder: coordnas.load_network(folder).predict("a.jpg", top=0), "top: expected an integer from 1"),
        (lambda folder: coordnas.build(coordnas.load_architecture("mobilenetv2"), 0), "num_classes: expected an int"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, call: Callable[[Path], Any], told: str) -> None:
    _network(tmp_path)
    with pytest.raises(coordnas.InputError, match=told) as raised:
        call(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_network_is_built() -> None:
    network = coordnas.build(coordnas.load_architecture("mobilenetv2-ca"), num_classes=7).eval()
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 7)


def test_things_are_registered(tmp_path: Path, narrow_space_file: Path) -> None:
    @coordnas.register_score("mine")
    def mine(network: torch.nn.Module, images: Tensor, labels: Tensor) -> float:
        return float(sum(parameter.numel() for parameter in network.parameters()))

    @coordnas.register_space("my-space")
    def my_space() -> Any:
        return named_space(str(narrow_space_file))

    @coordnas.register_sampler("mine")
    class Mine(SAMPLERS["random"]):  # type: ignore[misc]
        pass

    built: list[str] = []

    @coordnas.register_evaluator("mine")
    def make(setup: Any) -> Any:
        built.append(setup.priced.space.name)
        return EVALUATORS["zero-cost"](replace(setup, own="macs"))

    run = _search(tmp_path / "run", "my-space", score="mine", sampler="mine")
    assert max(run.front, key=lambda found: found.cost.params).architecture == run.best
    with pytest.raises(ValueError, match="registered already"):
        coordnas.register_space("my-space")(my_space)
    _search(tmp_path / "again", "my-space", evaluator="mine", init="scratch")
    assert built == ["narrow"]


def test_tasks_methods_and_data_sets_are_registered() -> None:
    @coordnas.register_task("mine")
    class Mine(Classification):
        name = "mine"

    @coordnas.register_method("mine")
    def method(training: Any) -> Any:
        return METHODS["labels"](training)

    @coordnas.register_dataset("mine")
    def data(wanted: Any) -> Any:
        return DATASETS["digits"](replace(wanted, rest="clutter"))

    assert task("mine").name == "mine"
    assert "mine" in METHODS
    assert load_data("mine", 32, CPU).num_classes == 10
    for register, thing in (
        (coordnas.register_task, Mine),
        (coordnas.register_method, method),
        (coordnas.register_dataset, data),
    ):
        with pytest.raises(ValueError, match="registered already"):
            register("mine")(thing)


def _example(name: str) -> ModuleType:
    return importlib.reload(importlib.import_module(f"examples.{name}"))


FEW = {"supernet_epochs": 1, "startup": 2, "batch_size": 32, "prior": "none", "quiet": True}


def test_a_run_is_loaded_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str], picture_folder: Path) -> None:
    run = _search(tmp_path, "mobilenetv2-32", "digits", evaluator="tabular", score="az_nas", sampler="random")
    _network(tmp_path)
    _example("load_and_predict").main(str(tmp_path), str(picture_folder / "digit3" / "00.png"))
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "space mobilenetv2-32, within 10.0M MACs, 10 classes"
    assert sum(line.startswith("*") for line in lines) == 1
    assert len(lines) == len(run.front) + 3
    assert sum(float(line.split(": ")[1].removesuffix("%")) for line in lines[-3:]) == pytest.approx(100, abs=0.2)


def test_an_own_dataset_is_searched(tmp_path: Path) -> None:
    run = _example("own_dataset").main(str(tmp_path / "run"), 120, trials=4, **FEW)
    assert run.classes == ("disc", "square", "cross")
    assert run.budget.max_macs == 1_000_000


def test_an_attention_op_is_registered_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.digits.SIZES", {"train": 120, "validation": 60, "test": 60})
    sys.modules.pop("examples.registered_attention", None)
    example = importlib.import_module("examples.registered_attention")
    kinds = example.main(str(tmp_path / "run"), trials=8, **FEW)
    assert kinds.total() % 3 == 0
    assert set(kinds) <= {"none", "ca", "brightness"}
    space = json.loads((tmp_path / "run" / "config.json").read_text())["identity"]["space"]
    assert {option["kind"] for option in space["stages"][0]["attention"]} == {"none", "ca", "brightness"}
    sys.modules.pop("examples.registered_attention")


@pytest.mark.parametrize("name", ["load_and_predict", "own_dataset", "registered_attention"])
def test_examples_show_their_help(name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, f"examples/{name}.py", "--help"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert f"examples/{name}.py" in result.stdout


def test_examples_are_found_from_the_root() -> None:
    """And not a package `examples` of another, which is installed."""
    code = "import examples.load_and_predict as found; print(found.__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == str(ROOT / "examples" / "load_and_predict.py")
