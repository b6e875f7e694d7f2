"""The checklist, tried from outside on a served node with npm's jose: each attempt is refused, in OAuth's own words."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.conftest import Tried
from conformance.programs import ran

AT_TOKEN = {7, 8, 9, 10, 11, 13, 15, 16, 17, 18, 20, 21, 22, 23, 25, 47, 50}
"""The rows whose attempts are refused by the token endpoint."""
REFUSALS = {
    400: {
        "BAD_INPUT",
        "invalid_request",
        "invalid_scope",
        "invalid_dpop_proof",
        "unsupported_grant_type",
        "use_dpop_nonce",
    },
    401: {"invalid_client", "UNAUTHENTICATED"},
    405: {"BAD_INPUT"},
    413: {"invalid_request"},
    431: {None},
}


@pytest.fixture(scope="package")
def told(node: Tried) -> Any:
    """How each attempt was answered."""
    return ran("attacks.mjs", **node.asker)


def test_the_good_request_beside_the_attacks_is_answered(told: Any) -> None:
    assert told["good"] == {
        "status": 200,
        "type": "DPoP",
        "cache": "no-store",
        "used": {"status": 200, "error": None, "challenge": None},
    }
    assert told["14"]["ten seconds ahead"]["status"] == 200


@pytest.mark.parametrize("row", [*sorted(AT_TOKEN), 27, 28, 29, 30, 31, 33])
def test_an_attack_from_outside_is_refused_in_the_words_of_oauth(told: Any, row: int) -> None:
    attempts = told[str(row)]
    assert attempts
    for name, answer in attempts.items():
        assert answer["error"] in REFUSALS.get(answer["status"], ()), (row, name, answer)


def test_what_comes_fifty_times_at_once_is_taken_once(told: Any) -> None:
    for name, row in (("fifty at once", "12"), ("at the token endpoint", "24"), ("at the resource", "24")):
        answers = told[row][name]
        assert [answer["status"] for answer in answers].count(200) == 1, name
        assert {answer["status"] for answer in answers} == {200, 401}, name


def test_times_too_far_ahead_and_nonces_of_nobody_are_refused(told: Any) -> None:
    late = told["14"]["sixty seconds ahead"]
    assert (late["status"], late["error"]) == (401, "invalid_client")
    assert late["challenge"].startswith("private_key_jwt ")
    for attempt in ("without a nonce", "forged nonce"):
        assert (told["26"][attempt]["status"], told["26"][attempt]["error"]) == (400, "use_dpop_nonce")


def test_a_challenge_says_how_to_ask(told: Any) -> None:
    challenge = told["27"]["no token"]["challenge"]
    assert challenge.startswith("DPoP ")
    assert "algs=" in challenge
    assert "resource_metadata=" in challenge


def test_a_revoked_token_is_refused_whichever_process_answers(told: Any) -> None:
    assert [answer["status"] for answer in told["36"]["revoked"]] == [401] * 8
