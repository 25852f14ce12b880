"""A member of the network that is run by a test: it has a real node's keys, and does what it likes with them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.bitcoin.transactions import UnsignedTx
from adapters.native.eip712 import sign_digest
from bridge.codec import decode, encode
from bridge.messages import (
    ATTESTATIONS,
    COSIGN,
    TRANSACTION,
    Attestation,
    Attestations,
    Claim,
    Cosign,
    PlainOutpoint,
    PlainOutput,
    Proposal,
    SharedTransaction,
    Taken,
    TransactionProposal,
    claim_digest,
)
from bridge.vault_requests import VaultProposal
from mpc import messages, signer_service
from mpc.cluster_errors import PeerRefused
from mpc.messages import Invite, Offer
from mpc.ports import Peer
from mpc.signing_run import INVITE
from mpc.transport import PeerNetwork
from tests.support.bridge_network import BridgeNetwork, BridgeNode

ANSWER_S = 10.0


class Everyone:
    """All nodes of a network as peers."""

    def __init__(self, nodes: Sequence[BridgeNode]) -> None:
        members = [node.member for node in nodes]
        self._peers = {m.host_key: Peer(m.host_key, m.transport_key, m.endpoint) for m in members}

    def peer(self, host_key: bytes) -> Peer | None:
        return self._peers.get(host_key)

    def is_registered(self, transport_key: bytes) -> bool:
        return any(peer.transport_key == transport_key for peer in self._peers.values())

    def peers(self) -> Sequence[Peer]:
        return tuple(self._peers.values())


@dataclass(frozen=True, slots=True)
class Dishonest:
    """Speaks with a stopped node's keys."""

    net: BridgeNetwork
    node: BridgeNode
    network: PeerNetwork
    group: bytes

    @classmethod
    @contextlib.asynccontextmanager
    async def instead_of(cls, net: BridgeNetwork, node: BridgeNode) -> AsyncIterator[Dishonest]:
        """Stop `node` and take its place; it starts again afterwards."""
        await node.stop()
        listen = node.settings.node.listen
        async with PeerNetwork(node.identity, net.deployment.network, Everyone(net.nodes), listen) as network:
            yield cls(net, node, network, await net.active_group())
        await node.start()

    async def ask(self, node: BridgeNode, kind: str, body: bytes) -> bytes | PeerRefused:
        """A node's answer, or its refusal."""
        try:
            return await self.network.request(node.member.host_key, kind, body, ANSWER_S)
        except PeerRefused as refusal:
            return refusal

    async def propose(
        self, node: BridgeNode, purpose: str, proposal: TransactionProposal | VaultProposal
    ) -> Offer | str:
        """Ask a storeman to take part in signing: its nonces if it would sign, else the name of its refusal."""
        invite = Invite(secrets.token_bytes(32), self.group, 0, purpose, encode(proposal))
        answer = await self.ask(node, INVITE, messages.encode(invite))
        return answer.error if isinstance(answer, PeerRefused) else messages.decode(answer, Offer)

    async def cosign(self, node: BridgeNode, proposal: Proposal) -> bytes | str:
        """Ask a storeman for a co-signature: the answer, or the name of its refusal."""
        answer = await self.ask(node, COSIGN, encode(Cosign(proposal)))
        return answer.error if isinstance(answer, PeerRefused) else answer

    async def share(self, node: BridgeNode, shared: SharedTransaction) -> bytes | str:
        """Tell a storeman of a transaction that the group is said to have signed."""
        answer = await self.ask(node, TRANSACTION, encode(shared))
        return answer.error if isinstance(answer, PeerRefused) else answer

    async def attest(self, node: BridgeNode, claim: Claim, signature: bytes | None = None) -> bool:
        """Post a claim to a voucher, signed with this node's key or with `signature`; whether it is said to be kept."""
        if signature is None:
            digest = claim_digest(self.net.native.hub_digests, claim)
            signature = sign_digest(self.node.identity.account_secret, digest)
        answer = await self.ask(node, ATTESTATIONS, encode(Attestations([Attestation(claim, signature)])))
        assert isinstance(answer, bytes), answer
        (kept,) = decode(answer, Taken).kept
        return kept


def proposal_of(subject: bytes, transaction: UnsignedTx) -> TransactionProposal:
    """A transaction as it is proposed."""
    inputs = [PlainOutpoint(c.outpoint.txid, c.outpoint.vout) for c in transaction.inputs]
    return TransactionProposal(subject, inputs, [PlainOutput(o.value, o.script) for o in transaction.outputs])


def let_lie(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    """From now on the member with this index makes wrong partial signatures, in whichever session it signs."""
    honest: Callable[..., tuple[bytes, ...]] = signer_service._sign_all

    def sign_all(secnonces: Any, secshare: Any, own: int, sessions: Any) -> tuple[bytes, ...]:
        psigs = honest(secnonces, secshare, own, sessions)
        return tuple(psig[:-1] + bytes([psig[-1] ^ 1]) for psig in psigs) if own == index else psigs

    monkeypatch.setattr(signer_service, "_sign_all", sign_all)
