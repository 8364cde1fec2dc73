"""Named things: known by one name each, and an unknown name is refused with those that are known."""

import pytest

from evaluators.choice import EVALUATORS
from evaluators.zero_cost.registry import SCORES
from foundation.errors import InputError
from foundation.registry import Registry
from search_space.attention import OPS
from search_space.families.mobile.blocks import BLOCKS
from search_space.spaces import SPACES
from studies.samplers.base import SAMPLERS
from training.attacks.registry import ATTACKS


def _colours() -> Registry[type]:
    colours: Registry[type] = Registry("colour", ", or #RRGGBB")

    @colours.register("red")
    class Red:
        pass

    colours.register("blue")(type("Blue", (), {}))
    return colours


def test_things_come_in_the_order_of_their_registration() -> None:
    colours = _colours()
    assert colours.names() == tuple(colours) == ("red", "blue")
    assert len(colours) == 2
    assert colours.get("red").__name__ == colours["red"].__name__ == "Red"
    assert "red" in colours
    assert "green" not in colours


def test_a_name_that_is_taken() -> None:
    colours = _colours()
    with pytest.raises(ValueError, match=r"^colour 'red' is registered already, by Red$"):
        colours.register("red")(int)
    assert colours["red"].__name__ == "Red"


def test_an_item_that_is_set_replaces() -> None:
    colours = _colours()
    colours["red"] = int
    assert colours["red"] is int
    del colours["red"]
    assert colours.names() == ("blue",)


@pytest.mark.parametrize("registry", [_colours(), OPS, BLOCKS, SPACES, SCORES, SAMPLERS, EVALUATORS, ATTACKS])
def test_an_unknown_name(registry: Registry[object]) -> None:
    with pytest.raises(InputError) as refused:
        registry.get("absent")
    assert str(refused.value) == f"{registry.kind} 'absent' is unknown; known: {registry.known()}"
    assert all(name in registry.known() for name in registry)
    assert len(registry) > 1
