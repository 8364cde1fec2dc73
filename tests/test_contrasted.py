"""What a network is tested beside: left out, with a line, where the pictures do not allow it."""

from types import SimpleNamespace
from typing import Any

from commands.contrasted import contrasted
from foundation.errors import InputError
from tasks.actions.room import ACTIONS


def test_what_cannot_be_made_of_the_pictures_is_left_out() -> None:
    def load(spec: str) -> Any:
        if spec.endswith("shuffled"):
            raise InputError("`data`: shuffled needs two videos in each split; add some")
        return spec

    said: list[str] = []
    usual, model = object(), SimpleNamespace(task=ACTIONS)
    found = contrasted("net", model, "hieve", usual, load, lambda data: data, said.append)  # type: ignore[arg-type]
    assert found is not None
    assert found.usual is usual
    assert dict(found.others) == {"no scene": "hieve,no-scene"}
    expected = "net: scene of another clip is left out: `data`: shuffled needs two videos in each split; add some"
    assert said == [expected]
