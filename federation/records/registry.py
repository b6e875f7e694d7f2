"""All record types, and their pure description for the policies. The only list of types in the project."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from federation.policies.catalogue import Catalogue, FieldRules, TypeRules
from federation.records.base import RecordType, record_type
from federation.records.capacity_offer import CapacityOffer
from federation.records.common import Common
from federation.records.convening import Convening
from federation.records.field_visit import FieldVisit
from federation.records.funding_call import FundingCall
from federation.records.need import Need
from federation.records.network import Network
from federation.records.notice import Notice
from federation.records.practice import Practice
from federation.records.resource import Resource
from federation.records.space import Space

_STATED = (
    Network,
    Resource,
    CapacityOffer,
    FundingCall,
    Need,
    Convening,
    FieldVisit,
    Practice,
    Notice,
    Space,
)

RECORD_TYPES: Mapping[str, RecordType] = MappingProxyType(
    {built.key: built for built in (record_type(stating, Common) for stating in _STATED)}
)
"""Every record type by its key, in the order of the exchange's type index: append, never reorder."""

OPPORTUNITIES = ("resource", "capacityOffer", "fundingCall", "convening", "fieldVisit")
"""What a partner or defender looks for; of the last two only those with open places."""

OPEN_PLACES: Mapping[str, str] = MappingProxyType({"convening": "newcomer_places", "fieldVisit": "open_places"})
"""The field that says whether a convening or visit has open places (at least 1)."""


def catalogue() -> Catalogue:
    """The description of all types that the policies work on: fields and steps with their default tiers."""
    return Catalogue(
        types=MappingProxyType(
            {
                key: TypeRules(
                    key=key,
                    fields=MappingProxyType(
                        {
                            name: FieldRules(
                                name=name,
                                common=spec.common,
                                steps=tuple((step.name, step.tier) for step in spec.steps),
                                tells_of=spec.tells_of,
                            )
                            for name, spec in each.fields.items()
                        }
                    ),
                    relayable=each.relayable,
                )
                for key, each in RECORD_TYPES.items()
            }
        )
    )
