"""Tests under attack: what is counted, gradients that mislead, the command and what it writes, and bad input."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from commands import ending, evaluate
from deployment.answers import Seen, answers_of
from deployment.export import export
from deployment.model_source import Model, read_model
from deployment.robustness import Robustness, attacked, check_attacks
from foundation.errors import InputError
from foundation.progress import Reporter
from reports.terminal.deployed_tables import masking_line
from search_space import Architecture, Attention, Stage, build
from search_space.network import Network
from tasks.segmentation.heads import ConvHead
from training.attacks.box import Box
from training.attacks.registry import ATTACKS, read_attack
from training.data.datasets import Dataset, load_data
from training.data.split import Split
from training.lanes import use_threads
from training.model_file import ModelInfo, save_model

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)
CLASSES = ("digit0", "digit1", "digit2", "digit3")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCHITECTURE = Architecture(16, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (Attention("ca", 4),)),), None, "relu6")
INFO = ModelInfo(ARCHITECTURE, CLASSES, MEAN, STD, "folder")


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 16, CPU)


class _NearestMean(nn.Module):
    """A linear classifier by the classes' mean pictures; `sure` scales its logits, which changes no answer."""

    def __init__(self, split: Split, sure: float):
        super().__init__()
        images = torch.cat([images for images, _ in split.batches(32)])
        labels = split.targets
        means = torch.stack([images[labels == digit].mean(0) for digit in range(len(CLASSES))])
        self.weight, self.bias = sure * means.flatten(1), sure * -means.flatten(1).square().sum(1) / 2

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(1), self.weight, self.bias)


def _model(network: nn.Module) -> Model:
    return Model(Path("network"), INFO, lambda images: Seen(network(images)), cast(Network, network))


def _under(model: Model, data: Dataset, names: str, epsilon: float = 0.05, **options: Any) -> Robustness:
    attacks = {name: read_attack(name) for name in names.split(",")}
    given = {"name": "network", "pictures": None, "batch_size": 8, "reporter": QUIET, **options}
    return attacked(model, data, data.train, attacks, epsilon, **given)


# What is counted


def test_a_picture_counts_as_right_if_nothing_makes_it_wrong() -> None:
    natural = torch.tensor([True, True, True, False])
    under = {"pgd": torch.tensor([True, False, True, False]), "square": torch.tensor([False, True, True, False])}
    found = Robustness(0.1, {name: read_attack(name) for name in under}, natural, under)
    assert found.natural_accuracy == 0.75
    assert found.accuracies == {"pgd": 0.5, "square": 0.5}
    assert found.worst == 0.25
    assert found.to_dict() == {
        "epsilon": 0.1,
        "pictures": 4,
        "natural": 0.75,
        "attacks": [
            {"name": "pgd", "steps": 20, "accuracy": 0.5},
            {"name": "square", "queries": 1000, "accuracy": 0.5},
        ],
        "worst": 0.25,
        "gradient_masking_suspected": False,
    }


@pytest.mark.parametrize(
    ("right", "line"),
    [
        ({"pgd": 6, "square": 6}, "gradient masking: none seen"),
        ({"pgd": 6, "square": 4}, "gradient masking: suspected (square 40.00 % is below pgd 60.00 %)"),
        ({"pgd": 6, "apgd": 3, "square": 4}, "gradient masking: none seen"),
        (
            {"fgsm": 7, "pgd:50": 5, "square:200": 4},
            "gradient masking: suspected (square:200 40.00 % is below pgd:50 50.00 %)",
        ),
        ({"pgd": 6}, "gradient masking: not looked for, which takes an attack without gradients beside one by them"),
        ({"square": 6}, "gradient masking: not looked for, which takes an attack without gradients beside one by them"),
        # What is made to get round gates does not count among what they mislead.
        (
            {"pgd": 5, "adaptive": 1, "square": 3},
            "gradient masking: suspected (square 30.00 % is below pgd 50.00 %)",
        ),
        ({"adaptive": 1, "square": 3}, "gradient masking: none seen"),
    ],
)
def test_what_is_said_of_gradients(right: dict[str, int], line: str) -> None:
    under = {name: torch.arange(10) < count for name, count in right.items()}
    found = Robustness(0.1, {name: read_attack(name) for name in right}, torch.ones(10, dtype=torch.bool), under)
    assert masking_line(found) == line


