"""An Escrow in an EVM inside this process, and the terms and words that its people give.

What is hashed and signed is computed here from docs/contracts.md alone: nothing of ours that a ledger uses is asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import boa
from boa.contracts.abi.abi_contract import ABIContract, ABIContractFactory
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from contracts.build import compile_contract
from tests.support.lockbox import at
from tests.support.native_contracts import ZERO, account, deploy_code, events

ETHER = 10**18
HOUR = 3_600
PAYER, PAYEE, KEEPER, STRANGER = (account(name) for name in ("payer", "payee", "keeper", "stranger"))
"""Who locks, who is paid, whom refunds go to, and somebody else."""

TERMS_TYPES = ("bytes32", "address", "address", "address", "address", "uint256", "bytes32", "uint256")
GIVE_BACK = [
    {"name": "id", "type": "bytes32"},
    {"name": "payer", "type": "address"},
    {"name": "beneficiary", "type": "address"},
    {"name": "refund_to", "type": "address"},
    {"name": "asset", "type": "address"},
    {"name": "amount", "type": "uint256"},
    {"name": "condition", "type": "bytes32"},
    {"name": "expires_at", "type": "uint256"},
]


class Terms(NamedTuple):
    """A lock's terms, in the contract's order."""

    id: bytes
    payer: str
    beneficiary: str
    refund_to: str
    asset: str
    amount: int
    condition: bytes
    expires_at: int

    @property
    def hash(self) -> bytes:
        """What an open lock's slot holds."""
        return keccak(encode(TERMS_TYPES, self))


POINT_TYPES = ("bytes32", "address", "address", "address", "address", "uint256", "address", "uint256")
GIVE_BACK_POINT = [
    {"name": "point", "type": "address"} if field["name"] == "condition" else field for field in GIVE_BACK
]
POINT_LOCK = keccak(text="Causeway: terms of a point lock")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1."""


class PointTerms(NamedTuple):
    """A point lock's terms, in the contract's order."""

    id: bytes
    payer: str
    beneficiary: str
    refund_to: str
    asset: str
    amount: int
    point: str
    expires_at: int

    @property
    def hash(self) -> bytes:
        """What an open lock's slot holds."""
        return keccak(POINT_LOCK + encode(POINT_TYPES, self))


def scalar_of(label: str) -> int:
    """A scalar that nobody else knows."""
    return int.from_bytes(preimage_of(label), "big") % (ORDER - 1) + 1


def point_of(label: str) -> str:
    """The account of that scalar's point: what a key's address is."""
    address: str = Account.from_key(scalar_of(label).to_bytes(32, "big")).address
    return address


def preimage_of(label: str) -> bytes:
    """32 bytes that nobody else knows."""
    return hashlib.sha256(f"preimage-{label}".encode()).digest()


def id_of(label: str) -> bytes:
    """A payer's name for a lock."""
    return hashlib.sha256(f"id-{label}".encode()).digest()


@lru_cache(maxsize=2)
def compiled(name: str) -> dict[str, Any]:
    """A contract as the build compiles it, from its source."""
    return compile_contract(name)


def deploy_plain(name: str) -> ABIContract:
    """A new contract whose creation takes nothing."""
    address = deploy_code(bytes.fromhex(compiled(name)["bytecode"].removeprefix("0x")))
    return ABIContractFactory(name, list(compiled(name)["abi"])).at(address)


