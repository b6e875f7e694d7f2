"""Passkeys: made by a device for one session, used for a login once, and refused in one way whatever is wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import rows
from passkey_device import UP, UV, Device
from people_world import PASSWORD, SECRET, URL, People, QuickHasher, hasher

from federation.errors import BadInput, Conflict, NotFound, Unauthenticated
from federation.keys import b64, unb64
from federation.oauth.accounts import disable_account
from federation.oauth.entering import log_in
from federation.oauth.factors import factors_of, new_recovery_codes
from federation.oauth.passkeys import MAX_RESPONSE, MOST, NOT_ADDED, REFUSED, SECONDS, Passkeys, possible
from federation.oauth.sessions import session_of
from federation.oauth.spent import SpentIdentifiers
from federation.storage.database import Database, open_database

__all__ = ["hasher"]
HERE = "the session that adds it"


@pytest.fixture
def people(database: Database, hasher: QuickHasher) -> People:
    found = People(database)
    found.add("amina")
    found.add("ben")
    return found


def passkeys_of(people: People, database: Database | None = None, url: str = URL) -> Passkeys:
    at = database or people.database
    return Passkeys(at, people.world, url, "River", SECRET, SpentIdentifiers(at, people.world))


@pytest.fixture
def passkeys(people: People) -> Passkeys:
    return passkeys_of(people)


@pytest.fixture
def device(passkeys: Passkeys) -> Device:
    """Amina's, which is known here."""
    made = Device(URL)
    passkeys.add("amina", HERE, " phone ", made.create(passkeys.adding_options("amina", HERE)))
    return made


def refused(passkeys: Passkeys, response: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        passkeys.log_in(response)
    assert refusal.value.message == REFUSED


def test_a_passkey_alone_lets_its_owner_in(people: People, passkeys: Passkeys, device: Device) -> None:
    found = session_of(people.database, people.world, passkeys.log_in(device.get(passkeys.login_options())))
    assert found is not None
    assert (found.handle, found.second) == ("amina", "passkey")
    (listed,) = passkeys.listed("amina")
    assert (listed.name, listed.created_at, listed.used_at) == ("phone", found.begun_at, found.begun_at)
    assert passkeys.listed("ben") == []


def test_with_a_passkey_the_password_alone_suffices_no_more(people: People, device: Device) -> None:
    with pytest.raises(Unauthenticated):
        people.enter("amina")
    codes = new_recovery_codes(people.database, people.world, SECRET, "amina")
    assert people.enter("amina", PASSWORD, codes[0]).second == "recovery"
    assert people.enter("ben").second is None


def test_the_options_name_no_account_but_the_ones_own(passkeys: Passkeys, device: Device) -> None:
    assert json.loads(passkeys.login_options()).keys() == {"challenge", "rpId", "userVerification"}
    own, other = (json.loads(passkeys.adding_options(handle, HERE)) for handle in ("amina", "ben"))
    assert own["excludeCredentials"] == [{"type": "public-key", "id": b64(device.credential_id)}]
    assert other["excludeCredentials"] == []
    assert own["authenticatorSelection"] == {"residentKey": "required", "userVerification": "required"}
    assert b"amina" not in unb64(own["user"]["id"])
    assert own["rp"] == {"id": "river.example", "name": "River"}


def test_an_answer_opens_once_also_for_two_workers_at_one_moment(
    people: People, passkeys: Passkeys, device: Device
) -> None:
    answer = device.get(passkeys.login_options())
    other = open_database(people.database.url)
    try:
        both = passkeys, passkeys_of(people, other)

        def enter(number: int) -> str | None:
            try:
                return both[number % 2].log_in(answer)
            except Unauthenticated:
                return None

        with ThreadPoolExecutor(8) as at_once:
            assert len([each for each in at_once.map(enter, range(16)) if each]) == 1
    finally:
        other.close()
    refused(passkeys, answer)


def test_a_challenge_ends_soon_and_reading_the_page_writes_nothing(
    people: People, passkeys: Passkeys, device: Device
) -> None:
    before = rows(people.database, "SELECT count(*) FROM spent_identifier")
    late = device.get(passkeys.login_options())
    assert before == rows(people.database, "SELECT count(*) FROM spent_identifier")
    people.clock.turn(SECONDS)
    refused(passkeys, late)
    passkeys.log_in(device.get(passkeys.login_options()))


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://river.example"},
        {"host": "evil.example"},
        {"flags": UP},
        {"flags": UV},
        {"type": "webauthn.create"},
        {"challenge": b64(b"x" * 40)},
        {"challenge": ""},
        {"challenge": None},
        {"user": b64(b"somebody else")},
        {"user": "é"},
        {"user": 7},
    ],
    ids=str,
)
def test_an_answer_with_a_lie_in_it_opens_nothing(passkeys: Passkeys, device: Device, lie: dict[str, Any]) -> None:
    refused(passkeys, device.get(passkeys.login_options(), **lie))