def test_accuracies_are_those_of_attacks_by_hand(data: Dataset) -> None:
    """Of all pictures at once, with those that are wrong as they are counted as wrong."""
    network = _NearestMean(data.train, 1)
    found = _under(_model(network), data, "fgsm,pgd:5")
    images, labels = next(data.train.batches(1000))
    assert isinstance(labels, Tensor)
    natural = network(images).argmax(1) == labels
    assert found.natural.equal(natural)
    box = Box.of(data.mean, data.std, 0.05)
    for name in ("fgsm", "pgd:5"):
        there = network(read_attack(name)(network, images, labels, box, range(len(labels)))).argmax(1) == labels
        assert found.under[name].equal(natural & there)
    assert 0 < found.worst < found.natural_accuracy < 1


def test_a_network_that_hides_its_gradient_is_found_out(data: Dataset) -> None:
    """The same answers by larger logits: cross-entropy is 0 then, and so is its gradient."""
    plain, sure = (_under(_model(_NearestMean(data.train, by)), data, "pgd,square:100") for by in (1, 1e6))
    assert sure.natural.equal(plain.natural)
    assert sure.accuracies["pgd"] == sure.natural_accuracy > plain.accuracies["pgd"]
    assert sure.accuracies["square:100"] < sure.accuracies["pgd"]
    assert (plain.masked, sure.masked) == (False, True)
    other = _under(_model(_NearestMean(data.train, 1e6)), data, "pgd,apgd:10,square:100")
    assert (other.by_gradients, other.masked) == ("apgd:10", False)  # by its second loss


def test_some_of_the_pictures_come_to_what_they_come_to_among_all(data: Dataset) -> None:
    model = _model(_NearestMean(data.train, 1))
    whole, some = (_under(model, data, "square:30", pictures=count) for count in (None, 10))
    chosen = torch.arange(10) * len(data.train) // 10
    assert some.pictures == 10
    assert some.natural.equal(whole.natural[chosen])
    assert some.under["square:30"].equal(whole.under["square:30"][chosen])
    assert _under(model, data, "fgsm", pictures=10_000).pictures == len(data.train)


def test_one_lane_and_two(data: Dataset) -> None:
    torch.manual_seed(0)
    network = build(ARCHITECTURE, len(CLASSES)).eval()
    nn.init.normal_(network.classifier.weight)
    found = []
    for threads in (1, 2):
        use_threads(threads)
        state = torch.get_rng_state()
        found.append(_under(_model(network), data, "pgd:3,apgd:4,square:20", 0.01))
        assert torch.get_rng_state().equal(state)
    use_threads(1)
    one, two = found
    assert one.natural.equal(two.natural)
    assert 0 < one.worst < one.natural_accuracy
    for name in one.attacks:
        assert one.under[name].equal(two.under[name])


@pytest.mark.parametrize("name", ["pgd", "fgsm", "apgd"])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda logits, images: logits * torch.nan, "network: the network's logits are not finite; was it trained to"),
        (
            lambda logits, images: logits + 0 * (images - images.detach()).sum((1, 2, 3)).sqrt()[:, None],
            "network: a gradient by a picture is not finite, so no attack can follow it; give `attack` square",
        ),
    ],
)
def test_what_is_no_number(data: Dataset, broken: Callable[[Tensor, Tensor], Tensor], message: str, name: str) -> None:
    network = _NearestMean(data.train, 1)

    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return broken(network(images), images)

    with pytest.raises(InputError) as refused:
        _under(_model(Broken()), data, name)
    assert str(refused.value).startswith(message)


# The command


def _save(folder: Path, seed: int = 0, info: ModelInfo = INFO) -> Path:
    torch.manual_seed(seed)
    network = build(info.architecture, info.head)
    if isinstance(getattr(network.classifier, "weight", None), Tensor):
        nn.init.normal_(network.classifier.weight)
    folder.mkdir(parents=True)
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    return folder / "weights.safetensors"


