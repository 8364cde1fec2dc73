"""Named things that a user's own file may add to: attention ops, blocks, spaces, scores, samplers, evaluators."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

from foundation.errors import InputError
from foundation.json_files import shown

T = TypeVar("T")
S = TypeVar("S")


class Registry(Generic[T]):
    """Classes or functions by their names, in order of registration.

    Args:
        kind: what one of them is, for messages: `sampler`.
        otherwise: said after the known names, where a user can name one that is not among them.
    """

    def __init__(self, kind: str, otherwise: str = ""):
        self.kind = kind
        self.otherwise = otherwise
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[S], S]:
        """Decorator that makes a class or function known by the name. Raises ValueError if the name is taken."""

        def add(thing: S) -> S:
            if name in self._things:
                holder = getattr(self._things[name], "__name__", type(self._things[name]).__name__)
                raise ValueError(f"{self.kind} {name!r} is registered already, by {holder}")
            self._things[name] = cast(T, thing)  # the decorated keeps its own type
            return thing

        return add

    def get(self, name: str) -> T:
        """What is known by the name. Raises InputError for an unknown one."""
        if name not in self._things:
            raise InputError(f"{self.kind} {shown(name)} is unknown; known: {self.known()}")
        return self._things[name]

    def names(self) -> tuple[str, ...]:
        """The names, in order of registration."""
        return tuple(self._things)

    def known(self) -> str:
        """The names for a message, and how else one can be named."""
        return f"{', '.join(self._things)}{self.otherwise}"

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def __setitem__(self, name: str, thing: T) -> None:
        """As `register`, but a name that is taken has the new meaning from then on."""
        self._things[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __len__(self) -> int:
        return len(self._things)
