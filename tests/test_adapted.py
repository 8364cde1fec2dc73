"""The task `adapted`: networks judged by what they make of pictures without labels, once they adapted to these."""

import copy
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from commands import adapt, evaluate, retrain, search
from commands.search_checks import as_task
from commands.search_settings import SEARCH
from foundation.errors import InputError
from foundation.metric import METRICS
from search_space.network import Network, build
from search_space.spaces import priced_space
from tasks.adapted.data import UNKNOWN
from tasks.adapted.room import INFORMATION, AdaptedClassification
from tasks.choice import task
from training.adaptation import brief
from training.data.datasets import load_data
from training.methods.drop_path import add_drop_path
from training.task import Examination, on

CPU = torch.device("cpu")
CLASSES = 4


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brief, "STEPS", 3)
    monkeypatch.setattr(brief, "BATCH", 8)


@pytest.fixture(scope="module")
def target_folder(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures without their classes."""
    folder = tmp_path_factory.mktemp("target")
    for number, path in enumerate(sorted(picture_folder.rglob("*.png"))):
        shutil.copy(path, folder / f"{number:03}.png")
    return folder


def _network(head: str = "") -> Network:
    torch.manual_seed(0)
    architecture = priced_space("mobilenetv2-32").smallest
    network = build(architecture, task(f"adapted:{head}" if head else "adapted").head(CLASSES, architecture))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def _pictures(count: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 32, 32, generator=generator), torch.randint(CLASSES, (count,), generator=generator)


def _measured(network: Network, labels: Tensor | None = None, size: int = 6) -> Examination:
    images, known = _pictures()
    batches = zip(images.split(size), (known if labels is None else labels).split(size), strict=True)
    return AdaptedClassification().measure(network, batches)


@pytest.mark.parametrize("head", ["", "bottleneck/8"])
def test_a_network_is_judged_alike_each_time_and_stays_as_it_was(head: str) -> None:
    network = _network(head)
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first, again = _measured(network), _measured(network)
    assert first.measured == again.measured
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_no_label_of_the_target_is_looked_at() -> None:
    network, (_, labels) = _network(), _pictures()
    known, others, none = (_measured(network, one) for one in (None, labels.flip(0), torch.full_like(labels, UNKNOWN)))
    assert known.measured.value == others.measured.value == none.measured.value
    assert known.measured.beside["entropy"] == none.measured.beside["entropy"]
    assert not torch.equal(known.predictions["labels"], others.predictions["labels"])
    assert "accuracy" not in none.measured.beside
    assert none.predictions == {}
    assert none.by_class is None


def test_the_hypothesis_stays_and_the_features_move() -> None:
    network, (images, _) = _network("bottleneck/8"), _pictures()
    adapted = brief.briefly_adapted(network, [images], "float32").network
    moved = {name for name, value in adapted.state_dict().items() if not torch.equal(value, network.state_dict()[name])}
    assert moved
    assert not {name for name in moved if "hypothesis" in name}


def test_information_is_raised_by_steps_and_lies_between_0_and_the_log_of_the_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = _network()
    found = []
    for steps in (0, 10, 40):
        monkeypatch.setattr(brief, "STEPS", steps)
        found.append(_measured(network).measured.value)
    assert 0 <= found[0] < found[1] < found[2] <= math.log(CLASSES)


def test_one_class_for_all_tells_nothing() -> None:
    network = _network()
    with torch.no_grad():
        (linear,) = (one for one in network.classifier.modules() if isinstance(one, torch.nn.Linear))
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([30.0, 0.0, 0.0, 0.0]))
    assert _measured(network).measured.value == pytest.approx(0, abs=1e-4)


def test_its_metric_is_known_by_name() -> None:
    assert METRICS["information"] is INFORMATION
    assert INFORMATION.written(1.23456) == "1.2346 nats"


def test_source_and_target_are_one_data_set(picture_folder: Path, target_folder: Path) -> None:
    source = load_data(f"folder:{picture_folder}", 32, CPU)
    data = task("adapted").data(f"folder:{picture_folder} -> folder:{target_folder}", 32, CPU)
    assert (data.name, data.classes, data.mean) == (source.name, source.classes, source.mean)
    assert len(data.train) == len(source.train)
    targets = next(data.validation.batches(4))[1]
    assert isinstance(targets, Tensor)
    assert targets.tolist() == [UNKNOWN] * 4
    assert data.count("validation") == len(data.validation) == len(data.test) == len(list(target_folder.iterdir()))
    assert str(target_folder) not in data.identity
    named = task("adapted").data(f"folder:{picture_folder}->folder:{picture_folder}", 32, CPU)
    labels = next(named.validation.batches(4))[1]
    assert isinstance(labels, Tensor)
    assert len(labels.unique()) > 1  # drawn from all classes, however the folder lists them
    assert named.identity != data.identity


def test_a_search_and_all_that_follows(tmp_path: Path, picture_folder: Path, target_folder: Path) -> None:
    flags = ["--data", f"folder:{picture_folder}", "--score", "adapted", "--target", f"folder:{target_folder}"]
    few = ["--supernet-epochs", "1", "--trials", "4", "--startup", "3", "--finalists", "0", "--prior", "none"]
    search.main([*flags, *few, "--quiet", "--out", str(tmp_path)])
    front = json.loads((tmp_path / "front.json").read_text())
    assert all(one["metrics"].keys() == {"information", "entropy"} for one in front["front"])
    retrain.main([str(tmp_path), "--epochs", "1", "--quiet"])
    found = tmp_path / "retrain" / "found-0"
    assert json.loads((found / "recipe.json").read_text())["task"] == "adapted"
    adapt.main([str(found), "--data", f"folder:{target_folder}", "--epochs", "1", "--batch-size", "8", "--quiet"])
    assert (found / "adapted" / "shot" / "weights.safetensors").exists()
    evaluate.main([str(found), "--data", f"folder:{picture_folder}", "--quiet"])
    with pytest.raises(InputError, match="pictures without labels"):
        evaluate.main([str(found), "--quiet"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--score", "adapted"], "give `target` folder:PATH as well"),
        (["--target", "digits:mnist"], "--target digits:mnist: is for --score adapted; give that too, or leave it out"),
        (
            ["--score", "adapted", "--target", "digits:mnist", "--data", "digits:uci->digits:mnist"],
            "names pictures to adapt to already; leave --target out",
        ),
        (
            ["--score", "adapted", "--target", "folder:/nowhere", "--data", "digits:uci"],
            "`data` digits:uci->folder:/nowhere: pictures to adapt to: folder:/nowhere: no such folder",
        ),
        (
            ["--task", "adapted", "--data", "digits:uci->"],
            "`data` digits:uci->: expected pictures before and after ->",
        ),
        (["--score", "adapted", "--evaluator", "zero-cost"], "ranks trained networks; leave --evaluator zero-cost out"),
        (["--score", "adapted", "--task", "robust"], "is a task of its own; leave --task robust out"),
        (["--data", "digits:uci->digits:mnist"], "pictures to adapt to are for task adapted; give that too"),
    ],
)
def test_bad_input_is_told_by_name(tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        search.main([*flags, "--quiet", "--out", str(tmp_path / "out")])
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_score_of_trained_networks_keeps_the_chosen_head() -> None:
    flags = ["--score", "adapted", "--target", "digits:mnist", "--data", "digits:uci"]
    settings = as_task(SEARCH.parse(flags))
    assert (settings.task, settings.data) == ("adapted", "digits:uci->digits:mnist")
    assert as_task(SEARCH.parse([*flags, "--task", "classification:bottleneck"])).task == "adapted:bottleneck"
    for given, expected in (([], "neural"), (["--task", "neural:3"], "neural:3")):
        settings = as_task(SEARCH.parse(["--score", "neural", *given]))
        assert (settings.task, settings.score) == (expected, "az_nas")


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch, picture_folder: Path) -> None:
    spec = f"folder:{picture_folder}"
    data = task("adapted").data(f"{spec}->{spec}", 32, CPU)
    assert on(task("adapted"), data).name == "adapted"
    monkeypatch.setattr("foundation.distributed.world", lambda: 2)
    with pytest.raises(InputError, match="start this command without torchrun"):
        on(task("adapted"), replace(data))


@pytest.mark.parametrize("head", ["", "bottleneck/8"])
def test_a_lone_last_picture_has_no_batch_statistics(head: str) -> None:
    images, _ = _pictures(13)
    network = _network(head)
    whole = brief.briefly_adapted(network, list(images.split(6)), "auto")
    assert all(value.isfinite().all() for value in whole.state_dict().values())
    with pytest.raises(InputError, match="`target`: one picture is too few to adapt to"):
        brief.briefly_adapted(network, [images[:1]], "auto")


def test_a_copy_that_is_judged_drops_no_path() -> None:
    """What is judged after a training would else differ from what is judged when the command is run again."""
    images, _ = _pictures(12)
    found = []
    for drop_path in (0.0, 0.9):
        torch.manual_seed(0)
        architecture = priced_space("mobilenetv2-32").largest
        network = build(architecture, task("adapted").head(CLASSES, architecture))
        if drop_path:
            add_drop_path(network, drop_path)
            assert any(module._forward_hooks for module in network.modules())
        found.append(brief.briefly_adapted(network, [images], "auto").state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
