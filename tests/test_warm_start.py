"""`--init PATH`: first weights from a run or a trained network, above all one of another task."""

import copy
import json
import pickle
import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import recipes, retrain, search
from evaluators.finalists import begun
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet import evaluator as supernet
from evaluators.supernet.store import WeightStore
from evaluators.weight_sources import first_weights, own_shared_weights, weights_in
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.backbones import mobilenetv2, mobilenext
from search_space.cost.priced_space import PricedSpace
from search_space.dilation import dilated
from search_space.first_weights import FirstWeights
from search_space.head import ClassifierHead, Head
from search_space.network import Network, build
from search_space.pretrained import transfer
from search_space.space import SearchSpace
from search_space.space_file import read_space
from search_space.spaces import named_space
from tasks.segmentation.deeplabv3 import DeepLabV3Head
from tasks.segmentation.heads import ConvHead
from tasks.segmentation.room import SEGMENTATION
from tests.pooled_family import PooledArchitecture
from tests.test_taps import TappingHead
from training import standalone
from training.checkpoint import load_weights, save_weights
from training.model_file import ModelInfo, save_model
from training.recipe import Recipe

SPACE = """name = "small"
resolution = [48]
activation = "relu6"
stem = { width = 8, stride = 2 }
head = { width = 24 }

[[stage]]
block = "inverted_residual"
stride = 2
width = [8, 12]
depth = [1]
expansion = [2]
kernel_size = [3, 5]
attention = ["none", "ca/4"]

[[stage]]
block = "inverted_residual"
stride = 2
width = [16, 20]
depth = [1, 2]
expansion = [2]
kernel_size = [3]
attention = ["none", "se/4"]
"""
CLASSES = 4
QUIET = Reporter(quiet=True)
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=0.05)


class Stopped(Exception):  # noqa: N818 (no error)
    """Raised where a training would begin."""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchSpace:
    """That of `small.toml` in the working folder, whose scenes are few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 48, "validation": 16, "test": 16})
    Path("small.toml").write_text(SPACE)
    return read_space("small.toml")


def _space_of(text: str) -> SearchSpace:
    """The space of a file with that text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "space.toml")
        path.write_text(text)
        return read_space(str(path))