@dataclass
class Desk:
    """An Escrow, and hands to use it. Fields: names (None: its own address; else what signatures name instead)."""

    escrow: ABIContract
    names: str | None = None

    @property
    def address(self) -> str:
        """The Escrow's."""
        return at(self.escrow)

    def terms(self, label: str = "one", **other: Any) -> Terms:
        """Terms of an hour for one ether; `other` replaces fields."""
        condition = hashlib.sha256(preimage_of(label)).digest()
        until = boa.env.timestamp + HOUR
        terms = Terms(id_of(label), PAYER.address, PAYEE.address, KEEPER.address, ZERO, ETHER, condition, until)
        return terms._replace(**other)

    def lock(self, terms: Terms, memo: bytes | None = None) -> Terms:
        """Lock as the terms say; the payer is given the coin, and lets the Escrow have the tokens, first."""
        tail = (terms.beneficiary, terms.refund_to, terms.condition, terms.expires_at)
        told = () if memo is None else (memo,)
        if terms.asset == ZERO:
            boa.env.set_balance(terms.payer, boa.env.get_balance(terms.payer) + terms.amount)
            call = self.escrow.lock if memo is None else self.escrow.lock_with_memo
            call(terms.id, *tail, *told, value=terms.amount, sender=terms.payer)
        else:
            call = self.escrow.lock_token if memo is None else self.escrow.lock_token_with_memo
            call(terms.id, terms.asset, terms.amount, *tail, *told, sender=terms.payer)
        return terms

    def point_terms(self, label: str = "one", **other: Any) -> PointTerms:
        """As `terms`, under the point of that label."""
        until = boa.env.timestamp + HOUR
        people = (PAYER.address, PAYEE.address, KEEPER.address)
        return PointTerms(id_of(label), *people, ZERO, ETHER, point_of(label), until)._replace(**other)

    def lock_point(self, terms: PointTerms, memo: bytes = b"") -> PointTerms:
        """As `lock`, under a point."""
        tail = (terms.beneficiary, terms.refund_to, terms.point, terms.expires_at, memo)
        if terms.asset == ZERO:
            boa.env.set_balance(terms.payer, boa.env.get_balance(terms.payer) + terms.amount)
            self.escrow.lock_point(terms.id, *tail, value=terms.amount, sender=terms.payer)
        else:
            self.escrow.lock_point_token(terms.id, terms.asset, terms.amount, *tail, sender=terms.payer)
        return terms

    def claim_point(self, terms: PointTerms, label: str = "one", **other: Any) -> None:
        """A stranger brings the scalar."""
        self.escrow.claim_point(terms, scalar_of(label), **{"sender": STRANGER.address, **other})

    def lock_noted(self, terms: Terms, memo: bytes) -> Terms:
        """Lock coin with a short memo."""
        boa.env.set_balance(terms.payer, boa.env.get_balance(terms.payer) + terms.amount)
        tail = (terms.beneficiary, terms.refund_to, terms.condition, terms.expires_at, memo)
        self.escrow.lock_with_note(terms.id, *tail, value=terms.amount, sender=terms.payer)
        return terms

    def lock_token(self, token: Any, label: str = "one", **other: Any) -> Terms:
        """Approve and lock tokens."""
        terms = self.terms(label, asset=at(token), amount=1_000)._replace(**other)
        token.approve(self.address, terms.amount, sender=terms.payer)
        return self.lock(terms)

    def claim(self, terms: Terms, label: str = "one", **other: Any) -> None:
        """A stranger brings the preimage."""
        self.escrow.claim(terms, preimage_of(label), **{"sender": STRANGER.address, **other})

    def word(self, terms: Terms | PointTerms, by: LocalAccount = PAYEE, chain_id: int | None = None) -> bytes:
        """A beneficiary's signature that gives a lock back."""
        domain = {
            "name": "Causeway",
            "version": "1",
            "chainId": boa.env.evm.patch.chain_id if chain_id is None else chain_id,
            "verifyingContract": self.names or self.address,
        }
        kind = {"GiveBack": GIVE_BACK} if isinstance(terms, Terms) else {"GiveBackPoint": GIVE_BACK_POINT}
        message = encode_typed_data(domain, kind, terms._asdict())
        return bytes(by.sign_message(message).signature)

    def state(self, terms: Terms | PointTerms) -> bytes:
        """A lock's slot."""
        found: bytes = self.escrow.locks(terms.payer, terms.id)
        return found

    def told(self) -> list[str]:
        """Names of the events of the last call."""
        return [name for name, _ in events(self.escrow)]


NEVER = bytes(32)
CLAIMED = (1).to_bytes(32, "big")
RETURNED = (2).to_bytes(32, "big")


def build_desk() -> Desk:
    """A new, empty Escrow."""
    return Desk(deploy_plain("Escrow"))


def coin_of(who: str) -> int:
    """An account's coin."""
    return int(boa.env.get_balance(who))
