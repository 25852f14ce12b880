"""A Lockbox in an EVM inside this process, the keys of its group, and tokens and payees that do as they are told.

What is signed is computed here from docs/contracts.md alone: nothing of ours that the bridge uses is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import boa
from boa.contracts.abi.abi_contract import ABIContract, ABIContractFactory
from coincurve import PublicKeyXOnly
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from vyper.compiler.output import build_abi_output
from vyper.compiler.phases import CompilerData

from contracts.build import compile_contract
from tests.support.native_contracts import ZERO, account, deploy_code, event, events, schnorr_proof

SOURCES = Path(__file__).parent / "vyper"
PAYMENT = "(uint256,address,address,uint256,uint256)"
RETURN = 2**255
"""Marks the number of a lock that is sent back."""

ETHER = 10**18
DAY = 86_400
WINDOW_SECONDS = 3_600
GUARDIAN = account("guardian").address
CARRIER = account("carrier").address
ALICE, BOB, CHRIS = (account(name).address for name in ("alice", "bob", "chris"))
NATIVE_ACCOUNT = account("native").address

WELL, REVERTS, BURNS_ALL_GAS, SAYS_MAXIMUM, SAYS_ZERO, SAYS_GAS = range(6)
"""How an odd token can be told to transfer (the first three) and to report balances."""

ACCEPT, REFUSE, BURN, CALL, INSIST = range(5)
"""What an actor can be told to do when coin arrives."""

Payment = tuple[int, str, str, int, int]
"""number, asset, payee, amount, fee."""


# --- Deploying --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def compiled() -> dict[str, Any]:
    """The Lockbox as the build compiles it, from its source: whatever state the other contracts are in."""
    return compile_contract("Lockbox")


@lru_cache(maxsize=4)
def helper(name: str) -> CompilerData:
    """A compiled test contract."""
    data: CompilerData = boa.load_partial(str(SOURCES / f"{name}.vy")).compiler_data
    return data


def deploy_helper(name: str, arguments: bytes = b"") -> ABIContract:
    """A new test contract. Not boa's own object for Vyper contracts, whose making takes as long as a whole test."""
    address = deploy_code(helper(name).bytecode + arguments)
    return ABIContractFactory(name, build_abi_output(helper(name))).at(address)


def at(contract: Any) -> str:
    """A contract's address."""
    return str(contract.address)


def odd_token(holder: str, amount: int, decimals: int = 18) -> ABIContract:
    """A token that behaves well until it is told otherwise; `holder` has some."""
    token = deploy_helper("odd_token", encode(["uint8"], [decimals]))
    token.give(holder, amount)
    return token


def actor() -> ABIContract:
    """A contract that does what it is told: a payee or a carrier."""
    return deploy_helper("actor")


def deploy_lockbox(key: bytes, guardian: str = GUARDIAN, window_seconds: int = WINDOW_SECONDS) -> ABIContract:
    """A new Lockbox. Raises `boa.BoaError` if it refuses to be created."""
    arguments = encode(["bytes32", "address", "uint256"], (key, guardian, window_seconds))
    address = deploy_code(bytes.fromhex(compiled()["bytecode"].removeprefix("0x")) + arguments)
    return ABIContractFactory("Lockbox", list(compiled()["abi"])).at(address)


# --- Signing ----------------------------------------------------------------------------------------------------------


def secret_of(label: str) -> bytes:
    """A group's secret key, 32 bytes."""
    return hashlib.sha256(f"group-{label}".encode()).digest()


def tagged(action: str, content: bytes) -> bytes:
    """BIP-340's tagged hash of an action's tag."""
    tag = hashlib.sha256(f"Causeway/{action}".encode()).digest()
    return hashlib.sha256(tag + tag + content).digest()


