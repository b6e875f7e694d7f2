"""Settings: where each came from, and that nothing misspelt passes."""

from pathlib import Path

import pytest

from federation.errors import SettingsInvalid
from federation.settings import load_settings

FILE = 'name = "River"\nurl = "https://river.example"\nscope = "local"\n'


LIMITS = (
    "anonymous_per_minute",
    "client_per_minute",
    "peer_per_minute",
    "failures_per_minute",
    "guesses_per_hour",
    "logins_per_hour",
)


def home(tmp_path: Path, text: str = FILE) -> Path:
    (tmp_path / "federation.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    at = home(tmp_path, FILE + "place_k = 4\nmax_hops = 3\n")
    settings, origins = load_settings(
        at, {"place_k": 6}, {"FEDERATION_PLACE_K": "5", "FEDERATION_MAX_HOPS": "4", "PATH": "/bin"}
    )
    assert (settings.place_k, origins["place_k"]) == (6, "flag")
    assert (settings.max_hops, origins["max_hops"]) == (4, "environment")
    assert (settings.name, origins["name"]) == ("River", "file")
    assert (settings.ledger_days, origins["ledger_days"]) == (365, "default")


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        (FILE + "plase_k = 1\n", {}, "plase_k"),
        (FILE, {"FEDERATION_PLASE_K": "1"}, "FEDERATION_PLASE_K"),
        (FILE + "place_k = 0\n", {}, "place_k"),
        (FILE.replace("https://river.example", "https://river.example/"), {}, "bare origin"),
        (FILE + 'public_scopes = ["resource:partner"]\n', {}, "resource:partner"),
        (FILE + 'database_url = "mysql://x"\n', {}, "postgresql"),
        (FILE + 'allow_private_peers = ["10.0.0.1/8"]\n', {}, "allow_private_peers"),
        (FILE + 'trusted_proxies = ["0.0.0.0/0"]\n', {}, "trusted_proxies"),
        (FILE + 'trusted_proxies = ["::/3"]\n', {}, "trusted_proxies"),
        (FILE + 'trusted_proxies = ["caddy"]\n', {}, "trusted_proxies"),
        (FILE + 'limits_url = "redis://127.0.0.1"\n', {}, "limits_url"),
        (FILE + 'limits_url = ""\n', {}, "limits_url"),
        *((FILE + f"{name} = {value}\n", {}, name) for name in LIMITS for value in (0, -1, 4, 10**9)),
        (FILE + 'onion_proxy = "localhost:9050"\n', {}, "onion_proxy"),
        (FILE + 'onion_proxy = "127.0.0.1"\n', {}, "onion_proxy"),
        (FILE + 'onion_proxy = "127.0.0.1:0"\n', {}, "onion_proxy"),
        (FILE + 'onion_proxy = "socks5h://127.0.0.1:9050"\n', {}, "onion_proxy"),
        ("name = ", {}, "not valid TOML"),
    ],
)
def test_what_is_not_understood_stops_with_its_name(
    tmp_path: Path, text: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        load_settings(home(tmp_path, text), {}, environment)


def test_a_missing_file_says_how_to_make_a_home(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="federation init"):
        load_settings(tmp_path, {}, {})


def test_a_bad_value_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(home(tmp_path, FILE + 'database_key = ["hunter2"]\n'), {}, {})
    assert "hunter2" not in str(caught.value)


def test_lists_from_the_environment_are_split_at_commas_and_spaces(tmp_path: Path) -> None:
    settings, _ = load_settings(home(tmp_path), {}, {"FEDERATION_PUBLIC_SCOPES": "resource:open, notice:open"})
    assert settings.public_scopes == {"resource:open", "notice:open"}
