"""What a lock and its memo say of a swap, for whoever has the words. Pure.

Everything that decides is from the contract, or authenticated by a key of this mnemonic's. What the other side told a
follower (T2, the amount, the claims) is tried against the chains: a lie finds no output, and shows no secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.evm.escrow.types import AnyTerms, Terms
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from mpc.curve import SecretScalar
from mpc.errors import MalformedInput
from mpc.musig import PreSignature
from registry.caip import ChainId
from settlement.swap.bitcoin.output import output_of
from settlement.swap.bitcoin.rungs import Rung
from settlement.swap.evm.errors import MemoRefused
from settlement.swap.evm.memo import (
    HASH_MEMO_BYTES,
    POINT_MEMO_BYTES,
    Memo,
    PointMemo,
    open_as_beneficiary,
    open_as_payer,
)
from settlement.swap.evm.search import FoundLock
from settlement.swap.evm.site import EscrowSite
from settlement.swap.planning.conditions import Conditions
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, Role, SwapTerms
from settlement.swap.wallet.secrets import SwapSecrets, TraderKeys

GAP: Final = 5_000
"""Indices that are tried beyond the highest one that was found. Offers and takings that came to nothing use some up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where swaps of this trader take place. Fields: site (the Escrow); bitcoin (CAIP-2); conditions."""

    site: EscrowSite
    bitcoin: ChainId
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class FoundSwap:
    """A swap as its lock tells of it. Fields: index (of the keys); role; terms; claims (pre-signed, of a private swap,
    as the machines keep them); planned (its funding outpoint, 36 bytes); payee (where the claims pay to)."""

    index: int
    role: Role
    terms: SwapTerms
    claims: tuple[bytes, ...]
    planned: bytes
    payee: bytes


class KeySearch:
    """Keys of one mnemonic by what the chain shows of them; derived as far as they are asked for."""

    def __init__(self, keys: TraderKeys, gap: int = GAP) -> None:
        """`gap`: see `GAP`."""
        self._keys = keys
        self._gap = gap
        self._made: list[SwapSecrets] = []
        self._by_name: dict[bytes, int] = {}
        self.highest = -1
        """Of the indices that were found."""

    def by_name(self, lock_id: bytes) -> SwapSecrets | None:
        """The swap whose lock has this id."""
        for _ in self._all():
            if lock_id in self._by_name:
                return self._found(self._made[self._by_name[lock_id]])
        return None

    def by_memo(self, site: EscrowSite, lock: FoundLock) -> tuple[SwapSecrets, Memo] | None:
        """The swap whose key opens a lock's memo, as its beneficiary."""
        if len(lock.memo) not in (HASH_MEMO_BYTES, *POINT_MEMO_BYTES):
            return None  # it opens with no key at all
        for secrets in self._all():
            try:
                memo = open_as_beneficiary(site, lock.terms, lock.memo, SecretScalar.nonzero(secrets.bitcoin))
            except MemoRefused:
                continue
            return self._found(secrets), memo
        return None

    def _found(self, secrets: SwapSecrets) -> SwapSecrets:
        self.highest = max(self.highest, secrets.index)
        return secrets

    def _all(self) -> Iterator[SwapSecrets]:
        at = 0
        while at <= self.highest + self._gap:
            if at == len(self._made):
                secrets = self._keys.swap(at)
                self._made.append(secrets)
                self._by_name.setdefault(secrets.bitcoin_key, at)
                self._by_name.setdefault(secrets.lock_key, at)
            yield self._made[at]
            at += 1


def read_locks(locks: Iterable[FoundLock], place: Place, keys: TraderKeys, search: KeySearch) -> list[FoundSwap]:
    """The swaps that locks of an account, or for it, are of. What is none of ours, or makes no sense, is left out."""
    found = []
    for lock in locks:
        one = _read(lock, place, keys, search)
        if one is not None:
            found.append(one)
    return found


def _read(lock: FoundLock, place: Place, keys: TraderKeys, search: KeySearch) -> FoundSwap | None:
    if lock.terms.payer == keys.account:
        secrets = search.by_name(lock.terms.id)
        if secrets is not None:
            named_by = secrets.bitcoin if isinstance(lock.terms, Terms) else secrets.lock
            try:
                memo = open_as_payer(place.site, lock.terms, lock.memo, SecretScalar.nonzero(named_by))
            except MemoRefused:
                return None
            return _swap(lock.terms, memo, secrets, Role.INITIATOR, place)
    if lock.terms.beneficiary == keys.account and lock.memo:
        opened = search.by_memo(place.site, lock)
        if opened is not None:
            return _swap(lock.terms, opened[1], opened[0], Role.FOLLOWER, place)
    return None


def _swap(lock: AnyTerms, memo: Memo, secrets: SwapSecrets, role: Role, place: Place) -> FoundSwap | None:
    conditions = place.conditions
    is_hash = isinstance(lock, Terms)
    claimer = memo.claimer if isinstance(memo, PointMemo) else lock.id
    try:
        terms = SwapTerms(
            mode=Mode.HASH if is_hash else Mode.POINT,
            condition=lock.condition if isinstance(lock, Terms) else bytes(12) + lock.point,
            point=memo.point if isinstance(memo, PointMemo) else b"",
            offer_id=bytes(32),
            bitcoin=BitcoinLeg(
                chain=place.bitcoin,
                amount=memo.satoshi,
                claimer=claimer,
                refunder=memo.refunder,
                expires_at=memo.bitcoin_expires_at,
                confirmations=conditions.bitcoin.confirmations.of(memo.satoshi),
            ),
            evm=EvmLeg(
                chain=place.site.chain.chain_id,
                escrow=place.site.escrow,
                lock_id=lock.id,
                payer=lock.payer,
                beneficiary=lock.beneficiary,
                refund_to=lock.refund_to,
                asset=lock.asset,
                amount=TokenUnits(lock.amount),
                expires_at=lock.expires_at,
                confirmations=conditions.evm.confirmations.of(memo.satoshi),
            ),
            agreed_at=memo.bitcoin_expires_at - 1,
        )
    except BadInput:
        return None
    own = terms.key_of(role)
    if own != secrets.bitcoin_key:
        return None
    if not isinstance(memo, PointMemo):
        return FoundSwap(secrets.index, role, terms, (), b"", b"")
    return FoundSwap(secrets.index, role, terms, _claims(terms, memo), memo.outpoint, memo.payee)


def _claims(terms: SwapTerms, memo: PointMemo) -> tuple[bytes, ...]:
    """The pre-signed claims that hold for the agreed amount; those that do not would show no secret."""
    output = output_of(terms)
    coin = Coin(OutPoint.parse(memo.outpoint), terms.bitcoin.amount, output.script)
    found = []
    for one in memo.rungs:
        try:
            rung = Rung(PreSignature.decode(one.pre_signature), one.fee, memo.payee)
            if rung.holds(output, coin, terms.point):
                found.append(rung.encode())
        except (MalformedInput, BadInput):
            continue
    return tuple(found)
