"""Invented records for the benchmarks: the same for the same number, about 1.1 kB with 13 fields, and homes with them.

Everything enters through the intake, as in a real node.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from federation.intake import Incoming
from federation.node import create_home, open_node
from federation.records.codes import load
from federation.records.registry import RECORD_TYPES
from federation.settings import load_settings
from federation.storage.ids import global_id, network_id

COMMON_WORD, RARE_WORD, RARE_EACH = "defenders", "quetzal", 1000
UNLIMITED = {f"{kind}_per_minute": 1_000_000 for kind in ("anonymous", "client", "peer")}
"""What is measured is an answer, not a refusal."""
PUBLIC = sorted(f"{kind}:open" for kind in RECORD_TYPES if kind != "space")
_AREAS = ("KE", "UG", "FR", "US", "BR", "KE-30", "FR-IDF", "IN", "MX", "PH")
_WORDS = [
    "support",
    "legal",
    "safe",
    "urgent",
    "course",
    "rural",
    "women",
    "night",
    "travel",
    "shelter",
    "lawyer",
    "network",
    "members",
    "training",
    "secure",
    "phone",
    "cover",
    "family",
    "relocation",
    "rest",
    "medical",
    "grant",
    "equipment",
    "months",
    "weeks",
    "partner",
    "region",
    "local",
    "trusted",
    "visit",
    "advice",
]


def documents(count: int) -> Iterator[dict[str, Any]]:
    """`count` resources as home documents; one in `RARE_EACH` holds the rare word, every other one the common."""
    codes = load()
    kinds, dimensions, groups = codes.codes("resourceKind"), codes.codes("dimension"), codes.codes("group")
    for number in range(count):
        draw = random.Random(number)

        def text(length: int, draw: random.Random = draw) -> str:
            words = [draw.choice(_WORDS) for _ in range(length)]
            return " ".join(words).capitalize() + "."

        word = RARE_WORD if number % RARE_EACH == 7 else COMMON_WORD if number % 2 else "people"
        start = draw.randint(2026, 2028)
        yield {
            "title": f"{draw.choice(_WORDS).capitalize()} {draw.choice(_WORDS)} for {word} {number}",
            "summary": text(58),
            "kind": draw.choice(kinds),
            "dimensions": sorted(draw.sample(dimensions, 2)),
            "eligibility": text(30),
            "welcomes": sorted(draw.sample(groups, 2)),
            "reach": ["rural", "urban"] if number % 3 else ["online"],
            "response_hours": draw.randint(1, 400),
            "languages": sorted(draw.sample(("en", "sw", "fr", "es", "ar"), 2)),
            "area": draw.choice(_AREAS),
            "amount": {"minimum": str(draw.randint(1, 50) * 100), "maximum": "9000", "currency": "EUR"},
            "horizon": {"start": f"{start}-01-01", "end": f"{start}-12-31"},
            "expectations": text(8),
        }


def record_bytes(count: int = 100) -> tuple[int, int]:
    """Fields and mean size of a record as JSON."""
    sizes = [(len(each), len(orjson.dumps(each))) for each in documents(count)]
    return sizes[0][0], round(sum(size for _, size in sizes) / len(sizes))


def make_home(home: Path, url: str, count: int, **settings: Any) -> None:
    """A node with `count` shared resources and its own network, shared."""
    values: Mapping[str, Any] = {
        "name": home.name,
        "url": url,
        "scope": "national",
        "place_k": 1,
        "public_scopes": PUBLIC,
        "allow_private_peers": ["127.0.0.0/8"],
        "exchange_interval": 86_400,
        "log_level": "error",
        **UNLIMITED,
        **settings,
    }
    create_home(home, values)
    with closing(open_node(load_settings(home, {}, {})[0])) as node:
        incoming = (
            Incoming("resource", document, number.to_bytes(16, "big"), True) for number, document in _numbered(count)
        )
        done = node.intake.import_many(node.operator, incoming, confirm=True)
        if done.refused:
            raise RuntimeError(f"benchmark records were refused: {done.refused[0].message}")
        node.intake.share(node.operator, global_id("network", node.keys.origin, network_id(node.keys.origin)))


def _numbered(count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records under ids that say nothing of their order, as real ids are."""
    for number, document in enumerate(documents(count)):
        yield random.Random(-number - 1).getrandbits(128), document
