"""Gathering the co-signatures of a threshold of storemen for the native contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from adapters.native.eip712 import BadSignature, recover
from bridge.agents.office import Office, gather_some
from bridge.codec import decode, encode
from bridge.cosigner import Cosigner
from bridge.messages import CONFIRM_KEY, COSIGN, ConfirmKey, Cosign, Cosignature, Proposal
from foundation.errors import Fatal, Retryable
from registry.groups import Group

_LOG: Final = structlog.get_logger(__name__)
_ANSWER_SECONDS: Final = 3.0


class TooFewCosignatures(Retryable):
    """Fewer storemen than needed co-sign now. Fields: have, needed, reasons (of those who did not)."""

    def __init__(self, have: int, needed: int, reasons: tuple[str, ...]) -> None:
        self.have = have
        self.needed = needed
        self.reasons = reasons
        why = "; ".join(reasons) if reasons else "the others do not answer"
        super().__init__(f"{have} of {needed} storemen co-sign: {why}")


class WrongCosignature(Fatal):
    """A storeman answered with a signature that is not its own over what was proposed. Fields: account."""

    def __init__(self, account: bytes) -> None:
        self.account = account
        super().__init__(f"storeman 0x{account.hex()} answered with a wrong signature")


class Cosigning:
    """Asks all members of a group at once, this node among them."""

    def __init__(self, office: Office, cosigner: Cosigner) -> None:
        self._office = office
        self._cosigner = cosigner

    async def cosign(self, group: Group, proposal: Proposal, digest: bytes) -> dict[bytes, bytes]:
        """Signatures by account, at least the group's threshold of them.

        This node checks first: what it would refuse itself, it does not propose.

        Raises:
            Refused, NotYet: this node's own check. TooFewCosignatures: ask again later.
        """
        own = await self._cosigner.cosign(self._office.identity.host_key, proposal)
        body = encode(Cosign(proposal))
        return await self._gather(group, COSIGN, body, digest, own, group.threshold)

    async def confirm_key(self, group: Group, asked: ConfirmKey, digest: bytes) -> dict[bytes, bytes]:
        """The confirmations of all members of a new group. Raises as `cosign`."""
        own = self._cosigner.confirm_key(asked)
        return await self._gather(group, CONFIRM_KEY, encode(asked), digest, own, len(group.members))

    async def _gather(
        self, group: Group, kind: str, body: bytes, digest: bytes, own: bytes, needed: int
    ) -> dict[bytes, bytes]:
        others = [m for m in group.members if m.account != self._office.account]

        async def ask(account: bytes, host_key: bytes) -> tuple[bytes, bytes]:
            answer = await self._office.peers.request(host_key, kind, body, _ANSWER_SECONDS)
            signature = decode(answer, Cosignature, "answer").signature
            if not _is_by(account, digest, signature):
                _LOG.warning("a wrong co-signature", storeman=self._office.directory.name_of(account))
                raise WrongCosignature(account)
            return account, signature

        asked = [ask(member.account, member.host_key) for member in others]
        results, errors = await gather_some(asked, needed - 1)
        signatures: Mapping[bytes, bytes] = {self._office.account: own, **dict(results)}
        if len(signatures) < needed:
            raise TooFewCosignatures(len(signatures), needed, tuple(sorted({str(e) for e in errors})))
        return dict(signatures)


def _is_by(account: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return recover(digest, signature) == account
    except BadSignature:
        return False
