"""Made-up EVM chains with a vault each: the events that their contracts would emit, and what the Hub says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from eth_utils.crypto import keccak

from adapters.evm.lockbox import events as e
from adapters.evm.lockbox.types import NATIVE_COIN, Position
from adapters.evm.types import Batch, BlockRef
from foundation.quantities import BlockHeight, TokenUnits
from registry.assets import Asset, AssetPolicy
from registry.caip import erc20, evm_chain, evm_coin
from registry.chains import Chain, Vault
from registry.groups import Group, GroupStatus, Member
from registry.ids import deposit_id, lock_id

ETH = 10**18
EVM_GROUP = b"e" * 32
TOKEN, STRANGE_TOKEN = b"T" * 20, b"S" * 20
SENDER, RECIPIENT, PAYEE = b"s" * 20, b"r" * 20, b"y" * 20
EVM_POLICY = AssetPolicy(TokenUnits(10_000), TokenUnits(0), TokenUnits(10_000))


class EvmSide:
    """One EVM chain. `block`: its newest; `index`: of the newest log; the next block's events are made before it."""

    def __init__(self, number: int, block: int = 100) -> None:
        self.number = number
        self.block = block
        self.index = 0
        self.policy = EVM_POLICY

    @cached_property
    def chain(self) -> Chain:
        return Chain.named(evm_chain(self.number), keccak(b"genesis%d" % self.number), 0)

    @property
    def vault(self) -> Vault:
        return Vault(keccak(b"lockbox%d" % self.number)[:20], BlockHeight(1), EVM_GROUP)

    @property
    def group(self) -> Group:
        member = Member(b"n" * 20, b"\x02" + b"n" * 32, b"u" * 32, "tcp://127.0.0.1:2")
        return Group(EVM_GROUP, self.chain.id, 1, (member,), 0, b"K" * 32, GroupStatus.ACTIVE)

    @property
    def coin(self) -> Asset:
        return Asset.named(evm_coin(self.chain.chain_id), "Ether", "ETH", 18, self.policy)

    def token(self, contract: bytes = TOKEN) -> Asset:
        return Asset.named(erc20(self.chain.chain_id, contract), "Token", "TKN", 6, self.policy)

    def asset_id(self, token: bytes) -> bytes:
        return self.coin.id if token == NATIVE_COIN else self.token(token).id

    def lock_id(self, number: int) -> bytes:
        return lock_id(self.number, self.vault.lockbox, number)

    def deposit_id(self, number: int, token: bytes = NATIVE_COIN) -> bytes:
        return deposit_id(self.asset_id(token), self.lock_id(number), 0)

    def at(self) -> Position:
        """The place of the next event: in the next block, in a transaction of its own."""
        self.index += 1
        block = BlockRef(BlockHeight(self.block + 1), keccak(b"block%d" % (self.block + 1)))
        return Position(block, keccak(b"transaction%d" % self.index), self.index)

    def batch(self, events: Sequence[e.LockboxEvent]) -> e.LockboxBatch:
        """The next block."""
        self.block += 1
        number = BlockHeight(self.block)
        return Batch(number, BlockRef(number, keccak(b"block%d" % number)), tuple(events))

    def locked(
        self,
        number: int,
        amount: int = 10 * ETH,
        token: bytes = NATIVE_COIN,
        recipient: bytes = RECIPIENT,
    ) -> e.Locked:
        return e.Locked(self.at(), self.lock_id(number), token, SENDER, number, TokenUnits(amount), recipient)

    def released(
        self, number: int, amount: int, fee: int, token: bytes = NATIVE_COIN, payee: bytes = PAYEE
    ) -> e.Released:
        return e.Released(self.at(), number, token, payee, TokenUnits(amount), TokenUnits(fee))

    def failed(
        self, number: int, amount: int, fee: int, token: bytes = NATIVE_COIN, payee: bytes = PAYEE
    ) -> e.PaymentFailed:
        return e.PaymentFailed(self.at(), number, token, payee, TokenUnits(amount), TokenUnits(fee))

    def claimed(self, number: int, amount: int, to: bytes = b"z" * 20) -> e.PaymentClaimed:
        return e.PaymentClaimed(self.at(), number, to, TokenUnits(amount))

    def cancelled(self, number: int, amount: int = 0) -> e.PaymentCancelled:
        return e.PaymentCancelled(self.at(), number, TokenUnits(amount))


@dataclass(frozen=True, slots=True)
class Asked:
    """A withdrawal to an EVM chain as its owner asks for it."""

    number: int
    amount: int = 4 * ETH
    max_fee: int = 1_000
    service_fee: int = 7
    destination: bytes = PAYEE

    @property
    def rest(self) -> int:
        """What the payee gets."""
        return self.amount - self.max_fee
