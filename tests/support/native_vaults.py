"""An EVM chain beside the asset of `World`: its group, its vault, its coin, and whose signatures move them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    COIN_POLICY,
    EVM_CAIP2,
    EVM_COIN,
    GENESIS,
    LOCKBOX,
    World,
    account,
    accounts,
    member,
    policy_with,
    token_at,
)

PAYEE = bytes.fromhex("bb" * 20)
"""An account of the other chain."""

ERC20 = EVM_CAIP2 + "/erc20:0x" + "7e" * 20
EVM_SECRET = b"\x22" * 32


def lock_id(number: int, lockbox: str = LOCKBOX) -> bytes:
    """keccak256(abi.encode(chainid, lockbox, number)): how a Lockbox names what was locked."""
    return keccak(encode(["uint256", "address", "uint256"], (31_337, lockbox, number)))


@dataclass
class EvmSide:
    """The chain, its coin and its group (2 of 3) in a world's Registry."""

    world: World
    chain: bytes
    coin: bytes
    group: bytes
    storemen: list[LocalAccount]

    def set_policy(self, **changes: Any) -> None:
        """Give the coin its first policy with some fields changed."""
        policy = policy_with(COIN_POLICY, **changes)
        self.world.registry.set_asset_policy(self.coin, policy, sender=self.world.owner)

    def deposit(self, number: int, amount: int = 10**18, **other: Any) -> tuple[Any, ...]:
        """What was locked under a number, as `mint` takes it."""
        return self.world.deposit(
            0, amount, **{"asset": self.coin, "txid": lock_id(number), "group": self.group} | other
        )

    def fund(self, amount: int, holder: str | None = None, number: int = 1) -> None:
        """Mint `amount` to a holder, account("user") by default, who lets the Hub take it."""
        holder = account("user").address if holder is None else holder
        self.world.mint(self.deposit(number, amount, recipient=holder))
        self.token.approve(self.world.hub.address, 2**256 - 1, sender=holder)

    @property
    def token(self) -> Any:
        """The coin's mapping token."""
        return token_at(str(self.world.hub.token_of(self.coin)))

    def withdraw(self, amount: int = 10**9, relay_fee: int = 1_000, destination: bytes = PAYEE) -> bytes:
        """Request a withdrawal of account("user")."""
        sender = account("user").address
        made: bytes = self.world.hub.withdraw(self.coin, amount, relay_fee, destination, sender=sender)
        return made

    def reserve(
        self, withdrawals: Sequence[bytes], by: Sequence[LocalAccount] | None = None, inputs: Sequence[Any] = ()
    ) -> bytes:
        """Bring a reservation's signatures; the payout's id."""
        by = self.storemen[:2] if by is None else by
        ids = [keccak(encode(["bytes32", "uint256"], point)) for point in inputs]
        signed = self.world.countersign("PayoutReservation", self.group, self.coin, list(withdrawals), ids, by=by)
        made: bytes = self.world.hub.reserve((self.group, self.coin, list(withdrawals), list(inputs)), signed)
        return made

    def settled(self, amount: int = 10**9, relay_fee: int = 1_000) -> bytes:
        """Request, reserve and settle a withdrawal; its id."""
        id_ = self.withdraw(amount, relay_fee)
        self.world.settle(self.reserve([id_]), fee=relay_fee)
        return id_


def add_evm_side(world: World, lockbox: str = LOCKBOX) -> EvmSide:
    """Register an EVM chain with its coin, an active group and a vault."""
    registry, owner = world.registry, world.owner
    chain = bytes(registry.register_chain(EVM_CAIP2, GENESIS, 0, sender=owner))
    coin = bytes(registry.register_asset(EVM_COIN, chain, "Ether", "ETH", 18, COIN_POLICY, sender=owner))
    storemen = accounts("evm-storeman", 3)
    people = [member(one, number) for number, one in enumerate(storemen)]
    group = bytes(registry.propose_group(chain, 2, people, sender=owner))
    world.activate(group, storemen, EVM_SECRET)
    registry.register_vault(chain, lockbox, 7, group, sender=owner)
    return EvmSide(world, chain, coin, group, storemen)
