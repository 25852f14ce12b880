"""ILDCP: how a child node learns its address and asset from its parent. Source: RFC 31 (draft 1)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from foundation.errors import BadInput, Retryable
from foundation.quantities import UnixMs
from settlement.ilp.addresses import Address, address_of
from settlement.ilp.errors import BadPacket, BadRequest
from settlement.ilp.oer import Reader, uint8, var_octets
from settlement.ilp.packets import Fulfill, Prepare, Reject, rejection
from settlement.quantities import Asset, Preimage, Scale, Units, condition_of

DESTINATION: Final = Address("peer.config")
FULFILLMENT: Final = Preimage(bytes(32))
CONDITION: Final = condition_of(FULFILLMENT)
LIFE_MS: Final = 60_000


class ConfigurationRefused(Retryable):
    """The parent gives no configuration now. Fields: code; message (its words)."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"the parent gives no configuration: {code} {message}".rstrip())


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a parent tells its child. Fields: address (the child's own); asset (of packets between the two)."""

    address: Address
    asset: Asset


def request(now: UnixMs) -> Prepare:
    """The packet that asks the parent."""
    return Prepare(Units(0), UnixMs(now + LIFE_MS), CONDITION, DESTINATION, b"")


def is_request(prepare: Prepare) -> bool:
    """Whether a child asks: such a packet is never forwarded."""
    return prepare.destination == DESTINATION


def answer(prepare: Prepare, configuration: Configuration, own_address: Address) -> Fulfill | Reject:
    """A parent's answer to a child's request; `own_address` is the parent's."""
    if not hmac.compare_digest(prepare.condition, CONDITION):
        return rejection(BadRequest("not the condition of a configuration request"), own_address)
    return Fulfill(FULFILLMENT, encode_configuration(configuration))


def read_answer(reply: Fulfill | Reject) -> Configuration:
    """What the parent told.

    Raises:
        ConfigurationRefused: it answered with a Reject.
        BadPacket: its answer is no configuration.
    """
    if isinstance(reply, Reject):
        raise ConfigurationRefused(reply.code, reply.message)
    if not hmac.compare_digest(reply.fulfillment, FULFILLMENT):
        raise BadPacket("fulfillment", "not 32 zeros")
    return decode_configuration(reply.data)


def encode_configuration(configuration: Configuration) -> bytes:
    """Address, scale and code, as DynamicConfigurationResponseData has them."""
    asset = configuration.asset
    return var_octets(configuration.address.encode()) + uint8(asset.scale) + var_octets(asset.code.encode())


def decode_configuration(data: bytes) -> Configuration:
    """The configuration that an answer's data hold; bytes after it are ignored.

    Raises:
        BadPacket: cut off, no address, or no asset.
    """
    reader = Reader(data)
    address = address_of(reader.var_octets())
    if address is None:
        raise BadPacket("address", "no ILP address")
    scale, code = reader.uint8(), reader.var_octets()
    try:
        return Configuration(address, Asset(code.decode(), Scale(scale)))
    except (UnicodeDecodeError, BadInput) as wrong:
        raise BadPacket("asset", "no asset code") from wrong