@dataclass
class Vault:
    """A Lockbox and the secret of its key.

    Fields: epoch, chain_id (None: the present one) and names (None: its own address) are what signatures name.
    """

    lockbox: ABIContract
    secret: bytes
    epoch: int = 0
    chain_id: int | None = None
    names: str | None = None
    next_number: int = 1

    @property
    def address(self) -> str:
        """The Lockbox's."""
        return at(self.lockbox)

    @property
    def key(self) -> bytes:
        """The x-only public key."""
        key: bytes = PublicKeyXOnly.from_secret(self.secret).format()
        return key

    def message(self, action: str, types: Sequence[str], values: Sequence[object]) -> bytes:
        """The 32 bytes of an action."""
        chain_id = boa.env.evm.patch.chain_id if self.chain_id is None else self.chain_id
        head = (chain_id, self.names or self.address, self.epoch)
        return tagged(action, encode(["uint256", "address", "uint256", *types], [*head, *values]))

    def release_message(self, payments: Sequence[Payment]) -> bytes:
        """The 32 bytes of a batch."""
        return self.message("release", ["bytes32"], [keccak(encode([f"{PAYMENT}[]"], [list(payments)]))])

    def sign(self, action: str, types: Sequence[str], values: Sequence[object]) -> tuple[bytes, bytes, bytes]:
        """The group's proof over an action."""
        return schnorr_proof(self.secret, self.message(action, types, values))

    def sign_release(self, payments: Sequence[Payment]) -> tuple[bytes, bytes, bytes]:
        """The proof over a batch."""
        return schnorr_proof(self.secret, self.release_message(payments))

    def sign_cancel(self, numbers: Sequence[int]) -> tuple[bytes, bytes, bytes]:
        """The proof over numbers that are not to be paid."""
        return self.sign("cancel", ["bytes32"], [keccak(encode(["uint256[]"], [list(numbers)]))])

    # --- Acting ---

    def pay(self, payee: str, amount: int, asset: str = ZERO, fee: int = 0, number: int | None = None) -> Payment:
        """A payment with the next number, or with one that is named."""
        if number is None:
            number, self.next_number = self.next_number, self.next_number + 1
        return number, asset, payee, amount, fee

    def release(self, *payments: Payment, sender: str = CARRIER) -> list[str]:
        """Carry a batch that the group signed. The events of payments, in order: name and number."""
        self.lockbox.release(list(payments), self.sign_release(payments), sender=sender)
        return self.told()

    def told(self) -> list[str]:
        """What the last call told of payments, as in "Released 1"."""
        return [f"{name} {fields['number']}" for name, fields in events(self.lockbox) if "number" in fields]

    def lock(self, amount: int = ETHER, sender: str = ALICE, asset: str = ZERO) -> bytes:
        """Lock coin, which the sender is given first, or tokens. The lock's id."""
        if asset == ZERO:
            boa.env.set_balance(sender, boa.env.get_balance(sender) + amount)
        value = amount if asset == ZERO else 0
        made: bytes = self.lockbox.lock(asset, amount, NATIVE_ACCOUNT, value=value, sender=sender)
        return made

    def lock_token(self, token: Any, amount: int, sender: str = ALICE) -> int:
        """Approve and lock tokens; what was credited."""
        token.approve(self.address, amount, sender=sender)
        self.lock(amount, sender, at(token))
        credited: int = event(self.lockbox, "Locked")["amount"]
        return credited

    def cancel(self, *numbers: int) -> list[str]:
        """Cancel payments with the group's signature; the events."""
        self.lockbox.cancel(list(numbers), self.sign_cancel(numbers))
        return self.told()

    def configure(
        self, asset: str = ZERO, deposits: int = 0, withdrawals: int = 0, denied: bool = False, nonce: int | None = None
    ) -> None:
        """Set an asset's limits with the group's signature."""
        nonce = self.lockbox.configuration_nonce(asset) + 1 if nonce is None else nonce
        values = (asset, deposits, withdrawals, denied, nonce)
        proof = self.sign("configure", ["address", "uint256", "uint256", "bool", "uint256"], values)
        self.lockbox.configure(*values, proof)

    def rotate(self, secret: bytes) -> None:
        """Hand the vault to another key, which signs from now on."""
        key = PublicKeyXOnly.from_secret(secret).format()
        accepted = schnorr_proof(secret, self.message("accept", ["bytes32"], [key]))
        self.lockbox.rotate(key, self.sign("rotate", ["bytes32"], [key]), accepted)
        self.secret, self.epoch = secret, self.epoch + 1

    def unpause(self, nonce: int | None = None) -> None:
        """End the present pause with the group's signature."""
        nonce = self.lockbox.pause_count() if nonce is None else nonce
        self.lockbox.unpause(nonce, self.sign("unpause", ["uint256"], [nonce]))


def build_vault(label: str = "first", **other: Any) -> Vault:
    """A new, empty vault; `other`: arguments of `deploy_lockbox`."""
    secret = secret_of(label)
    return Vault(deploy_lockbox(PublicKeyXOnly.from_secret(secret).format(), **other), secret)


def calldata(contract: Any, name: str, *arguments: object) -> bytes:
    """What a call of a contract's function sends."""
    data: bytes = getattr(contract, name).prepare_calldata(*arguments)
    return data