def _drawn(module: nn.Module, seed: int = 0) -> None:
    """Gives every tensor values of its own; norms start out all alike, and a wrong cut of them would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)


def _shared(folder: Path, space: SearchSpace, head: Head | int = CLASSES, **trained: Any) -> WeightStore:
    """Shared weights of a run of classification at other pixels, as its folder has them."""
    priced = PricedSpace(space.at(32), head)
    store = WeightStore(priced.space, head, own_kernels=True)
    _drawn(store)
    about = {"space": priced.to_dict(), "recipe": {"own_kernels": True}, **trained}
    folder.mkdir(exist_ok=True)
    save_weights(folder / "supernet.safetensors", dict(store.state_dict()), {"trained": json.dumps(about)})
    return store


def _trained(folder: Path, architecture: Architecture, head: Head | int = CLASSES) -> Network:
    """A trained network, as the folder of its training has it."""
    network = build(architecture, head)
    _drawn(network)
    folder.mkdir(exist_ok=True)
    names = tuple(f"class {number}" for number in range(CLASSES))
    mean = (0.5, 0.5, 0.5)
    info = ModelInfo(architecture, names, mean, mean, "digits", head=network.task_head)
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    return network


def _body(network: nn.Module) -> dict[str, Tensor]:
    """All of a network but the head, and the convolution that widens the last map, which not every head has."""
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith(("classifier.", "taps.", "head."))
    }


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _some(space: SearchSpace, count: int) -> list[Architecture]:
    rng = random.Random(3)
    return [space.assemble(lambda name, options: rng.choice(options)) for _ in range(count)]


HEADS: dict[str, Head] = {
    "classifier": ClassifierHead(CLASSES),
    "other classes": ClassifierHead(7),
    "conv": ConvHead(7),
    "deeplabv3": DeepLabV3Head(CLASSES),
    "taps": TappingHead((2, 4)),
}


@pytest.mark.parametrize("ours", HEADS)
@pytest.mark.parametrize("theirs", HEADS)
def test_another_head_stays_fresh_and_the_same_one_carries_over(theirs: str, ours: str) -> None:
    architecture = named_space("mobile-32").widest(own_kernels=False)[0][1]
    source, target = build(architecture, HEADS[theirs]), build(architecture, HEADS[ours])
    _drawn(source)
    fresh = copy.deepcopy(target)
    report = transfer(source, target)
    assert _same(_body(target), _body(source))
    if theirs == ours:
        assert _same(target.state_dict(), source.state_dict())
        assert (report.notes, report.preserved) == ({}, True)
        assert report.copied == report.total
        return
    for name in ("classifier", "taps"):
        own, before = (dict(network.named_children()).get(name, nn.Module()) for network in (target, fresh))
        assert _same(own.state_dict(), before.state_dict())
    told = "7 classes instead of 4" if ours == "other classes" else "4 classes instead of 7"
    numbers = {theirs, ours} == {"classifier", "other classes"}
    assert report.notes["classifier"] == f"fresh: {told if numbers else 'another head'}"
    assert not report.preserved


def test_the_convolution_before_a_mean_is_there_where_both_have_it() -> None:
    architecture = named_space("mobile-32").widest(own_kernels=False)[0][1]
    source, target = build(architecture, ClassifierHead(3)), build(architecture, HEADS["taps"])
    _drawn(source)
    transfer(source, target)
    assert _same(source.head.state_dict(), target.head.state_dict())
    assert source.head.state_dict()


@pytest.mark.parametrize("strides", [(None, 4), (4, None), (8, 4)])
def test_dilation_changes_no_weight(strides: tuple[int | None, int | None]) -> None:
    there, here = (replace(mobilenetv2(), resolution=64, output_stride=stride) for stride in strides)
    source, target = build(there, CLASSES), build(here, CLASSES)
    _drawn(source)
    report = transfer(source, target)
    assert _same(target.state_dict(), source.state_dict())
    assert report.notes == {"stages": "dilated otherwise"}
    assert not report.preserved


def test_a_stage_that_the_source_leaves_out_is_not_closed() -> None:
    """A new block without a skip would give nothing but zeros if it began as a deeper stage's do."""
    whole = replace(mobilenetv2(), resolution=32)
    first, *others = whole.stages
    out = replace(whole, stages=(replace(first, width=whole.stem_width, attention=()), *others))
    source, target = build(out, CLASSES), build(whole, CLASSES)
    report = transfer(source, target)
    assert report.notes["stages.0.0"] == "fresh: the source leaves the stage out"
    assert not report.preserved
    assert bool(target.eval()(torch.rand(1, 3, 32, 32)).any())


def test_activations_are_told() -> None:
    target = build(replace(mobilenetv2(), activation="silu"), CLASSES)
    report = transfer(build(mobilenetv2(), CLASSES), target)
    assert report.notes["activation"] == "silu instead of relu6"
    assert not report.preserved


def test_slices_of_a_run_are_those_of_its_store(space: SearchSpace) -> None:
    """Bit for bit, at another resolution, dilated or not; the head carries over where it is the same."""
    store = _shared(Path("run"), space)
    init, own = weights_in(Path("run")), own_shared_weights(Path("run"))
    assert (init.name[:9], own.name) == ("supernet ", "supernet")
    for architecture in _some(space, 6):
        expected = store.extract(architecture.at(32))
        for stride in (None, 4):
            target = build(dilated(architecture, stride), CLASSES)
            (own if stride is None else init).fill(target)
            assert _same(target.state_dict(), expected.state_dict())
        segmenting = build(architecture, ConvHead(7))
        init.fill(segmenting)
        assert _same(_body(segmenting), _body(expected))


@pytest.mark.parametrize("own_kernels", [False, True])
def test_shared_weights_begin_from_shared_ones(space: SearchSpace, own_kernels: bool) -> None:
    """All widths, depths, kernels and kinds of attention: each network has what it had in the source."""
    store = _shared(Path("run"), space, ConvHead(5))
    begins = WeightStore(dilated(space, 4), ClassifierHead(9), own_kernels=own_kernels)
    reports = begins.carry_over(weights_in(Path("run")))
    assert reports.keys() == {"none", "ca", "se"}
    for architecture in _some(space, 12):
        if not own_kernels and any(stage.kernel_size == 3 for stage in architecture.stages[:1]):
            continue  # its weights are the centre of those that the larger kernels began from
        theirs = store.extract(architecture.at(32))
        ours = begins.extract(dilated(architecture, 4))
        assert _same(_body(ours), _body(theirs))


