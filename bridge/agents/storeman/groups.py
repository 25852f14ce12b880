"""Making a new group's key, and putting it on the native chain with the proof that the group can sign."""

from __future__ import annotations

from typing import Final

import structlog

from adapters.native.errors import AlreadyActivated, ProposalSuperseded
from adapters.native.proofs import group_proof
from bridge.agents.office import Office, send_call
from bridge.agents.storeman.cosigning import Cosigning
from bridge.messages import ConfirmKey
from registry.groups import Group, GroupStatus

_LOG: Final = structlog.get_logger(__name__)
_TURNS: Final = 5
"""Key generation takes longer than a slot, and two at once disturb each other."""


class CreateGroup:
    """Runs where this node is a member of the newest proposal."""

    name = "group"

    def __init__(self, office: Office, cosigning: Cosigning) -> None:
        self._office = office
        self._cosigning = cosigning
        self._over: set[bytes] = set()

    async def run(self) -> bool:
        """Make the key when it is this node's turn."""
        proposed = [g for g in self._office.directory.groups.values() if g.status is GroupStatus.PROPOSED]
        mine = [g for g in proposed if g.index_of(self._office.account) is not None and g.id not in self._over]
        if not mine:
            return False
        for group in {group.chain: group for group in mine}.values():  # a chain's latest alone can be activated
            members = tuple(member.host_key for member in group.members)
            if self._office.is_turn(members, _TURNS):
                await self._create(group, members)
        return True

    async def _create(self, group: Group, members: tuple[bytes, ...]) -> None:
        attempt = self._office.clock() // (self._office.slot_ms * _TURNS) % 2**31
        key = await self._office.cluster.create_group(group.id, members, group.threshold, attempt)
        xonly = key.thresh_pk[-32:]
        digest = self._office.native.registry_digests.group_key(group.id, group.epoch, xonly)
        asked = ConfirmKey(group.id, group.epoch, xonly)
        confirmations = await self._cosigning.confirm_key(group, asked, digest)
        message = self._office.native.group_proof_message(group.id, group.epoch, xonly)
        proof = group_proof(key.proof, xonly, message)
        indexed = [(self._index(group, account), confirmations[account]) for account in sorted(confirmations)]
        call = self._office.native.calls.activate_group(group.id, xonly, proof, indexed)
        try:
            await send_call(self._office.sender, "activate", group.id, call)
        except (AlreadyActivated, ProposalSuperseded) as error:
            _LOG.info("the group is decided", group=group.id.hex(), reason=str(error))
        self._over.add(group.id)
        _LOG.info("the group has its key", group=group.id.hex(), key=xonly.hex())

    @staticmethod
    def _index(group: Group, account: bytes) -> int:
        index = group.index_of(account)
        assert index is not None, "confirmations are by members"
        return index
