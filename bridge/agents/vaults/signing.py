"""Having the group sign what its vault is to do: pay, send back, give up, and what limits to keep."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from adapters.evm.lockbox.messages import Messages, proof
from bridge import vault_books
from bridge.agents.office import Apart, Office
from bridge.agents.post import SIGNED_FOR_VAULT, post
from bridge.agents.vaults.outpost import Outpost
from bridge.agents.vaults.wanted import Wanted, is_done, wanted_of
from bridge.codec import decode, encode
from bridge.cosigner import NotOurGroup
from bridge.directory import EvmOrigin
from bridge.messages import SharedSignature
from bridge.refusals import MalformedProposal, NotYet
from bridge.storage import JourneyEntry, UnitOfWork, VaultSignatureRow, View
from bridge.vault_requests import VaultRequest
from mpc.transport import Received

_LOG: Final = structlog.get_logger(__name__)
_SIGN_SECONDS: Final = 20.0
_AT_ONCE: Final = 8


class SignForVaults:
    """The coordinator's part, and the answer to other coordinators' results."""

    name = "sign for vaults"

    def __init__(self, office: Office) -> None:
        self._office = office

    async def run(self) -> bool:
        """Have signed what the vaults wait for, when it is this node's turn."""
        waits = False
        apart = Apart()
        for chain, origin in list(self._office.directory.origins.items()):
            # The Registry may name a vault before this node follows it, and vaults that it does not serve at all.
            outpost = self._office.outposts.get(chain)
            if outpost is None or self._office.identity.host_key not in self._members(origin):
                continue
            wanted, messages = await self._missing(origin, outpost)
            waits = waits or bool(wanted)
            mine = [w for w in wanted if self._office.is_turn(self._members(origin), subject=w.subject)]
            for start in range(0, len(mine), _AT_ONCE):
                batch = [self._sign(origin, messages, item) for item in mine[start : start + _AT_ONCE]]
                for result in await asyncio.gather(*batch, return_exceptions=True):
                    with apart:
                        if isinstance(result, BaseException):
                            raise result
        apart.end()
        return waits

    def _members(self, origin: EvmOrigin) -> tuple[bytes, ...]:
        group = self._office.directory.groups.get(origin.vault.group)
        return () if group is None else tuple(member.host_key for member in group.members)

    async def _missing(self, origin: EvmOrigin, outpost: Outpost) -> tuple[list[Wanted], Messages]:
        """What is to be signed and is not yet."""
        async with self._office.database.view() as view:
            messages = await vault_books.messages(view, origin)
            give_back_ms = int(outpost.section.give_back_after_seconds * 1000)
            wanted = await wanted_of(view, self._office.context, origin, messages.epoch, give_back_ms)
            known = [await view.vault_signatures.get(item.request.message(messages)) for item in wanted]
        return [item for item, row in zip(wanted, known, strict=True) if row is None], messages

    async def _sign(self, origin: EvmOrigin, messages: Messages, wanted: Wanted) -> None:
        """Have the group sign one request, keep the signature and tell the other members.

        Raises:
            SigningRefused, SigningTimeout, and what this node's own check refuses with.
        """
        group, request = origin.vault.group, wanted.request
        signed = await self._office.cluster.sign_together(group, request.kind, request.body, _SIGN_SECONDS)
        shared = SharedSignature(group, request.kind, request.body, signed.signatures[0], list(signed.signers))
        row = self._row(origin, messages, wanted, shared)
        others = [peer for peer in self._members(origin) if peer != self._office.identity.host_key]
        async with self._office.database.unit() as uow:
            await self._keep(uow, origin, row, wanted, shared)
            await post(uow, SIGNED_FOR_VAULT, row.message.hex(), encode(shared), others, self._office.clock())
            await uow.commit()
        _LOG.info("signed for a vault", kind=request.kind, chain=origin.chain.caip2, subject=wanted.subject.hex())
        self._office.changed.set()

    async def on_signature(self, received: Received) -> bytes:
        """Take what the group has signed: the signature is checked, and that it is for something this node waits for.

        What is over here is not kept, and not refused either: its sender would bring it again and again.
        """
        shared = decode(received.body, SharedSignature, "signature")
        request = VaultRequest.decoded(shared.kind, shared.body)
        origin = self._office.directory.origins.get(request.chain)
        if origin is None or received.sender not in self._members(origin) or shared.group != origin.vault.group:
            raise NotOurGroup(shared.group)
        async with self._office.database.view() as view:
            messages = await vault_books.messages(view, origin)
            if request.proposal.epoch < messages.epoch or await is_done(view, request.chain, shared.kind, shared.body):
                return b""
            if request.proposal.epoch != messages.epoch:
                raise MalformedProposal("epoch", f"the vault's key is of epoch {messages.epoch}")
            wanted = await self._named(view, origin, messages, request)
        row = self._row(origin, messages, wanted, shared)
        async with self._office.database.unit() as uow:
            await self._keep(uow, origin, row, wanted, shared)
            await uow.commit()
        self._office.changed.set()
        return b""

    async def _named(self, view: View, origin: EvmOrigin, messages: Messages, request: VaultRequest) -> Wanted:
        """What of that this node waits for the request is. Raises `NotYet` where it waits for nothing like it."""
        give_back_ms = 0  # the group has decided: how long it waited is not asked again
        message = request.message(messages)
        for item in await wanted_of(view, self._office.context, origin, messages.epoch, give_back_ms):
            if item.request.message(messages) == message:
                return item
        raise NotYet("what the vault is to do")

    def _row(self, origin: EvmOrigin, messages: Messages, wanted: Wanted, shared: SharedSignature) -> VaultSignatureRow:
        """The row of a signature. Raises `BadSignature` where it is not the vault's group's over this message."""
        message = wanted.request.message(messages)
        checked = proof(shared.signature, self._office.directory.key(origin.vault.group), message)
        return VaultSignatureRow(
            message,
            origin.chain.id,
            messages.epoch,
            shared.kind,
            wanted.subject,
            shared.body,
            checked.rx,
            checked.s,
            checked.ry,
            self._office.clock(),
        )

    async def _keep(
        self, uow: UnitOfWork, origin: EvmOrigin, row: VaultSignatureRow, wanted: Wanted, shared: SharedSignature
    ) -> None:
        if await uow.vault_signatures.get(row.message) is not None:
            return
        await uow.vault_signatures.add(row)
        members = self._members(origin)
        places = [index for index in sorted(shared.signers) if index < len(members)]
        names = ", ".join(self._office.directory.name_of(members[index]) for index in places)
        now = self._office.clock()
        found = await uow.transfers.get_many(wanted.transfers)
        text = f"{wanted.text} signed by {names}"
        await uow.journey.append(*(JourneyEntry(id_, now, transfer.stage, text) for id_, transfer in found.items()))
