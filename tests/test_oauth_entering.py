"""Handle, password and code: who comes in, each code once, and nothing to be learned from a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import rows
from people_world import PASSWORD, SECRET, TOTP, URL, People, QuickHasher, hasher
from sqlalchemy import event

from federation.errors import BadInput, Unauthenticated
from federation.oauth import accounts
from federation.oauth.accounts import disable_account, reset_account
from federation.oauth.entering import REFUSED, log_in
from federation.oauth.factors import (
    PENDING_SECONDS,
    RECOVERY_CODES,
    Factors,
    factors_of,
    keep_totp,
    new_recovery_codes,
    opened_totp,
    pending_secret,
    pending_totp,
    remove_totp,
    setup_uri,
)
from federation.storage.database import Database, open_database

__all__ = ["hasher"]

pytestmark = pytest.mark.usefixtures("hasher")


@pytest.fixture
def people(database: Database, hasher: QuickHasher) -> People:
    return People(database)


def refused(people: People, *typed: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        people.enter(*typed)
    return refusal.value.message


def test_a_password_suffices_where_nothing_more_was_set_up(people: People) -> None:
    people.add("amina")
    assert people.enter("amina").second is None
    assert people.enter("amina", PASSWORD, "123456").second is None


def test_with_an_app_its_code_is_asked_for(people: People) -> None:
    people.add("amina", totp=True)
    for code in ("", "000000", "1", people.code()[:5], people.code() + "0", "é", "\udcff"):
        assert refused(people, "amina", PASSWORD, code) == REFUSED
    assert refused(people, "amina", "another password", people.code()) == REFUSED
    assert people.enter("amina", PASSWORD, f" {people.code()[:3]} {people.code()[3:]}").second == "totp"


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(people: People, steps: int, taken: bool) -> None:
    people.add("amina", totp=True)
    if taken:
        assert people.enter("amina", PASSWORD, people.code(steps)).second == "totp"
    else:
        assert refused(people, "amina", PASSWORD, people.code(steps)) == REFUSED


def test_a_code_is_good_once_and_so_are_those_before_it(people: People) -> None:
    people.add("amina", totp=True)
    now, before, after = people.code(), people.code(-1), people.code(1)
    people.enter("amina", PASSWORD, now)
    for code in (now, before):
        assert refused(people, "amina", PASSWORD, code) == REFUSED
    people.enter("amina", PASSWORD, after)
    people.clock.turn(30)
    assert refused(people, "amina", PASSWORD, after) == REFUSED


def test_a_wrong_password_uses_no_code_up(people: People) -> None:
    people.add("amina", totp=True)
    codes = new_recovery_codes(people.database, people.world, SECRET, "amina")
    assert refused(people, "amina", "another password", people.code()) == REFUSED
    assert refused(people, "amina", "another password", codes[0]) == REFUSED
    people.enter("amina", PASSWORD, people.code())
    people.enter("amina", PASSWORD, codes[0])


@pytest.mark.parametrize("kind", ["totp", "recovery"])
def test_one_code_shown_to_two_workers_at_one_moment_opens_once(people: People, kind: str) -> None:
    people.add("amina", totp=True)
    code = people.code() if kind == "totp" else new_recovery_codes(people.database, people.world, SECRET, "amina")[0]
    other = open_database(people.database.url)
    try:

        def enter(number: int) -> str | None:
            at = (people.database, other)[number % 2]
            try:
                return log_in(at, people.world, SECRET, "amina", PASSWORD, code)
            except Unauthenticated:
                return None

        with ThreadPoolExecutor(8) as at_once:
            cookies = [each for each in at_once.map(enter, range(16)) if each]
    finally:
        other.close()
    assert len(cookies) == 1
    assert len(rows(people.database, "SELECT 1 FROM login_session")) == 1


def test_a_recovery_code_stands_in_once_for_the_app(people: People) -> None:
    people.add("amina", totp=True)
    people.add("ben", totp=True)
    codes = new_recovery_codes(people.database, people.world, SECRET, "amina")
    assert len(set(codes)) == RECOVERY_CODES
    assert people.enter("amina", PASSWORD, codes[0]).second == "recovery"
    assert people.enter("amina", PASSWORD, codes[1].upper().replace("-", " ")).second == "recovery"
    for handle, code in (("amina", codes[0]), ("ben", codes[2]), ("amina", codes[2][:-1])):
        assert refused(people, handle, PASSWORD, code) == REFUSED
    assert factors_of(people.database, "amina") == Factors(True, RECOVERY_CODES - 2, 0)
    new_recovery_codes(people.database, people.world, SECRET, "amina")
    assert refused(people, "amina", PASSWORD, codes[3]) == REFUSED
    assert factors_of(people.database, "amina").recovery_codes == RECOVERY_CODES


def test_recovery_codes_alone_make_nobody_type_one(people: People) -> None:
    people.add("amina")
    codes = new_recovery_codes(people.database, people.world, SECRET, "amina")
    assert not factors_of(people.database, "amina").asked
    assert people.enter("amina", PASSWORD, codes[0]).second is None
    assert factors_of(people.database, "amina").recovery_codes == RECOVERY_CODES


def test_secrets_are_stored_sealed_and_codes_as_digests(people: People) -> None:
    people.add("amina", totp=True)
    codes = new_recovery_codes(people.database, people.world, SECRET, "amina")
    held = b"".join(bytes(row[0]) for row in rows(people.database, "SELECT sealed FROM totp_secret"))
    held += b"".join(bytes(row[0]) for row in rows(people.database, "SELECT digest FROM recovery_code"))
    for plain in (TOTP, *codes, *(each.replace("-", "") for each in codes)):
        assert plain.encode() not in held
    assert opened_totp(SECRET, "amina", held[:36]) == TOTP
    assert opened_totp(SECRET, "ben", held[:36]) is None
    assert opened_totp(b"x" * 32, "amina", held[:36]) is None


def test_with_another_secret_of_the_node_no_code_is_right_and_nobody_comes_in_without(people: People) -> None:
    people.add("amina", totp=True)
    for code in (people.code(), ""):
        with pytest.raises(Unauthenticated):
            log_in(people.database, people.world, b"another secret, as of another home", "amina", PASSWORD, code)


def test_an_app_that_is_removed_is_asked_for_no_more(people: People) -> None:
    people.add("amina", totp=True)
    remove_totp(people.database, "amina")
    assert people.enter("amina").second is None


def test_a_reset_takes_every_factor(people: People) -> None:
    people.add("amina", totp=True)
    new_recovery_codes(people.database, people.world, SECRET, "amina")
    reset_account(people.database, people.world, URL, "amina")
    assert factors_of(people.database, "amina") == Factors()
    assert refused(people, "amina", PASSWORD, people.code(1)) == REFUSED


def test_a_new_app_counts_once_it_has_shown_a_code_and_that_code_is_used_up(people: People) -> None:
    import pyotp

    people.add("amina")
    totp, sealed = pending_totp(people.world, SECRET, "amina", "one session")
    assert factors_of(people.database, "amina") == Factors()
    assert totp not in sealed
    assert pending_secret(people.world, SECRET, "amina", "one session", sealed) == totp
    for code in ("", "000000"):
        with pytest.raises(BadInput):
            keep_totp(people.database, people.world, SECRET, "amina", totp, code)
    shown = pyotp.TOTP(totp).at(people.world.timestamp())
    keep_totp(people.database, people.world, SECRET, "amina", totp, shown)
    assert factors_of(people.database, "amina").asked
    assert refused(people, "amina", PASSWORD, shown) == REFUSED
    people.clock.turn(30)
    people.enter("amina", PASSWORD, pyotp.TOTP(totp).at(people.world.timestamp()))
    uri = setup_uri(totp, "amina", "River & West")
    assert uri == f"otpauth://totp/River%20%26%20West:amina?secret={totp}&issuer=River%20%26%20West"


@pytest.mark.parametrize("wrong", ["", "AAAA", "é", "\udcff", "x" * 9000])
def test_what_was_sealed_for_a_form_is_good_for_that_form_alone(people: People, wrong: str) -> None:
    _, sealed = pending_totp(people.world, SECRET, "amina", "one session")
    for handle, session_id, text in (
        ("ben", "one session", sealed),
        ("amina", "another", sealed),
        ("amina", "one session", wrong),
        ("amina", "one session", sealed[:-8] + "AAAAAAA="),
    ):
        with pytest.raises(BadInput):
            pending_secret(people.world, SECRET, handle, session_id, text)
    for turned in (-1, PENDING_SECONDS + 2):
        people.clock.turn(turned)
        with pytest.raises(BadInput):
            pending_secret(people.world, SECRET, "amina", "one session", sealed)


# What a refusal tells


@pytest.fixture
def everybody(people: People) -> People:
    """Accounts of every kind."""
    people.add("amina")
    people.add("ben", totp=True)
    people.add("chi", password=None)
    people.add("dia", totp=True)
    people.add("eli")
    new_recovery_codes(people.database, people.world, SECRET, "eli")
    disable_account(people.database, people.world, "dia")
    return people


ATTEMPTS = {
    "an unknown handle": ("nobody", PASSWORD, ""),
    "no handle": ("", "", ""),
    "no handle at all": ("x" * 5000, "y" * 5000, "z" * 5000),
    "a wrong password": ("amina", "another password", ""),
    "an empty password": ("amina", "", ""),
    "an account without a password": ("chi", PASSWORD, ""),
    "an account without a password, as nobody": ("chi", "the password of no account", ""),
    "nobody's password": ("nobody", "the password of no account", ""),
    "a closed account": ("dia", PASSWORD, "000000"),
    "a code that is lacking": ("ben", PASSWORD, ""),
    "a wrong code": ("ben", PASSWORD, "000000"),
    "a wrong password where a code is asked for": ("ben", "another password", "000000"),
    "a wrong password with recovery codes": ("eli", "another password", "aaaa-aaaa-aaaa-aaaa"),
    "a long password that begins right": ("amina", PASSWORD + "x" * 2000, ""),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_every_refusal_says_the_same_after_the_same_work(
    everybody: People, hasher: QuickHasher, attempt: tuple[str, str, str]
) -> None:
    """One hash is verified, none is made, three codes are made, one statement is read and nothing is written."""
    import pyotp

    said, made = [], []
    made_as = pyotp.TOTP.generate_otp

    def counted(app: pyotp.TOTP, step: int) -> str:
        made.append(step)
        return made_as(app, step)

    def noted(*statement: Any) -> None:
        said.append(str(statement[2]).split()[0])

    hasher.verified = hasher.hashed = 0
    engines = (everybody.database.engine, everybody.database._reading)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", noted)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(pyotp.TOTP, "generate_otp", counted)
            assert refused(everybody, *attempt) == REFUSED
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", noted)
    assert (hasher.verified, hasher.hashed, len(made)) == (1, 0, 3)
    assert [each for each in said if each not in ("BEGIN", "SET")] == ["SELECT"]


def test_a_hash_of_less_cost_is_made_anew_when_its_owner_comes(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    people.add("amina")
    (before,) = rows(people.database, "SELECT password FROM account")[0]
    people.enter("amina")
    assert rows(people.database, "SELECT password FROM account") == [(before,)]
    monkeypatch.setattr(accounts, "HASHER", QuickHasher(time_cost=2))
    refused(people, "amina", "another password")
    assert rows(people.database, "SELECT password FROM account") == [(before,)]
    people.enter("amina")
    (after,) = rows(people.database, "SELECT password FROM account")[0]
    assert after != before
    assert "t=2" in after
    people.enter("amina")


def test_a_password_that_was_changed_while_it_was_checked_opens_nothing(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new password comes between the check of the old one and the beginning of the session."""
    people.add("amina")

    class Slow(QuickHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            right = super().verify(hash, password)
            fresh = accounts.hashed("another horse, another battery")
            with people.database.write() as connection:
                connection.exec_driver_sql(f"UPDATE account SET password = '{fresh}'")
            return right

    monkeypatch.setattr(accounts, "HASHER", Slow())
    assert refused(people, "amina") == REFUSED
    assert rows(people.database, "SELECT count(*) FROM login_session") == [(0,)]
