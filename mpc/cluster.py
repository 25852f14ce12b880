"""The threshold cluster as the rest of the node sees it: make a group's key, sign with it, see who misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from foundation.errors import CausewayError
from mpc import bip340, messages, roast
from mpc.cluster_errors import GroupNotProposed, NotAMember, ShareNotHeld
from mpc.dkg_run import PREFIX, DkgRun
from mpc.dkg_service import DkgService
from mpc.evidence import MALFORMED_ANSWER, Evidence, GroupKey
from mpc.identity import Identity
from mpc.incident_log import LimitedIncidents
from mpc.keystore import KeyShare, Keystore
from mpc.messages import Close, DkgDone, DkgStart, DkgStep, Invite, Round
from mpc.nonce_store import NonceJournal, NonceStore
from mpc.ports import Authorizer, Clock, Culprit, GroupDirectory, Incident, Incidents
from mpc.signer_service import GROUP_PROOF, SignerService, authorize
from mpc.signing_run import CLOSE, INVITE, ROUND, SigningRun
from mpc.standing import after_fault, by_peer, candidates
from mpc.transport import PeerNetwork, Received, wall_clock

_LOG: Final = structlog.get_logger("mpc.cluster")
DKG_TIMEOUT_S: Final = 120.0
PROOF_TIMEOUT_S: Final = 60.0


class Cluster:
    """This node's part in its groups. `start` it before the peer network listens, `close` it after.

    It owns neither the peer network nor the keystore: whoever made them closes them. It owns the nonce journal.
    """

    def __init__(
        self,
        identity: Identity,
        peers: PeerNetwork,
        keystore: Keystore,
        authorizer: Authorizer,
        directory: GroupDirectory,
        incidents: Incidents,
        journal: NonceJournal,
        clock: Clock = wall_clock,
    ) -> None:
        """`journal`: of this node alone, beside its keystore; `identity` must be the keystore's."""
        assert identity.host_key == keystore.identity.host_key == peers.identity.host_key
        self._me = identity.host_key
        self._peers = peers
        self._keystore = keystore
        self._authorizer = authorizer
        self._directory = directory
        self._incidents = LimitedIncidents(incidents)
        self._clock = clock
        self._culprits: dict[bytes, Culprit] = {}
        self._making: dict[bytes, asyncio.Lock] = {}
        self.signer = SignerService(keystore, NonceStore(journal), authorizer, directory, self._incidents, clock)
        self.participant = DkgService(keystore, directory, self._incidents, clock)

    async def start(self) -> None:
        """Remember what is held against peers, and answer their requests from now on."""
        self._culprits = by_peer(await self._incidents.load())
        for kind, handler in (
            (INVITE, self._on_invite),
            (ROUND, self._on_round),
            (CLOSE, self._on_close),
            (PREFIX + "start", self._on_dkg_start),
            (PREFIX + "second", self._on_dkg_second),
            (PREFIX + "investigate", self._on_dkg_investigate),
            (PREFIX + "finish", self._on_dkg_finish),
            (PREFIX + "adopt", self._on_dkg_adopt),
            (PREFIX + "done", self._on_dkg_done),
        ):
            self._peers.on(kind, handler)

    def close(self) -> None:
        """Zero all nonces and close the journal. The peer network must be closed."""
        self.signer.close()

    def key(self, group: bytes) -> GroupKey:
        """The newest key of a group (32 bytes).

        Raises:
            ShareNotHeld: this node has no share of it.
        """
        return self._keystore.share(group).key

    def culprits(self) -> Sequence[Culprit]:
        """What is held against peers, worst first."""
        return sorted(self._culprits.values(), key=lambda c: (-c.faults, c.peer))

    async def sign(self, group: bytes, kind: str, body: bytes, timeout_s: float) -> tuple[bytes, ...]:
        """Like `sign_together`; the signatures alone."""
        return (await self.sign_together(group, kind, body, timeout_s)).signatures

    async def sign_together(self, group: bytes, kind: str, body: bytes, timeout_s: float) -> roast.Signed:
        """Have the group sign a structure: a BIP-340 signature (64 bytes, verified) for each item; who signed.

        This node's authorizer is asked first; it is asked again as a signer.

        Raises:
            ShareNotHeld, ShareNotReady: this node has no share that may sign.
            SigningRefused: so many members refuse or are at fault that the threshold cannot be reached.
            SigningTimeout: too few answered in time.
            MalformedInput: the authorizer names no items, or an invalid tweak.
            CausewayError: what this node's own authorizer refuses with.
        """
        share = self._keystore.share(group)
        items = await authorize(self._authorizer, self._directory, self._me, share, kind, body)
        chosen = candidates(share.key.members, share.key.threshold, self._culprits, self._clock())

        async def blame(evidence: Evidence) -> None:
            await self._blame(share.key, evidence)

        run = SigningRun(self._peers, self.signer, share.key, items, (kind, body), chosen, self._clock, blame)
        end = await run.run(timeout_s)
        if isinstance(end, roast.Failed):
            raise end.error
        for item, signature in zip(items, end.signatures, strict=True):
            assert bip340.verify(item.message, share.key.tweaked(item), signature)
        return end

    async def create_group(self, group: bytes, members: Sequence[bytes], threshold: int, attempt: int) -> GroupKey:
        """Make the key of a proposed group, and have the group prove that it can sign.

        `group`: 32 bytes; `members`: host keys (33 bytes) in the order of their indices. All members must be up. Any
        member may call it, again after a failure with a higher `attempt`, and again after success: it goes on from
        what is stored, and returns the same key.

        Raises:
            GroupNotProposed: this node's directory does not know the group so.
            NotAMember: this node is not a member.
            KeyGenerationFailed: somebody is at fault, refuses, or did not answer in time.
            SigningRefused, SigningTimeout: the key is there, but the group did not sign its proof.
            SessionParamsError: the members' keys or the threshold are invalid.
        """
        async with self._making.setdefault(group, asyncio.Lock()):
            proposal = await self._directory.proposal(group)
            if proposal is None or (proposal.members, proposal.threshold) != (tuple(members), threshold):
                raise GroupNotProposed(group)
            if self._me not in proposal.members:
                raise NotAMember(group, self._me)
            share = self._ready_share(group, proposal.epoch)
            if share is None:
                start = DkgStart(group, proposal.epoch, attempt, threshold, list(members))
                await DkgRun(self._peers, self.participant, start).run(DKG_TIMEOUT_S)
                share = self._keystore.share(group, proposal.epoch)
            if not share.key.proof:
                (proof,) = await self.sign(group, GROUP_PROOF, b"", PROOF_TIMEOUT_S)
                self._keystore.store(replace(share, key=replace(share.key, proof=proof)))
            return self._keystore.share(group, proposal.epoch).key

    def _ready_share(self, group: bytes, epoch: int) -> KeyShare | None:
        try:
            share = self._keystore.share(group, epoch)
        except ShareNotHeld:
            return None
        return share if share.ready else None

    async def _blame(self, key: GroupKey, evidence: Evidence) -> None:
        """Record a fault and hold it against the member."""
        peer, now = key.members[evidence.index], self._clock()
        culprit = after_fault(self._culprits.get(peer), peer, evidence.reason, now)
        self._culprits[peer] = culprit
        kind: Final = "malformed-answer" if evidence.reason == MALFORMED_ANSWER else "wrong-share"
        error: Final = "MalformedAnswer" if evidence.reason == MALFORMED_ANSWER else "WrongShare"
        incident = Incident(
            now, kind, peer, key.group, error, f"{evidence.reason} (index {evidence.index})", evidence.encode()
        )
        try:
            await self._incidents.record(incident)
            await self._incidents.save(culprit)
        except CausewayError as failure:  # signing goes on without the record
            _LOG.error(
                "a fault could not be recorded", peer=peer.hex(), error=type(failure).__name__, text=str(failure)
            )

    async def _on_invite(self, received: Received) -> bytes:
        invite = messages.decode(received.body, Invite)
        return messages.encode(await self.signer.invite(received.sender, invite))

    async def _on_round(self, received: Received) -> bytes:
        asked = messages.decode(received.body, Round)
        return messages.encode(await self.signer.sign(received.sender, asked))

    async def _on_close(self, received: Received) -> None:
        self.signer.close_session(received.sender, messages.decode(received.body, Close))

    async def _on_dkg_start(self, received: Received) -> bytes:
        start = messages.decode(received.body, DkgStart)
        return messages.encode(await self.participant.start(received.sender, start))

    async def _on_dkg_second(self, received: Received) -> bytes:
        step = messages.decode(received.body, DkgStep)
        return messages.encode(await self.participant.second(received.sender, step))

    async def _on_dkg_investigate(self, received: Received) -> bytes:
        step = messages.decode(received.body, DkgStep)
        return messages.encode(await self.participant.investigate(received.sender, step))

    async def _on_dkg_finish(self, received: Received) -> bytes:
        step = messages.decode(received.body, DkgStep)
        return messages.encode(await self.participant.finish(received.sender, step))

    async def _on_dkg_adopt(self, received: Received) -> bytes:
        step = messages.decode(received.body, DkgStep)
        return messages.encode(await self.participant.adopt(received.sender, step))

    async def _on_dkg_done(self, received: Received) -> bytes:
        await self.participant.done(received.sender, messages.decode(received.body, DkgDone))
        return b""
