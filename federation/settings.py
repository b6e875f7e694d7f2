"""One frozen `Settings`, read once and passed down: flag > `FEDERATION_*` > `federation.toml` > default.

An unknown key, in the file or the environment, is an error: a misspelt protection must not fall back to a default.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from federation.errors import SettingsInvalid

PREFIX = "FEDERATION_"
FILE_NAME = "federation.toml"

Scope = Literal["local", "subnational", "national", "regional", "international"]


class Settings(BaseSettings):
    """What an operator can set. Every field is documented in docs/settings.md, which a test keeps whole."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX)

    home: Path = Field(description="the node's home directory: settings, keys, database")
    name: str = Field(min_length=1, max_length=200, description="the network's name as peers see it")
    url: str = Field(description="the node's public address; also the issuer of its tokens")
    scope: Scope = Field(description="local, subnational, national, regional or international")
    database_url: str | None = Field(None, description="SQLAlchemy URL of PostgreSQL; none is SQLite in the home")
    database_key: SecretStr | None = Field(None, description="passphrase that encrypts the SQLite file whole")
    public_scopes: frozenset[str] = Field(frozenset(), description="scopes of the anonymous viewer; `:open` only")
    place_k: int = Field(3, ge=1, le=1000, description="a place with fewer networks than this is shown coarser")
    federation_public: bool = Field(False, description="tell everybody this node's name, its superiors and its marks")
    max_hops: int = Field(2, ge=1, le=5, description="how many nodes an own record's path may hold")
    allow_private_peers: tuple[str, ...] = Field((), description="private address ranges that peers may have (CIDR)")
    ca_file: Path | None = Field(None, description="PEM file of authorities for peers' TLS, instead of the built-in")
    onion_proxy: str | None = Field(
        None, description="SOCKS 5 proxy for peers at .onion addresses, like Tor's 127.0.0.1:9050; none is: not reached"
    )
    exchange_interval: int = Field(300, ge=1, le=86400, description="seconds between two pulls from a peer")
    sweep_interval: int = Field(60, ge=1, le=3600, description="seconds between two runs of the sweeper")
    statement_seconds: float = Field(5.0, gt=0, le=120, description="time limit of one statement for a reader")
    ledger_days: int = Field(365, ge=30, description="how long the ledger says who was shown what, in days")
    journal_days: int = Field(90, ge=1, description="how long the journal of changes is kept, in days")
    served_days: int | None = Field(
        None, ge=1, description="how long it is kept what was served to peers, in days; none is as `ledger_days`"
    )
    backup_days: int = Field(14, ge=0, description="how long the copy made before a migration is kept, in days")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="proxies in front of the node (CIDR); what they say about who asks is believed"
    )
    limits_url: str | None = Field(
        None,
        description="where processes share their counts of requests: `database`, or a Valkey server (valkey://…); none "
        "is: each counts its share for itself",
    )
    anonymous_per_minute: int = Field(
        1200, ge=10, le=1_000_000, description="requests a minute of one address without a token"
    )
    client_per_minute: int = Field(
        3000, ge=10, le=1_000_000, description="requests a minute of one client, token or account"
    )
    peer_per_minute: int = Field(1200, ge=10, le=1_000_000, description="requests a minute of one peer")
    failures_per_minute: int = Field(
        600, ge=10, le=1_000_000, description="credentials a minute from one address that are not accepted"
    )
    guesses_per_hour: int = Field(
        300,
        ge=5,
        le=1_000_000,
        description="wrong codes an hour from one address: of invitations, registrations, links",
    )
    logins_per_hour: int = Field(
        20, ge=8, le=100_000, description="logins an hour to one account from one address; other limits follow it"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: it has read file, environment and flags, and knows their origins."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("url")
    @classmethod
    def _plain_origin(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")) or value.count("/") != 2 or "@" in value:
            raise ValueError("must be a bare origin like https://node.example, with no path and no final slash")
        return value

    @field_validator("public_scopes")
    @classmethod
    def _only_open(cls, value: frozenset[str]) -> frozenset[str]:
        if wider := sorted(scope for scope in value if not scope.endswith(":open")):
            raise ValueError(f"may hold `:open` scopes only, not {', '.join(wider)}")
        return value

    @field_validator("allow_private_peers", "trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            ipaddress.ip_network(item)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """A range that holds everybody would let everybody say who they are."""
        if wide := [item for item in value if ipaddress.ip_network(item).prefixlen < 8]:
            raise ValueError(f"{wide[0]} is no range of proxies: whoever is in it may say who asks")
        return value

    @field_validator("limits_url")
    @classmethod
    def _known_storage(cls, value: str | None) -> str | None:
        if value not in (None, "database") and not value.startswith(("valkey://", "valkeys://", "valkey+unix://")):
            raise ValueError("must be `database` or valkey://HOST:PORT")
        return value

    @field_validator("onion_proxy")
    @classmethod
    def _proxy_by_number(cls, value: str | None) -> str | None:
        """A name would be asked of a resolver, which is what the proxy is there to avoid."""
        if value is None:
            return value
        host, _, port = value.rpartition(":")
        try:
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            if not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
                raise ValueError
        except ValueError:
            raise ValueError("must be a numeric address and a port, like 127.0.0.1:9050") from None
        return value

    @model_validator(mode="after")
    def _key_needs_sqlite(self) -> Settings:
        if self.database_url and not self.database_url.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("database_url must be postgresql://…; leave it out for SQLite in the home")
        if self.database_url and self.database_key:
            raise ValueError("database_key encrypts SQLite; with PostgreSQL use an encrypted volume")
        return self

    @property
    def effective_database_url(self) -> str:
        """The database's SQLAlchemy URL: PostgreSQL where set, else `node.db` in the home."""
        return self.database_url or f"sqlite:///{self.home / 'node.db'}"

    @property
    def audience(self) -> str:
        """The resource that tokens of this node are for."""
        return f"{self.url}/graphql"

    @property
    def policy_file(self) -> Path:
        """The operator's policy file; it may be missing, then the defaults hold."""
        return self.home / "policy.toml"


def _from_file(home: Path) -> dict[str, Any]:
    path = home / FILE_NAME
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise SettingsInvalid(f"{path} does not exist; make a node home with `federation init`.") from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise SettingsInvalid(f"{path} is not valid TOML: {broken}.") from broken


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, text in environment.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX).lower()
        if name == "home":  # where to look, not what is found there: the command line reads it
            continue
        if name not in Settings.model_fields:
            raise SettingsInvalid(f"The environment variable {key} is no setting; see `federation config show`.")
        listed = name in ("public_scopes", "allow_private_peers", "trusted_proxies")
        values[name] = [part for part in text.replace(",", " ").split() if part] if listed else text
    return values


def load_settings(
    home: Path, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """The settings of the node at `home`, and for each where it came from (`flag`, `environment`, `file`, `default`).

    Raises SettingsInvalid, naming the setting and where it stands, for an unknown key or a value not understood.
    """
    return _gathered(home, _from_file(home), flags or {}, os.environ if environment is None else environment)


def planned_settings(home: Path, values: Mapping[str, Any]) -> Settings:
    """The settings that the node at `home` will have once its file holds these values. Raises SettingsInvalid."""
    return _gathered(home, values, {}, os.environ)[0]


def _gathered(
    home: Path, in_file: Mapping[str, Any], flags: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    sources = (
        ("file", in_file),
        ("environment", _from_environment(environment)),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    )
    values: dict[str, Any] = {"home": home}
    origins = dict.fromkeys(Settings.model_fields, "default") | {"home": "flag"}
    for source, found in sources:
        for name, value in found.items():
            if name not in Settings.model_fields or name == "home":
                raise SettingsInvalid(f"`{name}` ({source}) is no setting; see `federation config show`.")
            values[name] = value
            origins[name] = source
    return checked(values, origins), origins


def checked(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """The settings of these values. Raises SettingsInvalid with the first that is not understood and its origin; the
    value itself, which may be a secret, is not repeated."""
    try:
        return Settings(**values)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsInvalid(f"`{name}` ({origins.get(name, 'file')}): {first['msg']}.") from None


def write_settings(home: Path, values: Mapping[str, Any]) -> None:
    """Writes the settings file of a new home, for its owner alone, whole or not at all. Raises FileExistsError rather
    than overwrite."""
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())
    fresh = home / f".{FILE_NAME}.{os.getpid()}.new"
    try:
        with open(fresh, "x", encoding="utf-8") as file:
            os.chmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, home / FILE_NAME)  # unlike rename, a link never replaces what another process has just made
    finally:
        fresh.unlink(missing_ok=True)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(char if char >= " " else f"\\u{ord(char):04x}" for char in escaped) + '"'
    return "[" + ", ".join(_toml(item) for item in value) + "]"
