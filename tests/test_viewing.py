"""Views over many terms: what one origin sends takes no room from the others."""

from __future__ import annotations

import pytest
from gate_world import NEAR, PUBLIC, empty_sample
from sqlalchemy import text
from test_gate import ask, open_terms, received

from federation.records.registry import RECORD_TYPES
from federation.storage import viewing
from federation.storage.database import Database


def test_no_origin_fills_a_view_for_the_others(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "MOST_ARMS", 4)
    made = empty_sample(database)
    names = [name for name in RECORD_TYPES["resource"].fields if name not in ("title", "kind")]
    for number, name in enumerate(names[:8]):
        received(made, open_terms(made.policy, caps={name: None}), bytes([number]) * 16)
    received(made, open_terms(made.policy, caps={names[8]: None}), b"z" * 16, origin=2)
    with database.write() as connection:
        connection.execute(text("UPDATE terms SET origin = 2 WHERE tid = 9"))
    assert made.gate.count(NEAR, ("resource",)) < 9
    assert len(made.gate.visible(NEAR, "resource").arms) <= 4
    assert any(9 in arm.terms for arm in made.gate.visible(NEAR, "resource").arms)
    assert made.gate.page(PUBLIC, ask("title")).rows