def _ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["evaluate.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(evaluate.main, continues=False)
    return ended.value.code


@pytest.fixture
def retrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("found-0", "uniform-none-0")):
        _save(Path("run/retrain", name), seed)
    return Path("run/retrain")


def test_several_networks_under_attack(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--data", f"folder:{picture_folder}", "--split", "train", "--device", "cpu"]
    asked = [*arguments, "--attack", "pgd:3,square:20", "--epsilon", "4/255", "--pictures", "20"]
    assert _ended(["run", *asked], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "folder: 20 train pictures, each value changed by at most 4/255" in printed
    lines = printed.splitlines()
    table = next(number for number, line in enumerate(lines) if "natural" in line)
    assert lines[table].split() == ["network", "natural", "pgd:3", "square:20", "worst"]
    for number, name in enumerate(("found-0", "uniform-none-0"), table + 2):
        results = json.loads((retrained / name / "evaluation/weights-train/evaluation.json").read_text())
        found = results["robustness"]
        assert (found["epsilon"], found["pictures"]) == (4 / 255, 20)
        assert [(each["name"], each.get("steps"), each.get("queries")) for each in found["attacks"]] == [
            ("pgd", 3, None),
            ("square", None, 20),
        ]
        shares = [found["natural"], *(each["accuracy"] for each in found["attacks"]), found["worst"]]
        assert lines[number].split() == [name, *(part for share in shares for part in (f"{100 * share:.2f}", "%"))]
        assert shares[0] >= max(shares[1:3])
        assert shares[3] <= min(shares[1:3])
        assert f"{name}: gradient masking: " in printed
        assert results["pictures"] > 20  # the test of all of them is as without attacks
        _ended([str(retrained / name), *arguments, "--out", "plain", "--quiet"], monkeypatch)
        plain = json.loads(Path("plain/evaluation.json").read_text())
        assert results == plain | {"robustness": found}
    capsys.readouterr()
    assert _ended([str(retrained / "found-0"), *asked], monkeypatch) == 0
    again = json.loads((retrained / "found-0/evaluation/weights-train/evaluation.json").read_text())["robustness"]
    assert again != found
    assert "\ngradient masking: " in capsys.readouterr().out


def test_an_onnx_file_is_attacked_without_gradients(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = retrained / "found-0/weights.safetensors"
    model = read_model(path, CPU)
    assert model.network is not None
    export(model.network, model.info, ("onnx",), path.parent, QUIET)
    arguments = ["--data", f"folder:{picture_folder}", "--split", "train", "--device", "cpu", "--epsilon", "0.2"]
    arguments += ["--attack", "square:20"]
    found = {}
    for name in ("weights.safetensors", "model.onnx"):
        assert _ended([str(path.parent / name), *arguments, "--out", name, "--quiet"], monkeypatch) == 0
        found[name] = json.loads(Path(name, "evaluation.json").read_text())["robustness"]
    assert found["model.onnx"] == found["weights.safetensors"]
    assert found["model.onnx"]["natural"] > found["model.onnx"]["worst"]
    arguments[-1] = "square:20,apgd"
    assert _ended([str(path.parent / "model.onnx"), *arguments, "--out", "there"], monkeypatch) == 2
    assert capsys.readouterr().err == (
        "error: run/retrain/found-0/model.onnx: an ONNX file has no gradients, and --attack apgd follows them; give "
        "the network's .safetensors, or --attack square\n"
    )
    assert not Path("there").exists()


MINE = """
import torch
from training.attacks.registry import ATTACKS, Attack

@ATTACKS.register("grey")
class Grey(Attack):
    usual = None
    gradients = False

    def __call__(self, logits, images, labels, box, seeds):
        return box.inside(torch.zeros_like(images), images)
"""


def test_an_attack_of_ones_own(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ATTACKS, "_things", dict(ATTACKS._things))
    Path("mine.py").write_text(MINE)
    arguments = ["--data", f"folder:{picture_folder}", "--plugin", "mine.py", "--attack", "grey,fgsm"]
    assert _ended([str(retrained / "found-0"), *arguments], monkeypatch) == 0
    headings = next(line for line in capsys.readouterr().out.splitlines() if "natural" in line)
    assert headings.split() == ["network", "natural", "grey", "fgsm", "worst"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pgd,absent"], "--attack absent: unknown; known: pgd, fgsm, apgd, square, adaptive"),
        (
            ["--attack", "pgd,"],
            "argument --attack: 'pgd,': expected names with commas between, without a comma at the end; "
            "see evaluate.py --help",
        ),
        (
            ["--attack", "pgd:many"],
            "--attack pgd:many: expected steps from 1 to 1000000 after the colon, got many",
        ),
        (["--attack", "fgsm:2"], "--attack fgsm:2: has no number of steps; give fgsm"),
        (
            ["--attack", "pgd", "--epsilon", "8"],
            "--epsilon: expected a number above 0 and below 1, such as 8/255, got 8",
        ),
        (
            ["--attack", "pgd", "--epsilon", "0/255"],
            "--epsilon: expected a number above 0 and below 1, such as 8/255, got 0/255",
        ),
        (
            ["--attack", "pgd", "--pictures", "0"],
            "argument --pictures: '0': expected an integer from 1 to 1000000000; see evaluate.py --help",
        ),
        (["--epsilon", "4/255"], "--epsilon 4/255: for a test under attack; add --attack"),
        (["--pictures", "100"], "--pictures 100: for a test under attack; add --attack"),
        (
            ["--attack", "pgd", "--latency"],
            "--attack: a test, and --latency measures times without one; leave one of them out",
        ),
    ],
)
def test_bad_input(
    retrained: Path,
    picture_folder: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sorted(Path("run").rglob("*"))
    assert _ended(["run", "--data", f"folder:{picture_folder}", *arguments], monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert sorted(Path("run").rglob("*")) == before


def test_networks_that_no_attack_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    masks = replace(INFO, task="segmentation", head=ConvHead(len(CLASSES), width=8))
    _save(Path("masks"), info=masks)
    _save(Path("one"), info=ModelInfo(ARCHITECTURE, ("digit0",), MEAN, STD, "folder"))
    for name, message in (
        ("masks", "--attack: for class labels alone, which task segmentation does not have; leave it out"),
        ("one", "one/weights.safetensors: has one class, which no change can make wrong; leave --attack out"),
    ):
        assert _ended([name, "--data", "folder:absent", "--attack", "square"], monkeypatch) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


def test_one_that_gives_answers_alone() -> None:
    model = Model(Path("model.onnx"), INFO, answers_of(lambda images: images))
    check_attacks(model, {"square": read_attack("square")})
    with pytest.raises(InputError, match=r"model\.onnx: an ONNX file has no gradients, and `attack` pgd:5 follows"):
        check_attacks(model, {"square": read_attack("square"), "pgd:5": read_attack("pgd:5")})


def test_gates_that_go_by_probes_are_attacked_too(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    stage = replace(ARCHITECTURE.stages[0], attention=(Attention("cifs"),) * 2)
    for name, architecture in (("gated", replace(ARCHITECTURE, stages=(stage,))), ("plain", ARCHITECTURE)):
        _save(Path("runs", name), info=replace(INFO, architecture=architecture))
    more = ["--data", f"folder:{picture_folder}", "--attack", "pgd:2", "--out", "results"]
    assert _ended(["runs", *more], monkeypatch) == 0
    printed = capsys.readouterr()
    assert "gated: has gates that go by probes, so --attack adaptive is added to pgd\n" in printed.err + printed.out
    attacked = {name: json.loads(Path("results", name, "evaluation.json").read_text()) for name in ("gated", "plain")}
    told = {name: [one["name"] for one in found["robustness"]["attacks"]] for name, found in attacked.items()}
    assert told == {"gated": ["pgd", "adaptive"], "plain": ["pgd"]}
    arguments = ["runs/plain", "--data", f"folder:{picture_folder}", "--attack", "adaptive"]
    assert _ended(arguments, monkeypatch) == 2
    message = (
        "its attention has no gate that goes by a probe, as cifs has, and --attack adaptive is for such; leave it out"
    )
    assert message in capsys.readouterr().err
