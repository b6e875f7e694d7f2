"""Strawberry classes made from descriptions: a type is a name, a meaning and fields, each with a meaning of its own.

Sources are plain dicts keyed by field name. This module knows no record type and reads nothing.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from keyword import iskeyword
from typing import Any, NewType, Optional

import strawberry
from strawberry import UNSET, Info
from strawberry.annotation import StrawberryAnnotation
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition

Fetch = Callable[[Any, "Info[Any, Any]", dict[str, Any]], Any]
"""A resolver: source, info and arguments (inputs as plain dicts by GraphQL name) in, a value out."""


@dataclass(frozen=True)
class Argument:
    """One argument of a field."""

    name: str
    type: str
    meaning: str
    default: Any = UNSET


@dataclass(frozen=True)
class Slot:
    """One field of a type or input. `type` is written as a Python annotation over the names of a `Catalog`, as in
    `Optional[list[Place]]`. `fetch` None takes the value of the same name from the source."""

    name: str
    type: str
    meaning: str
    fetch: Fetch | None = None
    arguments: Sequence[Argument] = ()
    directives: Sequence[object] = ()
    default: Any = UNSET


class FetchedField(StrawberryField):
    """A field whose value is made by a `fetch` function, without a Python signature to be inspected."""

    fetch: Fetch | None = None

    @property
    def is_basic_field(self) -> bool:
        return self.fetch is None

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: Any) -> Any:
        if self.fetch is None or info is None:
            return super().get_result(source, info, args, kwargs)
        return self.fetch(source, info, {name: plain(value) for name, value in kwargs.items() if value is not UNSET})

    def __copy__(self) -> FetchedField:
        copied = super().__copy__()
        copied.fetch = self.fetch
        return copied


@dataclass
class Catalog:
    """The classes of one schema by name, so that annotations can name what is built later."""

    names: dict[str, Any] = field(default_factory=lambda: {"Optional": Optional, "ID": strawberry.ID})
    scalars: dict[object, ScalarDefinition] = field(default_factory=dict)
    annotations: dict[str, StrawberryAnnotation] = field(default_factory=dict)

    def annotation(self, type_: str) -> StrawberryAnnotation:
        """A type as Strawberry reads it. Thousands of fields share a few hundred, each of which is read once."""
        if type_ not in self.annotations:
            self.annotations[type_] = StrawberryAnnotation(type_, namespace=self.names)
        return self.annotations[type_]

    def scalar(
        self,
        name: str,
        meaning: str,
        parse: Callable[[Any], Any],
        show: Callable[[Any], Any] = lambda value: value,
        url: str | None = None,
    ) -> None:
        """Adds a scalar with its two ways of reading."""
        marker = NewType(name, str)  # type: ignore[misc]  # named at run time
        self.names[name] = marker
        self.scalars[marker] = strawberry.scalar(
            name=name, description=meaning, serialize=show, parse_value=parse, specified_by_url=url
        )

    def enum(self, name: str, meaning: str, values: Mapping[str, str]) -> None:
        """Adds an enum: value names with their meanings. Members have their own name as value."""
        members = {key: strawberry.enum_value(key, description=text) for key, text in values.items()}
        made = Enum(name, members)  # type: ignore[misc]
        self.names[name] = strawberry.enum(made, description=meaning)

    def add(
        self,
        name: str,
        meaning: str,
        slots: Sequence[Slot],
        *,
        kind: str = "type",
        interfaces: Sequence[str] = (),
        directives: Sequence[object] = (),
        one_of: bool = False,
    ) -> Any:
        """Adds a type, interface or input. A type with interfaces knows its sources by their `__typename`."""
        fields = {slot.name: self._field(slot, kind) for slot in slots}
        body: dict[str, Any] = {made.python_name: made for made in fields.values()}
        annotations = {fields[slot.name].python_name: slot.type for slot in slots}
        body["__annotations__"] = dict.fromkeys(annotations, str)  # the true ones are resolved later, once
        body["__module__"] = __name__
        bases = tuple(self.names[each] for each in interfaces)
        if kind == "type" and interfaces:
            body["is_type_of"] = staticmethod(lambda source, _info: _typename(source) == name)
        made_class: Any = types.new_class(name, bases, {}, lambda namespace: namespace.update(body))
        if kind == "input":
            made_class = strawberry.input(made_class, name=name, description=meaning, one_of=one_of)
        elif kind == "interface":
            made_class = strawberry.interface(made_class, name=name, description=meaning)
        else:
            made_class = strawberry.type(made_class, name=name, description=meaning, directives=directives)
        self.names[name] = made_class
        for each in made_class.__strawberry_definition__.fields:
            if each.python_name in annotations:
                each.type_annotation = self.annotation(annotations[each.python_name])
        return made_class

    def _field(self, slot: Slot, kind: str) -> FetchedField:
        made = FetchedField(
            python_name=slot.name + "_" if iskeyword(slot.name) else slot.name,
            graphql_name=slot.name,
            type_annotation=self.annotation(slot.type),
            description=slot.meaning,
            directives=slot.directives,
            **({"default": slot.default} if kind == "input" else {}),
        )
        made.fetch = slot.fetch
        made.arguments = [
            StrawberryArgument(
                python_name=one.name,
                graphql_name=one.name,
                type_annotation=self.annotation(one.type),
                description=one.meaning,
                default=one.default,
            )
            for one in slot.arguments
        ]
        return made

    def config(self) -> StrawberryConfig:
        """Strawberry's settings: names as given, no suggestions, values from dicts."""
        return StrawberryConfig(
            auto_camel_case=False,
            default_resolver=lambda source, name: source.get(name),
            disable_field_suggestions=True,
            scalar_map=self.scalars,
        )


def plain(value: Any) -> Any:
    """An input as it was coerced, as dicts and lists by GraphQL name, enums as names, without what was not given."""
    definition = getattr(type(value), "__strawberry_definition__", None)
    if isinstance(value, Enum):
        return value.value
    if definition is not None:
        pairs = ((one.graphql_name, getattr(value, one.python_name)) for one in definition.fields)
        return {name: plain(part) for name, part in pairs if part is not UNSET}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def _typename(source: Any) -> str | None:
    return source.get("__typename") if isinstance(source, dict) else None
