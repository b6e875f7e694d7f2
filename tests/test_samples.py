"""The invented samples: they pass every check, fill every field, reach every step, and name nobody."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from federation.audit import Ledger
from federation.formats.imports import source_uuid
from federation.intake import Incoming, Intake
from federation.policies.rules import default_policy
from federation.policies.terms import labels
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records import samples
from federation.records.codes import load
from federation.records.kinds import standard_context
from federation.records.lint import findings
from federation.records.registry import RECORD_TYPES, catalogue
from federation.storage.database import open_database
from federation.storage.migrating import migrate
from federation.world import World

SET_BY_NODE = ("created_at", "updated_at")
TODAY = date(2031, 3, 3)


def _documents(*names: str) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for name in names:
        for type_key, seed, document in samples.load(name):
            bare = {field: value for field, value in document.items() if field != "handling"}
            found.append((type_key, seed, RECORD_TYPES[type_key].normalise(bare)))
    return found


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(KeyError):
        samples.load("elsewhere")


@pytest.mark.parametrize("name", samples.NAMES)
def test_every_document_passes_the_checks_of_its_type(name: str) -> None:
    for type_key, seed, document in samples.load(name):
        bare = {field: value for field, value in document.items() if field != "handling"}
        assert RECORD_TYPES[type_key].check(bare) == [], seed


@pytest.mark.parametrize("name", samples.NAMES)
def test_every_sample_has_all_types_and_fills_every_field(name: str) -> None:
    filled: dict[str, set[str]] = {}
    for type_key, _, document in _documents(name):
        filled.setdefault(type_key, set()).update(document)
    for type_key, record_type in RECORD_TYPES.items():
        assert set(record_type.fields) - set(SET_BY_NODE) <= filled[type_key], type_key


def test_west_and_aurora_alone_reach_every_step_of_every_ladder() -> None:
    context, reached = standard_context(), set()
    for type_key, _, document in _documents("west", "aurora"):
        for field, spec in RECORD_TYPES[type_key].fields.items():
            value = document.get(field)
            reached |= {
                (type_key, field, step.name)
                for step in spec.steps
                if value is not None
                and (step.name == "relay" or spec.kind.generalise(value, step.name, context) is not None)
            }
    for type_key, record_type in RECORD_TYPES.items():
        for field, spec in record_type.fields.items():
            if field not in SET_BY_NODE:
                assert {(type_key, field, step.name) for step in spec.steps} <= reached


def test_seeds_are_never_used_twice() -> None:
    seeds = [seed for name in samples.NAMES for _, seed, _ in samples.load(name)]
    assert len(seeds) == len(set(seeds)) == 141


def test_every_record_says_that_it_is_invented() -> None:
    for type_key, seed, document in _documents(*samples.NAMES):
        assert "Invented" in document["internal_notes"], seed
        if RECORD_TYPES[type_key].needs_expectations:
            assert "Invented" in document["expectations"], seed


def test_texts_that_may_leave_hold_nothing_that_identifies_anybody() -> None:
    for type_key, seed, document in _documents(*samples.NAMES):
        for field, spec in RECORD_TYPES[type_key].fields.items():
            if spec.kind.name == "text" and spec.steps[-1].tier < Tier.SEALED:
                texts = [document.get(field), *(each.get(field) for each in document.get("translations", {}).values())]
                assert [findings(text) for text in texts if text and findings(text)] == [], seed


def test_labels_caps_and_states_of_every_kind_occur() -> None:
    everything = [document for name in samples.NAMES for _, _, document in samples.load(name)]
    handling = {document.get("handling") for document in everything}
    assert handling == {None, "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"}
    assert {json.dumps(document["caps"]) for document in everything if "caps" in document} >= {
        '{"area": "sub_region"}', '{"amount": null}',
    }  # fmt: skip
    assert {document["places"]["state"] for document in everything if "places" in document} == {
        "open",
        "waitlist",
        "full",
    }
    assert {document["availability"]["state"] for document in everything if "availability" in document} == {
        "open", "limited", "full",
    }  # fmt: skip


def test_dates_move_with_the_day_and_nothing_else_does() -> None:
    written = {seed: document for _, seed, document in samples.load("river")}
    for type_key, seed, document in samples.load("river", TODAY):
        for field, value in document.items():
            spec = RECORD_TYPES[type_key].fields.get(field)
            if spec is None or spec.kind.name not in ("day", "period"):
                assert value == written[seed][field]
        until = document.get("valid_until")
        assert until is None or until > TODAY.isoformat()
    moved = {seed: document for _, seed, document in samples.load("river", TODAY)}
    assert moved["river:fundingCall:0"]["deadline"] == "2031-03-28"
    assert moved["river:fieldVisit:0"]["dates"] == {"start": "2031-05-02", "end": "2031-05-05"}


@pytest.mark.parametrize("name", samples.NAMES)
def test_the_intake_takes_a_sample_without_a_warning_and_twice_without_a_change(name: str, tmp_path: Path) -> None:
    world = World(lambda: datetime(2031, 3, 3, tzinfo=UTC), seed=bytes(32))
    database = open_database(f"sqlite:///{tmp_path}/node.db")
    migrate(database)
    policy = default_policy(catalogue())
    intake = Intake(
        database, load(), world, "origin", findings, ledger=Ledger(database, world),
        labels=lambda key: labels(policy, key), secret=bytes(32), place_k=1,
    )  # fmt: skip
    incoming = [
        Incoming(type_key, document, source_uuid(bytes(32), "sample", seed).bytes, share=True)
        for type_key, seed, document in samples.load(name, TODAY)
    ]
    steward = Viewer(ViewerKind.STEWARD, "steward")
    first, second = intake.import_many(steward, incoming), intake.import_many(steward, incoming)
    database.close()
    assert (first.created, first.refused) == (len(incoming), ())
    assert (second.unchanged, second.refused) == (len(incoming), ())
