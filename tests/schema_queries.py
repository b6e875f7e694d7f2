"""Queries made by chance from the schema itself, the same for the same seed: selections, aliases, fragments,
directives, variables, arguments that always parse."""

from __future__ import annotations

import random
from typing import Any

from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_required_argument,
)

WHERES = {
    "resources": (
        "{kind: {in: [EMERGENCY_GRANT, legal_support]}}",
        '{or: [{responseHours: {atMost: 50}}, {languages: {has: "sw"}}]}',
        '{not: {title: {eq: "Grant 3"}}, area: {within: "002"}}',
        '{verifiedOn: {from: "2020-01-01"}}',
    ),
    "convenings": ("{newcomerPlaces: {atLeast: 1}}",),
    "opportunities": ('{title: {in: ["Grant 1", "Meet"]}}',),
}
ORDERS = {"resources": "{field: TITLE, direction: DESC}", "opportunities": "{field: TITLE}"}


class Maker:
    """Makes one query. `variables` are those that it uses."""

    def __init__(self, schema: GraphQLSchema, seed: int, ids: list[str]) -> None:
        self.schema, self.chance, self.ids = schema, random.Random(seed), ids
        self.fragments: list[str] = []
        self.variables: dict[str, Any] = {}
        self.declared: list[str] = []
        self.aliases = 0

    def query(self) -> tuple[str, dict[str, Any]]:
        roots = [self.root() for _ in range(self.chance.choice((1, 1, 2, 3)))]
        head = f"query Made({', '.join(self.declared)})" if self.declared else "query Made"
        return head + " { " + " ".join(roots) + " } " + " ".join(self.fragments), self.variables

    def root(self) -> str:
        query = self.schema.query_type
        assert query is not None
        names = [name for name in query.fields if not name.startswith("_") and name not in ("changes", "terms")]
        name = self.chance.choice([*names, "resources", "opportunities", "search"])
        field = query.fields[name]
        arguments = []
        if "first" in field.args:
            arguments.append(self.first())
        if name in WHERES and self.chance.random() < 0.5:
            arguments.append(f"where: {self.chance.choice(WHERES[name])}")
        if name in ORDERS and self.chance.random() < 0.3:
            arguments.append(f"orderBy: {ORDERS[name]}")
        if name == "search":
            arguments.append('text: "grant"')
        if name == "node":
            arguments.append(f'id: "{self.chance.choice([*self.ids, "nothing"])}"')
        shown = f"({', '.join(arguments)})" if arguments else ""
        inner = self.selection(get_named_type(field.type), 5)
        return f"{self.alias()}{name}{shown} {inner}"

    def first(self) -> str:
        if self.chance.random() < 0.5:
            return f"first: {self.chance.randint(0, 30)}"
        name = f"n{len(self.declared)}"
        self.declared.append(f"${name}: Int")
        self.variables[name] = self.chance.choice((1, 5, None))
        return f"first: ${name}"

    def alias(self) -> str:
        self.aliases += 1
        return f"a{self.aliases}: "

    def condition(self) -> str:
        if self.chance.random() > 0.15:
            return ""
        kind = self.chance.choice(("include", "skip"))
        if self.chance.random() < 0.5:
            return f" @{kind}(if: {self.chance.choice(('true', 'false'))})"
        name = f"b{len(self.declared)}"
        self.declared.append(f"${name}: Boolean!")
        self.variables[name] = self.chance.random() < 0.5
        return f" @{kind}(if: ${name})"

    def selection(self, kind: Any, depth: int) -> str:
        parts = ["__typename"] if self.chance.random() < 0.4 or depth == 0 else []
        if is_abstract_type(kind):
            for one in self.chance.sample(list(self.schema.get_possible_types(kind)), 2):
                parts.append(f"... on {one.name}{self.condition()} {self.selection(one, depth - 1)}")
        names = list(kind.fields)
        for name in self.chance.sample(names, min(len(names), self.chance.randint(1, 5))):
            made = self.member(kind, name, depth)
            if made:
                parts.append(made)
        if self.chance.random() < 0.2 and isinstance(kind, GraphQLObjectType) and depth > 1:
            parts.append(self.spread(kind, depth))
        return "{ " + " ".join(parts or ["__typename"]) + " }"

    def spread(self, kind: GraphQLObjectType, depth: int) -> str:
        name = f"F{len(self.fragments)}"
        at = len(self.fragments)
        self.fragments.append("")
        self.fragments[at] = f"fragment {name} on {kind.name} {self.selection(kind, depth - 1)}"
        return f"...{name}{self.condition()}"

    def member(self, kind: Any, name: str, depth: int) -> str:
        field = kind.fields[name]
        inner = get_named_type(field.type)
        if any(is_required_argument(one) for one in field.args.values()) or (depth <= 0 and not is_leaf_type(inner)):
            return ""
        arguments = ""
        if "language" in field.args and self.chance.random() < 0.5:
            arguments = f'(language: "{self.chance.choice(("fr", "sw", "de-CH"))}")'
        alias = self.alias() if arguments or self.chance.random() < 0.3 else ""
        below = "" if is_leaf_type(inner) else " " + self.selection(inner, depth - 1)
        if not is_leaf_type(inner) and not alias:
            alias = self.alias()
        return f"{alias}{name}{arguments}{self.condition()}{below}"
