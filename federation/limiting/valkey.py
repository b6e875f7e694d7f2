"""Counts in a Valkey server, by the library's own storage; its client is an extra of the installation."""

from __future__ import annotations

from typing import Any

from limits.errors import ConfigurationError
from limits.storage import storage_from_string

from federation.errors import SettingsInvalid

PATIENCE_SECONDS = 0.5
"""A server that is slower than this is as good as away: every request would wait for it."""


def valkey_counts(url: str) -> Any:
    """A storage at valkey://HOST:PORT. Raises SettingsInvalid where the client is missing; it connects later."""
    patience = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    try:
        return storage_from_string(url, wrap_exceptions=True, **patience)
    except ConfigurationError:
        raise SettingsInvalid("`limits_url`: the Valkey client is missing; install federation[valkey].") from None
