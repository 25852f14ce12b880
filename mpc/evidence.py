"""Evidence that a member sent a wrong partial signature, which anyone with the group's public data can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from mpc import frost
from mpc.cluster_errors import MalformedMessage, UnauthenticMessage
from mpc.errors import InvalidContributionError, MalformedInput
from mpc.frost.nonces import parse_pubnonce
from mpc.messages import MAX_ITEMS, Envelope, Offer, Round, Shares, decode, offer_hash, open_envelope
from mpc.ports import SigningItem, items_hash

WRONG_SHARE: Final = "a partial signature is wrong"
MALFORMED_ANSWER: Final = "an answer is malformed"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The public data of a group's key.

    Attributes:
        group: 32 bytes; epoch: 0, 1, …; threshold: t; members: host keys (33 bytes) in order of their indices;
        thresh_pk: 33 bytes; pubshares: 33 bytes each, in the same order; recovery_data: public, see `mpc.chilldkg`;
        proof: the group's BIP-340 signature (64 bytes) over its proof message, empty until it is made.
    """

    group: bytes
    epoch: int
    threshold: int
    members: tuple[bytes, ...]
    thresh_pk: bytes
    pubshares: tuple[bytes, ...]
    recovery_data: bytes
    proof: bytes = b""

    @property
    def xonly(self) -> bytes:
        """The threshold key, 32 bytes x-only."""
        return self.thresh_pk[1:]

    def signers(self, ids: Sequence[int]) -> frost.SignersContext:
        """The signer set with these indices.

        Raises:
            MalformedInput: an index is out of range or doubled, or there are fewer than the threshold.
        """
        if any(not 0 <= i < len(self.members) for i in ids):
            raise MalformedInput("ids", "an identifier is out of range")
        shares = [self.pubshares[i] for i in ids]
        return frost.SignersContext(len(self.members), self.threshold, ids, shares, self.thresh_pk)

    def tweaked(self, item: SigningItem) -> bytes:
        """The key (32 bytes x-only) that the signature of this item verifies under.

        Raises:
            MalformedInput: a tweak is invalid.
        """
        values, modes = [t.value for t in item.tweaks], [t.xonly for t in item.tweaks]
        return frost.thresh_pubkey_and_tweak(self.thresh_pk, values, modes).xonly_key


def check_items(key: GroupKey, items: Sequence[SigningItem]) -> None:
    """Check what a node's own authorizer named, before others are blamed for not signing it.

    Raises:
        MalformedInput: there are no items or too many, a message is not 32 bytes, or a tweak is invalid.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise MalformedInput("items", f"are {len(items)}", f"1 to {MAX_ITEMS}")
    for item in items:
        if len(item.message) != 32:
            raise MalformedInput("message", "is not 32 bytes")
        key.tweaked(item)


def session_of(signers: frost.SignersContext, item: SigningItem, aggnonce: bytes) -> frost.SessionContext:
    """The FROST session of one item.

    Raises:
        InvalidContributionError: the aggregate nonce is malformed.
        MalformedInput: a tweak is invalid.
    """
    values, modes = [t.value for t in item.tweaks], [t.xonly for t in item.tweaks]
    return frost.SessionContext(aggnonce, signers, values, modes, item.message)


class Evidence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What shows that member `index` is at fault.

    Fields: index; reason (`WRONG_SHARE` or `MALFORMED_ANSWER`); offer (the signed envelope in which it gave its public
    nonces, encoded); round (the `Round` that it answered, encoded); answer (the signed envelope of its answer); items
    (what was signed: message and tweaks). Envelopes are empty where the coordinator blames its own signer.
    """

    index: int
    reason: str
    offer: bytes
    round: bytes
    answer: bytes
    items: tuple[SigningItem, ...]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> Evidence:
        """Parse.

        Raises:
            MalformedMessage: it is not evidence.
        """
        return decode(encoded, cls)


def proves_fault(evidence: Evidence, key: GroupKey, network: bytes) -> bool:
    """Whether the evidence convinces somebody who trusts neither the accuser nor the accused.

    A wrong partial signature is proven by the member's own signed messages: the nonces that it offered, and its answer,
    which names the round and the items. A malformed answer is proven by its signature alone.
    """
    if not 0 <= evidence.index < len(key.members):
        return False
    member = key.members[evidence.index]
    try:
        answer = _open(evidence.answer, member, network)
        if evidence.reason == MALFORMED_ANSWER:
            return _is_malformed(answer, evidence.items)
        asked = decode(evidence.round, Round)
        pubnonces = _offered(_open(evidence.offer, member, network), asked)
        return _share_is_wrong(evidence, key, asked, pubnonces, decode(answer.body, Shares))
    except (MalformedMessage, UnauthenticMessage, MalformedInput, InvalidContributionError):
        return False


def _open(frame: bytes, sender: bytes, network: bytes) -> Envelope:
    envelope = open_envelope(frame, network)
    if envelope.sender != sender:
        raise UnauthenticMessage(envelope.sender, "it is from another member")
    return envelope


def _is_malformed(answer: Envelope, items: Sequence[SigningItem]) -> bool:
    """Whether no honest member answers so: it does not parse, a nonce is no point, or the counts do not fit."""
    kinds: dict[str, type[Offer] | type[Shares]] = {"+sign.invite": Offer, "+sign.round": Shares}
    if answer.kind not in kinds:
        return False
    try:
        message = decode(answer.body, kinds[answer.kind])
        for pubnonce in message.pubnonces:
            parse_pubnonce(pubnonce)
    except (MalformedMessage, MalformedInput):
        return True
    counts = {len(message.pubnonces), len(message.psigs) if isinstance(message, Shares) else len(items)}
    return message.items == items_hash(items) and counts != {len(items)}


def _offered(envelope: Envelope, asked: Round) -> list[bytes]:
    """The public nonces of the envelope, which holds an offer or the answer to an earlier round."""
    message: Offer | Shares
    try:
        message = decode(envelope.body, Offer)
    except MalformedMessage:
        message = decode(envelope.body, Shares)
    if message.session != asked.session or offer_hash(message.pubnonces) != asked.offer:
        raise MalformedMessage("offer", "does not belong to the round")
    return message.pubnonces


def _share_is_wrong(evidence: Evidence, key: GroupKey, asked: Round, pubnonces: list[bytes], shares: Shares) -> bool:
    count = len(evidence.items)
    if shares.round != asked.digest() or shares.session != asked.session or shares.items != items_hash(evidence.items):
        return False
    if evidence.index not in asked.ids or not len(pubnonces) == len(asked.aggnonces) == count:
        return False
    if len(shares.psigs) != count:
        return False
    signers = key.signers(asked.ids)
    return any(
        not frost.verify_share(psig, pubnonce, evidence.index, session_of(signers, item, aggnonce))
        for item, aggnonce, pubnonce, psig in zip(evidence.items, asked.aggnonces, pubnonces, shares.psigs, strict=True)
    )