def test_a_trained_network_gives_its_statistics_too(space: SearchSpace) -> None:
    architecture = _some(space, 1)[0]
    network = _trained(Path("found-0"), architecture)
    init = weights_in(Path("found-0"))
    assert init.name == weights_in(Path("found-0/weights.safetensors")).name
    assert init.name.startswith("network ")
    target = build(architecture.at(96), ConvHead(7))
    init.fill(target)
    assert _same(_body(target), _body(network))
    assert float(target.stem.norm.running_mean.mean()) > 0.5


def test_what_tells_them_apart_is_their_content(space: SearchSpace) -> None:
    _shared(Path("run"), space)
    before = weights_in(Path("run"))
    shutil.move("run", "elsewhere")
    moved = weights_in(Path("elsewhere"))
    assert moved.name == before.name
    assert moved.recorded == {"init": {"path": str(Path("elsewhere").absolute()), "name": before.name}}
    _shared(Path("run"), space, head=5)
    assert weights_in(Path("run")).name != before.name
    with pytest.raises(InputError, match="has changed since the command began"):
        before.fill(build(_some(space, 1)[0], CLASSES))


def test_another_process_is_given_them(space: SearchSpace) -> None:
    store = _shared(Path("run"), space)
    init: FirstWeights = pickle.loads(pickle.dumps(weights_in(Path("run"))))
    architecture = _some(space, 1)[0]
    target = build(architecture, CLASSES)
    before = torch.get_rng_state()
    init.fill(target)
    assert torch.equal(torch.get_rng_state(), before)  # so it makes no difference whether the file was read before
    init.check(CLASSES, architecture)
    assert torch.equal(torch.get_rng_state(), before)
    assert _same(target.state_dict(), store.extract(architecture.at(32)).state_dict())
    for named in ("scratch", "torchvision"):
        found = first_weights(named, architecture, QUIET)
        assert pickle.loads(pickle.dumps(found)) == found
        assert found.recorded == {}


