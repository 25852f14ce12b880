"""ILDCP (RFC 31), both ways: children are told their address and asset, and our own address is asked of our parent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from settlement.connector.accounts import Account
from settlement.ilp import ildcp
from settlement.ilp.addresses import Address
from settlement.ilp.errors import BadPacket, BadRequest
from settlement.ilp.ildcp import Configuration, ConfigurationRefused
from settlement.ilp.link import Link, Reply
from settlement.ilp.packets import decode_prepare, decode_reply, encode, rejection
from settlement.quantities import Clock

_ANSWER_SECONDS: Final = 10.0


class Configurator:
    """Answers `peer.config`. A `PeerHandler`."""

    def __init__(self, address: Address, accounts: Mapping[str, Account]) -> None:
        self._address = address
        self._accounts = accounts

    def __call__(self, account: str, destination: str, prepare: bytes, reply: Reply) -> None:
        """A child asks for its address and asset; nobody else gets one from us."""
        config = self._accounts[account].config
        address = config.address(self._address)
        if destination != ildcp.DESTINATION or address is None:
            reply(encode(rejection(BadRequest("only children are configured, by peer.config"), self._address)))
            return
        configuration = Configuration(address, config.asset)
        try:
            reply(encode(ildcp.answer(decode_prepare(prepare), configuration, self._address)))
        except BadPacket as error:
            reply(encode(rejection(BadRequest(str(error)), self._address)))


async def ask_parent(link: Link, clock: Clock) -> Configuration:
    """Our own address, and the asset of the account with our parent.

    Raises:
        ConfigurationRefused: the parent does not answer, or refuses.
        LinkDown: the parent is not connected.
    """
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def reply(packet: bytes) -> None:
        if not answered.done():
            answered.set_result(packet)

    link.send(encode(ildcp.request(clock())), reply)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return ildcp.read_answer(decode_reply(await answered))
    except TimeoutError as error:
        raise ConfigurationRefused("R00", "no answer") from error
    except BadPacket as error:
        raise ConfigurationRefused("F01", str(error)) from error