@pytest.mark.parametrize(
    "answer",
    ["", "{", "[]", "7", "null", "{}", '{"response": 7}', '{"response": {}}', '{"response": {"clientDataJSON": 7}}',
     '{"response": {"clientDataJSON": "W10"}}', '{"response": {"clientDataJSON": "é"}}', "[" * 3000,
     "x" * (MAX_RESPONSE + 1)],
)  # fmt: skip
def test_what_is_no_answer_opens_and_adds_nothing(passkeys: Passkeys, device: Device, answer: str) -> None:
    refused(passkeys, answer)
    with pytest.raises(BadInput, match=NOT_ADDED):
        passkeys.add("amina", HERE, "phone", answer)


@pytest.mark.parametrize("part", ["id", "rawId", "type", "authenticatorData", "signature"])
def test_an_answer_in_which_something_is_changed_or_lacks_opens_nothing(
    passkeys: Passkeys, device: Device, part: str
) -> None:
    for put in (None, 7, "", "AAAA", [], "é"):
        said = json.loads(device.get(passkeys.login_options()))
        place = said if part in said else said["response"]
        place[part] = put
        refused(passkeys, json.dumps(said))
        del place[part]
        refused(passkeys, json.dumps(said))


def test_a_passkey_that_is_unknown_removed_copied_or_of_a_closed_account_opens_nothing(
    people: People, passkeys: Passkeys, device: Device
) -> None:
    refused(passkeys, Device(URL).get(passkeys.login_options()))
    passkeys.log_in(device.get(passkeys.login_options()))
    device.count = 0  # as one that was copied before it was used
    refused(passkeys, device.get(passkeys.login_options()))
    device.count = 9
    disable_account(people.database, people.world, "amina")
    refused(passkeys, device.get(passkeys.login_options()))


def test_two_answers_of_one_count_open_once(people: People, passkeys: Passkeys, device: Device) -> None:
    first = device.get(passkeys.login_options())
    device.count -= 1
    second = device.get(passkeys.login_options())
    kept = passkeys._find(json.loads(second))
    passkeys.log_in(first)

    class Before(Passkeys):
        def _find(self, said: dict[str, Any]) -> Any:
            return kept  # as it was read before the first answer was counted

    at = Before(people.database, people.world, URL, "River", SECRET, passkeys.spent)
    refused(at, second)


def test_a_passkey_is_removed_by_its_owner_alone(people: People, passkeys: Passkeys, device: Device) -> None:
    (listed,) = passkeys.listed("amina")
    for handle, passkey_id in (("ben", listed.passkey_id), ("amina", "nothing")):
        with pytest.raises(NotFound):
            passkeys.remove(handle, passkey_id)
    passkeys.remove("amina", listed.passkey_id)
    refused(passkeys, device.get(passkeys.login_options()))
    assert not factors_of(people.database, "amina").asked
    assert log_in(people.database, people.world, SECRET, "amina", PASSWORD, "")


@pytest.mark.parametrize("lie", [{"origin": "https://evil.example"}, {"flags": UP}, {"type": "webauthn.get"}], ids=str)
def test_a_passkey_is_not_added_with_a_lie(passkeys: Passkeys, lie: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=NOT_ADDED):
        passkeys.add("amina", HERE, "phone", Device(URL).create(passkeys.adding_options("amina", HERE), **lie))


def test_a_passkey_is_added_in_the_session_that_asked_for_it_and_once(people: People, passkeys: Passkeys) -> None:
    made = Device(URL)
    answer = made.create(passkeys.adding_options("amina", HERE))
    for session_id in ("another session", "login"):
        with pytest.raises(BadInput, match=NOT_ADDED):
            passkeys.add("ben", session_id, "phone", answer)
    for name in ("", " ", "x" * 61):
        with pytest.raises(BadInput, match="name"):
            passkeys.add("amina", HERE, name, answer)
    passkeys.add("amina", HERE, "phone", answer)
    with pytest.raises(BadInput, match=NOT_ADDED):
        passkeys.add("amina", HERE, "phone", answer)
    with pytest.raises(Conflict):
        passkeys.add("ben", HERE, "phone", made.create(passkeys.adding_options("ben", HERE)))
    refused(passkeys, made.get(passkeys.adding_options("amina", HERE).replace('"rp"', '"rpId":"river.example","x"')))


def test_an_account_has_so_many_passkeys(passkeys: Passkeys) -> None:
    for number in range(MOST):
        passkeys.add("amina", HERE, f"device {number}", Device(URL).create(passkeys.adding_options("amina", HERE)))
    with pytest.raises(Conflict):
        passkeys.add("amina", HERE, "one more", Device(URL).create(passkeys.adding_options("amina", HERE)))
    passkeys.add("ben", HERE, "his", Device(URL).create(passkeys.adding_options("ben", HERE)))


def test_a_node_without_a_name_is_called_by_its_host(people: People) -> None:
    at = Passkeys(people.database, people.world, URL, "", SECRET, SpentIdentifiers(people.database, people.world))
    assert json.loads(at.adding_options("amina", HERE))["rp"]["name"] == "river.example"


@pytest.mark.parametrize(
    ("url", "works"),
    [
        ("https://river.example", True),
        ("https://river.example:8443", True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", False),
        ("https://192.0.2.1", False),
        ("https://[2001:db8::1]", False),
        ("http://river.example", False),
    ],
)
def test_passkeys_need_an_address_with_a_name_and_tls(url: str, works: bool) -> None:
    assert possible(url) is works


def test_without_the_extra_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not possible("https://river.example")