GIVEN = ["--task", "segmentation", "--data", "scenes", "--space", "small.toml", "--max-macs", "2M", "--quiet"]
SMALL = ["--trials", "2", "--startup", "2", "--supernet-epochs", "1", "--batch-size", "16", "--prior", "none"]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Where a training would begin it stops; its model is kept."""
    models: list[nn.Module] = []

    def fit(method: Any, *_: Any, **__: Any) -> Any:
        models.append(method.model)
        raise Stopped

    for place in (supernet, standalone):
        monkeypatch.setattr(place, "fit", fit)
    monkeypatch.setattr("evaluators.proxy.evaluator.fit", fit)
    return models


def test_a_search_and_a_retraining_begin_from_them(space: SearchSpace, stopped: list[nn.Module]) -> None:
    store = _shared(Path("run"), space)
    with pytest.raises(Stopped):
        search.main([*GIVEN, *SMALL, "--output-stride", "4", "--init", "run", "--out", "search"])
    begins = stopped.pop()
    assert isinstance(begins, WeightStore)
    architecture = _some(space, 1)[0]
    ours = begins.extract(dilated(architecture, 4))
    assert _same(_body(ours), _body(store.extract(architecture.at(32))))

    Path("network.json").write_text(architecture.to_json())
    network = _trained(Path("found-0"), architecture.at(32))
    for path, expected in (("run", store.extract(architecture.at(32))), ("found-0", network)):
        given = ["network.json", "--task", "segmentation", "--data", "scenes", "--quiet", "--epochs", "1"]
        with pytest.raises(Stopped):
            retrain.main([*given, "--init", path, "--out", f"from-{path}"])
        assert _same(_body(stopped.pop()), _body(expected))


def test_a_proxys_candidates_begin_from_them(space: SearchSpace, stopped: list[nn.Module]) -> None:
    _shared(Path("run"), space)
    architecture = _some(space, 1)[0]
    init = weights_in(Path("run"))
    data = SEGMENTATION.data("scenes", 48, torch.device("cpu"))
    settings = ProxySettings(recipe=Recipe(batch_size=16))
    evaluator = ProxyEvaluator(data, settings, seed=0, folder=Path("proxy"), init=init, task=SEGMENTATION)
    assert evaluator.identity()["init"] == init.name
    with pytest.raises(Stopped):
        evaluator.rung(architecture, 0)
    assert _same(_body(stopped.pop()), _body(own_shared_weights(Path("run")).source(architecture)))


def test_it_replays_and_the_retraining_goes_on_with_the_finalists(
    space: SearchSpace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands, on few scenes: the same bits again, also when the source was moved; others than from scratch."""
    monkeypatch.setitem(recipes.RECIPES, "dense", RECIPE)
    monkeypatch.setitem(recipes.MADE_FOR, "dense", 48)
    _shared(Path("classes"), space)
    given = [*GIVEN, *SMALL]
    search.main([*given, "--finalists", "2", "--init", "classes", "--out", "one"])
    config = json.loads(Path("one/config.json").read_text())
    name = config["identity"]["evaluator"]["init"]
    assert config["free"]["init"] == {"path": str(Path("classes").absolute()), "name": name}
    shutil.move("classes", "moved")
    search.main([*given, "--finalists", "0", "--init", "moved", "--out", "two"])
    search.main([*given, "--finalists", "0", "--out", "scratch"])
    one, two, scratch = (load_weights(Path(run, "supernet.safetensors"))[0] for run in ("one", "two", "scratch"))
    assert _same(one, two)
    assert not _same(one, scratch)
    assert Path("one/front.json").read_bytes() == Path("two/front.json").read_bytes()

    # The source is asked for to the end, wherever it lies.
    best = Architecture.from_dict(json.loads(Path("one/best.json").read_text())["architecture"])
    with pytest.raises(InputError, match=r"`init` /.*/classes: no such file or folder; name where it is now"):
        retrain.main(["one"])
    with pytest.raises(InputError, match="`init` classes: unknown; known: scratch, torchvision, timm, auto; and there"):
        search.main([*given, "--finalists", "2", "--init", "classes", "--out", "one"])
    before = {path: path.read_bytes() for path in Path("one").glob("*.json")}
    search.main([*given, "--finalists", "2", "--init", "moved", "--out", "one"])
    shutil.move("moved", "classes")
    assert Path("one/best.json").read_bytes() == before[Path("one/best.json")]

    # By default a retraining begins from what the search began from: so the finalist is its own.
    capsys.readouterr()
    search.main([*given, "--finalists", "2", "--init", "classes", "--out", "one"])
    retrain.main(["one"])
    said = capsys.readouterr().out
    assert f"init {Path('classes').absolute()}, as the search of one; --init names others" in said
    (place,) = begun(Path("one"), best)
    assert f"goes on from where {place} has it" in said
    assert json.loads(Path("one/retrain/config.json").read_text())["identity"]["init"] == name
    with pytest.raises(InputError, match="the networks of --compare are not in the supernet; leave --compare out, or"):
        retrain.main(["one", "--compare", "--out", "compared"])
    shutil.rmtree("classes")
    _shared(Path("classes"), space, head=9)
    with pytest.raises(InputError, match="not the weights that the search of one began from"):
        retrain.main(["one"])
    with pytest.raises(InputError, match="holds another run: the first weights are not those that it began with"):
        search.main([*given, "--finalists", "2", "--init", "classes", "--out", "one"])


