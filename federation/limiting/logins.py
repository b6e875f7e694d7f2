"""How often a password may be tried: by whom, for which account, and by all together.

Nobody can lock a steward out for good: a device that an account was entered from has an allowance of its own, which no
stranger uses up. Why it is so stands in docs/decisions/0012.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from itertools import starmap

from federation.limiting.asking import Standing
from federation.limiting.counting import DAY, HOUR, MINUTE, Counter, allow

DEVICE_DAYS = 90
_MOST_TEXT = 256


class LoginLimits:
    """The tries of passwords at one node.

    `counter` outlives the process; `secret` is the node's own, so that the storage holds neither addresses nor handles
    and nobody else makes a device's mark; `hourly` tries an hour has one account from one address. `clock` gives
    seconds since 1970, `draw` sixteen bytes of chance for a subject.

    Ask `may_try` before a password (or a second factor) is looked at: it counts the try, so that many at one moment
    cannot pass together. Say `succeeded` afterwards where it was right. All wait for the database: call them in a
    thread.
    """

    def __init__(
        self,
        counter: Counter,
        secret: bytes,
        hourly: int,
        clock: Callable[[], float],
        draw: Callable[[str], bytes],
    ) -> None:
        self._counter = counter
        self._secret = hmac.digest(secret, b"login limits", "sha256")
        self._clock = clock
        self._draw = draw
        few = (hourly // 4, MINUTE), (hourly, HOUR), (hourly * 3, DAY)
        self._pair = allow("logins", *few)
        self._device = allow("logins", *few)
        self._address = allow("logins", (hourly, MINUTE), (hourly * 5, HOUR))
        self._account = allow("logins", (hourly * 5, HOUR), (hourly * 20, DAY))
        self._strangers = allow("logins", (hourly * 3, MINUTE))

    def may_try(self, address: str, handle: str, device: str | None = None) -> None:
        """Counts a try for an account from an address; `device` is the mark that its browser brought, if any.

        Raises RateLimited, alike for accounts that there are and that there are not. A device that is known for this
        account is counted by itself alone; a try that names no account (a passkey) by its address.
        """
        if (known := self._known(handle, device)) is not None:
            self._counter.take(self._device, self._blind("device", known)).check()
            return
        if not handle:
            self._counter.take(self._address, self._blind("address", address)).check()
            return
        self._counter.look(self._strangers, "all").check()  # before anything is written for one more stranger
        counts = (
            (self._address, self._blind("address", address)),
            (self._pair, self._blind("pair", address, handle)),
            (self._account, self._blind("account", handle)),
            (self._strangers, "all"),
        )
        for allowance, key in counts:
            standing = self._counter.take(allowance, key)
            if not standing.allowed:
                spent = [each for each in starmap(self._counter.look, counts) if not each.allowed]
                max((standing, *spent), key=lambda each: each.seconds).check()

    def may_confirm(self, session: str) -> None:
        """Counts a try of the password by somebody who is logged in, by the session alone. Raises RateLimited."""
        self._counter.take(self._device, self._blind("session", session)).check()

    def succeeded(self, address: str, handle: str, device: str | None = None) -> str:
        """The password was right: forgets the tries of this account from here, and gives the device's new mark, to be
        kept by the browser for DEVICE_DAYS at most."""
        self._counter.forget(self._pair, self._blind("pair", address, handle))
        if (known := self._known(handle, device)) is not None:
            self._counter.forget(self._device, self._blind("device", known))
        now = int(self._clock())
        body = now.to_bytes(6, "big") + self._draw(f"{handle} {now}")[:10]
        return base64.urlsafe_b64encode(body + self._mark(handle, body)).decode()

    def knows(self, handle: str, device: str | None) -> bool:
        """Whether a mark is of a device from which this account was entered within DEVICE_DAYS."""
        return self._known(handle, device) is not None

    def standing(self, address: str, handle: str) -> Standing:
        """How an account stands from an address, without counting."""
        return self._counter.look(self._pair, self._blind("pair", address, handle))

    def _known(self, handle: str, device: str | None) -> str | None:
        if device is None or len(device) > _MOST_TEXT:
            return None
        try:
            raw = base64.b64decode(device.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, mark = raw[:16], raw[16:]
        if not hmac.compare_digest(mark, self._mark(handle, body)):
            return None
        age = self._clock() - int.from_bytes(body[:6], "big")
        return body.hex() if -DAY <= age <= DEVICE_DAYS * DAY else None

    def _mark(self, handle: str, body: bytes) -> bytes:
        return hmac.digest(self._secret, b"device\0" + handle.encode() + b"\0" + body, "sha256")[:20]

    def _blind(self, *parts: str) -> str:
        """What stands in the storage for an address or a handle."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]
