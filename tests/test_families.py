"""A family that the program does not know goes the whole way: `tests/pooled_family.py`, by the commands."""

import copy
import itertools
import json
import pickle
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import torch

from commands import describe, evaluate, retrain, search
from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import Budget, build, measure
from search_space.architecture import Architecture
from search_space.backbones import mobilenetv2
from search_space.cost.encoding import encoding
from search_space.cost.priced_space import PricedSpace
from search_space.family import families
from search_space.head import HEADS, Head, read_head
from search_space.network import Network
from search_space.parts import ConvPart
from search_space.pretrained import transfer
from search_space.space import SearchSpace
from search_space.spaces import named_space, priced_space
from studies.samplers.base import sampler_names
from tests.pooled_family import PooledArchitecture, PooledNetwork
from training.checkpoint import load_weights

POOLED = ["--space", "pooled-32", "--data", "digits", "--supernet-epochs", "1", "--quiet"]
BUDGET = 5_000


@pytest.fixture(scope="module", autouse=True)
def _few_digits() -> Iterator[None]:
    """The commands are given a sixth of the pictures: what they do with the family is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.digits.SIZES", {"train": 2000, "validation": 400, "test": 400})
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooled") / "run"
    search.main([*POOLED, "--trials", "22", "--max-macs", str(BUDGET), "--out", str(folder)])
    return folder


def test_a_room_is_found_by_its_folder() -> None:
    assert families() == ("impala", "mobile", "t2t")


def test_json_says_the_family_but_of_mobile_networks() -> None:
    pooled = PooledArchitecture(32, 4, 16, "relu")
    assert pooled.to_dict()["family"] == "pooled"
    assert Architecture.from_json(pooled.to_json()) == pooled
    mobile = mobilenetv2()
    assert "family" not in mobile.to_dict()
    assert Architecture.from_dict({**mobile.to_dict(), "family": "mobile"}) == mobile
    assert sorted([pooled, mobile]) == sorted([mobile, pooled])  # two families have an order


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"family": "unheard_of"}, "family 'unheard_of' is unknown; known: mobile"),
        ({"family": "../mobile"}, "family: expected a name in lower case, got '../mobile'"),
        ({"family": 3}, "family: expected a name in lower case, got 3"),
        ({"family": "pooled", "resolution": 32}, "activation: missing"),
    ],
)
def test_a_hostile_family_is_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Architecture.from_dict(data)


def test_counting_agrees_with_a_list() -> None:
    priced = priced_space("pooled-32")
    everything = list(priced.space.enumerate())
    assert priced.count() == (len(everything), len(everything)) == (24, 24)
    for bound in (500, 2_000, BUDGET):
        within = priced.within(Budget(max_macs=bound))
        fitting = {one for one in everything if measure(one, 10).macs <= bound}
        assert within.count() == (len(fitting), len(fitting))
        assert set(within.table.all()) == fitting


def test_codes_decode_and_cost_the_same() -> None:
    priced = priced_space("pooled-32")
    known = encoding(priced)
    everything = list(priced.space.enumerate())
    codes = known.encode(everything)
    assert [known.decode(code) for code in codes] == everything
    assert [cost[0] for cost in known.costs(codes)] == [priced.cost(one).macs for one in everything]
    assert known.features(codes).shape == (24, len(known.names))


def test_an_architecture_of_another_family_is_not_in_the_space() -> None:
    pooled, mobile = priced_space("pooled-32"), priced_space("mobilenetv2-32")
    for space, other in ((pooled, mobile.smallest), (mobile, pooled.smallest)):
        assert space.cost(other) == measure(other, 10)
        with pytest.raises(InputError, match="is not in space"):
            space.space.choices(other)
        with pytest.raises(InputError, match="are not in space"):
            encoding(space).encode([other])
        with pytest.raises(InputError, match=r"weights do not carry over|no published weights"):
            transfer(build(other, 10), build(space.smallest, 10))


def test_a_copy_is_of_the_family() -> None:
    import copy

    network = Network(PooledArchitecture(32, 4, 16, "silu"), 10)
    assert isinstance(network, PooledNetwork)
    assert isinstance(copy.deepcopy(network), PooledNetwork)
    features = network.features(torch.randn(2, 3, 32, 32))
    assert [tuple(one.shape[1:]) for one in features] == [(info.channels, 1, 1) for info in network.info]


def test_features_of_mobile_networks_are_as_described() -> None:
    architecture = priced_space("mobilenetv2-32").smallest
    network = build(architecture, 10)
    features = network.features(torch.randn(2, 3, 40, 56))
    for found, info in zip(features, network.info, strict=True):
        assert tuple(found.shape) == (2, info.channels, -(-40 // info.stride), -(-56 // info.stride))
    assert [info.stride for info in network.info] == sorted({info.stride for info in network.info})
    modules = dict(network.named_modules())
    assert all(info.module in modules for info in network.info)


def test_shared_weights_hold_every_network() -> None:
    priced = priced_space("pooled-32")
    store = WeightStore(priced.space, 10)
    images = torch.randn(3, 3, 32, 32)
    for architecture in priced.space.enumerate():
        assert torch.equal(store(architecture, images), store.extract(architecture).train()(images))


def test_the_search_ends_with_the_best_within_the_budget(run: Path) -> None:
    best = json.loads((run / "best.json").read_text())
    assert best["architecture"]["family"] == "pooled"
    front = json.loads((run / "front.json").read_text())["front"]
    assert all(one["cost"]["macs"] <= BUDGET for one in front)
    assert len({json.dumps(one["architecture"], sort_keys=True) for one in front}) == len(front)


def test_the_report_draws_it(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "1 × linear" in page
    assert "pool: resized" in page
    assert 'id="decisions"' in page  # grid and width matter to some extent
    assert 'id="attention"' not in page  # none of its parts has a place for one


def test_the_dashboard_s_notes_draw_it(run: Path) -> None:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run / 'study.db'}")
    stored = study._storage.get_study_system_attrs(study._study_id)
    assert any("| grid" in str(value) for value in stored.values())
    assert not any("attention-by-stage" in key for key in stored)


def test_it_replays(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    search.main([*POOLED, "--trials", "9", "--max-macs", str(BUDGET), "--out", str(again)])
    search.main([*POOLED, "--trials", "22", "--max-macs", str(BUDGET), "--out", str(again)])
    for name in ("front.json", "best.json"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize("sampler", [name for name in sampler_names() if not name.startswith("nni:")])
def test_every_sampler_proposes_it(sampler: str, tmp_path: Path) -> None:
    if sampler == "auto":
        pytest.importorskip("optunahub")
    settings = ["--evaluator", "zero-cost", "--sampler", sampler, "--trials", "14", "--max-macs", str(BUDGET)]
    settings += ["--objectives", "accuracy"] if sampler == "gp" else []
    settings += [] if sampler == "random" else ["--score", "params"]
    search.main(["--space", "pooled-32", "--data", "digits", "--quiet", *settings, "--out", str(tmp_path / "run")])
    front = json.loads((tmp_path / "run" / "front.json").read_text())["front"]
    assert front
    assert all(one["cost"]["macs"] <= BUDGET for one in front)


def test_nni_s_tuners_know_every_decision() -> None:
    pytest.importorskip("nni")
    from studies.nni.tuners import every_decision

    found = every_decision(named_space("pooled-32"))
    assert found == {
        "pool.grid": (2, 4, 8),
        "hidden.width": (8, 16, 24, 32),
        "hidden.activation": ("relu", "silu"),
    }


def test_the_proxy_trains_it(tmp_path: Path) -> None:
    settings = [
        "--evaluator",
        "proxy",
        "--proxy-pictures",
        "0.1",
        "--proxy-epochs",
        "1,2",
        "--trials",
        "4",
        "--out",
        str(tmp_path / "run"),
    ]
    search.main(["--space", "pooled-32", "--data", "digits", "--quiet", *settings])
    assert json.loads((tmp_path / "run" / "best.json").read_text())["architecture"]["family"] == "pooled"


def test_it_is_retrained_exported_and_evaluated(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "retrained"
    exports = "onnx,torchscript,timm"
    retrain.main([str(run), "--epochs", "2", "--init", "supernet", "--export", exports, "--out", str(out)])
    (trained,) = [path.parent for path in out.glob("*/weights.safetensors")]
    assert (
        load_weights(trained / "weights.safetensors")[0].keys()
        == PooledNetwork(PooledArchitecture(32, 4, 16, "relu"), 10).state_dict().keys()
    )
    found = []
    for name in ("weights.safetensors", "model.onnx"):
        evaluate.main([str(trained / name), "--out", str(tmp_path / name)])
        found.append(json.loads((tmp_path / name / "evaluation.json").read_text())["accuracy"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--compare"],
            "`compare`: there are no hand-designed networks to compare one of family pooled with; leave it",
        ),
        (
            ["--init", "torchvision"],
            "`init` torchvision: no published weights for networks of family pooled; use `init`",
        ),
    ],
)
def test_what_it_lacks_is_said_in_a_line(run: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        retrain.main([str(run), "--epochs", "1", "--out", str(tmp_path / "out"), *arguments])


def test_it_is_described(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg = tmp_path / "network.svg"
    describe.main([str(run), "--svg", str(svg)])
    printed = capsys.readouterr().out
    assert "digest" in printed
    assert "linear" in svg.read_text()


def test_a_file_of_an_unknown_family_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('family = "unheard_of"\nname = "mine"\n')
    with pytest.raises(InputError, match=r"mine\.toml: line 1: family: family 'unheard_of' is unknown; known: mobile"):
        named_space(str(path))


@pytest.mark.parametrize("family", [3, ["mobile"], {"a": 1}])
def test_a_damaged_space_names_its_family(family: object) -> None:
    with pytest.raises(InputError, match="family: expected a name, got"):
        SearchSpace.from_dict({"family": family})
    with pytest.raises(InputError, match="head: expected a name, got"):
        read_head({"head": family})


def test_a_space_survives_its_file(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    found = PricedSpace.from_dict(next(_inner(config, "space")))
    assert found.space == named_space("pooled-32")


def _inner(value: object, name: str) -> "itertools.chain[object]":
    """Every value of that name, at any depth."""
    if not isinstance(value, dict):
        return itertools.chain()
    own = (value[name],) if isinstance(value.get(name), dict) else ()
    return itertools.chain(own, *(_inner(one, name) for one in value.values()))


@HEADS.register("tests: map")
@dataclass(frozen=True)
class MapHead(Head):
    """A 1×1 convolution on the last map: a value a pixel for each of so many kinds."""

    kinds: int

    def part(self, channels: int) -> ConvPart:
        return ConvPart(channels, self.kinds)

    @property
    def told(self) -> str:
        return f"{self.kinds} kinds"

    def to_dict(self) -> dict[str, object]:
        return {"head": "tests: map", "kinds": self.kinds}

    @classmethod
    def read(cls, data: dict[str, object]) -> "MapHead":
        return cls(**data)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pooled-32", "mobilenetv2-32"])
def test_a_task_s_head_costs_at_its_size_and_is_shared(name: str) -> None:
    head = MapHead(5)
    priced = PricedSpace(named_space(name), head)
    assert PricedSpace.from_dict(json.loads(json.dumps(priced.to_dict()))) == priced
    rng = random.Random(0)
    store = WeightStore(priced.space, head)
    known = encoding(priced)
    for _ in range(5):
        architecture = priced.sample(rng)
        network = build(architecture, head)
        assert priced.cost(architecture) == measure(architecture, head)
        assert list(known.costs(known.encode([architecture]))[0]) == [
            measure(architecture, head).macs,
            _params(network),
        ]
        images = torch.randn(2, 3, 32, 32)
        side = network.last_map(images).shape[-1]
        assert network(images).shape == (2, 5, side, side)
        assert torch.equal(store(architecture, images), store.extract(architecture).train()(images))
    plain, own = measure(architecture, 5), measure(architecture, head)
    channels = network.last_map(images).shape[1]
    assert own.macs - plain.macs == 5 * channels * (side**2 - 1)


def _params(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_budget_names_the_head_it_is_too_small_for() -> None:
    with pytest.raises(InputError, match=r"the smallest network of space pooled-32 \(5 kinds\) has"):
        _ = PricedSpace(named_space("pooled-32"), MapHead(5), budget=Budget(max_macs=10)).table


@pytest.mark.parametrize("name", ["pooled-32", "mobilenetv2-32"])
def test_timm_s_network_is_pickled(name: str) -> None:
    timm_entry = pytest.importorskip("deployment.timm_entry")
    model = timm_entry.timm_network(priced_space(name).smallest.to_dict(), 5).eval()
    images = torch.randn(1, 3, 32, 32)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(again(images), model(images))
        assert isinstance(again, timm_entry.TimmNetwork)


def test_what_plugins_imported_is_where_it_was() -> None:
    from search_space.blocks import register_block
    from search_space.families.mobile.blocks import BLOCKS
    from search_space.spaces import mobilenetv2
    from search_space.stage_program import StageOptions

    assert register_block == BLOCKS.register
    assert named_space("mobilenetv2") == mobilenetv2()
    assert StageOptions is not None