def test_a_networks_weights_serve_those_that_it_is_compared_with(
    space: SearchSpace, stopped: list[nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    architecture = replace(mobilenetv2(0.25), resolution=48)
    Path("network.json").write_text(architecture.to_json())
    _trained(Path("found-0"), architecture)
    given = ["network.json", "--task", "segmentation", "--data", "scenes", "--epochs", "1", "--compare"]
    with pytest.raises(Stopped):
        retrain.main([*given, "--init", "found-0", "--out", "out"])
    said = capsys.readouterr().out
    assert "init network " in said
    assert ": the network of found-0: " in said


def _pooled(folder: Path) -> None:
    _trained(folder, PooledArchitecture(32, 4, 8, "relu"))


def _without_head(folder: Path) -> None:
    network = build(mobilenext(), CLASSES)
    save_weights(folder / "weights.safetensors", network.state_dict(), {})


BAD: dict[str, tuple[Any, str]] = {
    "empty": (
        lambda folder: None,
        r"`init` x: holds neither supernet\.safetensors nor weights\.safetensors; give the f",
    ),
    "of another family": (
        _pooled,
        "`init` /.*/x: a pooled network's weights do not carry over to a mobile network; give",
    ),
    "of other stages": (
        lambda folder: _trained(folder, mobilenetv2()),
        r"`init` /.*/x: the source has 7 stages, the network 2; give another network's, or `init` scratch",
    ),
    "broken": (
        lambda folder: (folder / "weights.safetensors").write_bytes(b"x" * 100),
        r"x/weights\.safetensors: not a safetensors file",
    ),
    "nobody's": (
        _without_head,
        r"`init` /.*/x: neither this program wrote it, nor are its tensors named as a known network's",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_holds_no_such_weights_is_refused(space: SearchSpace, kind: str) -> None:
    make, message = BAD[kind]
    Path("x").mkdir()
    make(Path("x"))
    with pytest.raises(InputError, match=message):
        search.main([*GIVEN, *SMALL, "--init", "x", "--out", "search"])
    assert not Path("search").exists()


def test_weights_of_another_space_are_refused(space: SearchSpace) -> None:
    narrow = _space_of(SPACE.replace("[16, 20]", "[16]"))
    _shared(Path("run"), narrow)
    said = (
        r"`init` /.*/run: architecture [0-9a-f]{12} is not in space small of .*supernet\.safetensors; give weights of"
    )
    with pytest.raises(InputError, match=said):
        search.main([*GIVEN, *SMALL, "--init", "run", "--out", "search"])
    with pytest.raises(InputError, match=said):
        weights_in(Path("run")).check(CLASSES, PooledArchitecture(32, 4, 8, "relu"))
    with pytest.raises(InputError, match=r"`init` supernet: small\.toml holds no supernet\.safetensors; only"):
        own_shared_weights(Path("small.toml"))


@pytest.mark.parametrize(
    "trained",
    [
        "{",
        "[]",
        {"space": {"name": "narrow"}},
        {"space": 3, "recipe": {"own_kernels": True}},
        {"recipe": None},
        {"recipe": {"own_kernels": False}},
    ],
)
def test_what_received_weights_say_is_checked(space: SearchSpace, trained: Any) -> None:
    _shared(Path("run"), space)
    path = Path("run/supernet.safetensors")
    tensors, metadata = load_weights(path)
    text = trained if isinstance(trained, str) else json.dumps({**json.loads(metadata["trained"]), **trained})
    save_weights(path, tensors, {"trained": text})
    with pytest.raises(InputError, match=r"`init` /.*/run: .* does not hold a supernet's weights \("):
        weights_in(Path("run")).check(CLASSES, _some(space, 1)[0])


def test_blocks_of_another_kind_carry_nothing_over() -> None:
    sandglass = _space_of(SPACE.replace("inverted_residual", "sandglass"))
    theirs, ours = (one.widest(own_kernels=False)[0][1] for one in (sandglass, _space_of(SPACE)))
    with pytest.raises(InputError, match="stage 1 of the source is of sandglass blocks, the network's of inverted_res"):
        transfer(build(theirs, CLASSES), build(ours, CLASSES))


def test_zero_cost_scores_are_of_fresh_networks(space: SearchSpace) -> None:
    _shared(Path("run"), space)
    with pytest.raises(
        InputError, match=r"`init` /.*/run: zero-cost scores are those of untrained networks; use `init`"
    ):
        search.main([*GIVEN, "--evaluator", "zero-cost", "--init", "run", "--out", "search"])


def test_anchors_begin_where_given_shared_weights_did(space: SearchSpace) -> None:
    """Whose name alone their file knows."""
    _shared(Path("run"), space)
    search.main([*GIVEN, *SMALL, "--finalists", "0", "--init", "run", "--out", "first"])
    more = [
        *GIVEN,
        *SMALL,
        "--supernet",
        "first",
        "--finalists",
        "0",
        "--anchors",
        "10",
        "--dry-run",
        "--out",
        "second",
    ]
    with pytest.raises(
        InputError, match=r"`anchors` 10: the shared weights began from others, supernet [0-9a-f]{16}, a"
    ):
        search.main(more)
    search.main([*more, "--init", "run"])
