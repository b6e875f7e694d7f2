"""Plants a fault: one place in one function's source is changed, and the function runs the changed code from then on.

Every name that is bound to the function already runs it too, because the code is exchanged inside of the function. What
no longer stands in the source exactly once cannot be planted: the fault has to be stated anew.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any


class NotPlanted(Exception):
    """The code does not hold the place that the fault changes, or holds it more than once."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and which tests (files, and words of `-k`) must fail then."""

    name: str
    where: Callable[..., Any]
    sound: str
    faulty: str
    files: tuple[str, ...]
    tests: str

    def plant(self) -> None:
        """Make this process run the fault. Raises NotPlanted."""
        function: Any = inspect.unwrap(getattr(self.where, "__func__", self.where))
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.sound) != 1:
            raise NotPlanted(f"{self.name}: stands {source.count(self.sound)} times in {function.__qualname__}")
        changed = source.replace(self.sound, self.faulty)
        if "__class__" in function.__code__.co_freevars:  # a bare `super()`: the code needs a class around it
            changed = "class _Around:\n" + textwrap.indent(changed, "    ")
        whole = compile(f"from __future__ import annotations\n{changed}", f"<{self.name}>", "exec")
        function.__code__ = _of(whole, function.__name__, function.__code__.co_freevars)


def fault(name: str, where: object, sound: str, faulty: str, file: str, tests: str) -> Fault:
    """A fault that the tests of one file must notice."""
    return Fault(name, where, sound, faulty, (file,), tests)  # type: ignore[arg-type]


def _of(code: CodeType, name: str, free: tuple[str, ...]) -> CodeType:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name and constant.co_freevars == free:
                return constant
            try:
                return _of(constant, name, free)
            except NotPlanted:
                continue
    raise NotPlanted(f"{name} cannot be made anew")
