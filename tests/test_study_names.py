"""A study is named after its run; runs that began before, or were renamed, go on."""

import random
from pathlib import Path
from typing import Any

import optuna
import pytest

from evaluators.base import Metrics
from foundation.errors import InputError
from reports.record import read_record
from search_space.cost.priced_space import PricedSpace
from studies.samplers import Goal, make_sampler
from studies.samplers.base import Proposal
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import close_storage, open_storage
from studies.storage.study_names import FORMER_IDENTITY, name_of_run
from studies.trials import Candidate

IDENTITY = {"space": {"name": "tiny", "stages": []}, "evaluator": {"name": "supernet"}, "seed": 3, "data": "digits"}


def _opened(
    space: PricedSpace, folder: Path, identity: dict[str, Any] = IDENTITY, url: str | None = None
) -> OptunaStudy:
    folder.mkdir(exist_ok=True)
    name = name_of_run(folder, shared=url is not None)
    address = url or f"sqlite:///{folder}/study.db"
    sampler = make_sampler("random", Goal(space, seed=0, startup=2))
    return OptunaStudy(sampler, address, name=name, own=url is None, identity=identity)


def _evaluated(study: OptunaStudy, space: PricedSpace, seed: int = 0) -> None:
    """Tells one candidate."""
    claim = study.claim(Proposal(space.sample(random.Random(seed))), None)
    assert claim is not None
    study.accept(claim, Candidate(claim.architecture, claim.cost, Metrics(0.5, 1.0)))


def _names(url: str) -> list[str]:
    storage = open_storage(url)
    try:
        return sorted(study.study_name for study in storage.get_all_studies())
    finally:
        close_storage(storage)


def test_a_study_is_named_after_its_run(tiny_space: PricedSpace, tmp_path: Path) -> None:
    for name in ("first", "second"):
        _opened(tiny_space, tmp_path / name).close()
        assert _names(f"sqlite:///{tmp_path}/{name}/study.db") == [name]
    shown = optuna.load_study(study_name="first", storage=f"sqlite:///{tmp_path}/first/study.db").user_attrs
    assert shown == {"space": "tiny", "evaluator": "supernet", "seed": "3"}  # nothing that the dashboard cuts off


def test_a_renamed_run_goes_on(tiny_space: PricedSpace, tmp_path: Path) -> None:
    study = _opened(tiny_space, tmp_path / "before")
    _evaluated(study, tiny_space)
    study.close()
    folder = (tmp_path / "before").rename(tmp_path / "after")
    again = _opened(tiny_space, folder)
    assert len(again.candidates()) == 1
    assert list(again.numbers().values()) == [0]
    again.close()
    assert _names(f"sqlite:///{folder}/study.db") == ["before"]
    record = read_record(folder)
    assert record.without_study is None
    assert list(record.trials.values()) == [0]


def test_a_run_that_began_before_goes_on(tiny_space: PricedSpace, tmp_path: Path) -> None:
    """Its study is named `coordnas`, and says who it is where the dashboard shows it."""
    (tmp_path / "run").mkdir()
    url = f"sqlite:///{tmp_path}/run/study.db"
    study = optuna.create_study(study_name="coordnas", storage=url, directions=["maximize", "minimize"])
    study.set_user_attr(FORMER_IDENTITY, IDENTITY)
    again = _opened(tiny_space, tmp_path / "run")
    _evaluated(again, tiny_space)
    again.close()
    assert _names(url) == ["coordnas"]
    assert len(read_record(tmp_path / "run").evaluated) == 1
    with pytest.raises(InputError, match="is of another run: seed"):
        _opened(tiny_space, tmp_path / "run", {**IDENTITY, "seed": 4})


def test_another_run_is_refused(tiny_space: PricedSpace, tmp_path: Path) -> None:
    _opened(tiny_space, tmp_path / "run").close()
    with pytest.raises(InputError, match="study 'run' is of another run: seed"):
        _opened(tiny_space, tmp_path / "run", {**IDENTITY, "seed": 4})


def test_several_studies_of_which_none_has_the_name(tiny_space: PricedSpace, tmp_path: Path) -> None:
    _opened(tiny_space, tmp_path / "run").close()
    url = f"sqlite:///{tmp_path}/run/study.db"
    OptunaStudy(
        make_sampler("random", Goal(tiny_space, seed=0, startup=2)), url, name="mine", identity=IDENTITY
    ).close()
    _opened(tiny_space, tmp_path / "run").close()  # by its name
    folder = (tmp_path / "run").rename(tmp_path / "other")
    with pytest.raises(InputError, match="there are the studies mine, run, and none is named other"):
        _opened(tiny_space, folder)
    # A user's own study beside it is none of a search.
    _opened(tiny_space, tmp_path / "single").close()
    optuna.create_study(study_name="notes", storage=f"sqlite:///{tmp_path}/single/study.db")
    _opened(tiny_space, (tmp_path / "single").rename(tmp_path / "double")).close()


def test_runs_that_share_a_storage_keep_apart(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"journal:{tmp_path}/study.log"
    for seed, name in enumerate(("first", "second")):
        study = _opened(tiny_space, tmp_path / name, {**IDENTITY, "seed": seed}, url)
        _evaluated(study, tiny_space, seed)
        assert len(study.candidates()) == 1
        study.close()
    assert _names(url) == ["coordnas-first", "coordnas-second"]
