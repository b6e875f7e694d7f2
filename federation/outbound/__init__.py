"""Everything that this node asks of other machines leaves through the one client here."""

from federation.outbound.addresses import AddressRefused, AddressRule, Unreachable, checked_url, is_public
from federation.outbound.client import (
    MAX_BYTES,
    AnswerRefused,
    Outbound,
    Response,
    StreamedResponse,
    lines,
    retry_after,
)

__all__ = [
    "MAX_BYTES",
    "AddressRefused",
    "AddressRule",
    "AnswerRefused",
    "Outbound",
    "Response",
    "StreamedResponse",
    "Unreachable",
    "checked_url",
    "is_public",
    "lines",
    "retry_after",
]
