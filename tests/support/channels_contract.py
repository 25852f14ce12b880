"""The Channels contract in an EVM inside this process, as an adjudicator of the channels' tests."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import boa
from boa.contracts.abi.abi_contract import ABIContract, ABIContractFactory
from eth_utils.address import to_checksum_address

from contracts.build import compile_contract
from foundation.quantities import UnixMs
from settlement.channels.judge import Challenge, Close, CloseAgreed, Command, Join, Settle, Withdraw
from settlement.channels.signing import contract_domain
from settlement.channels.terms import Account, Sheet, SignedSheet, Terms
from settlement.quantities import Preimage
from tests.support.lockbox import odd_token
from tests.support.native_contracts import ZERO, deploy_code

NO_SHEET = (0, 0, 0, 0, [])


@lru_cache(maxsize=1)
def compiled() -> dict[str, Any]:
    """The contract as the build compiles it."""
    return compile_contract("Channels")


def deploy() -> ABIContract:
    """A new contract."""
    address = deploy_code(bytes.fromhex(compiled()["bytecode"].removeprefix("0x")))
    return ABIContractFactory("Channels", list(compiled()["abi"])).at(address)


def domain(contract: ABIContract) -> bytes:
    """What signatures for the contract are bound to."""
    return contract_domain(boa.env.evm.patch.chain_id, bytes.fromhex(str(contract.address)[2:]))


def checksum(account: Account) -> str:
    """An account as contracts' callers write it."""
    return str(to_checksum_address(account))


def set_time(now: UnixMs) -> None:
    """The next block's time."""
    boa.env.evm.patch.timestamp = now // 1000


class OnChain:
    """One channel at the contract; commands as the pure rules take them."""

    def __init__(self, contract: ABIContract, terms: Terms, *, token: bool) -> None:
        self.contract = contract
        self.terms = terms
        self.asset = ZERO
        if token:
            held = odd_token(checksum(terms.a), terms.deposit_a)
            held.give(checksum(terms.b), terms.deposit_b)
            self.asset = str(held.address)
            for account in (terms.a, terms.b):
                with boa.env.prank(checksum(account)):
                    held.approve(contract.address, 2**255)

    @property
    def tuple(self) -> tuple[object, ...]:
        """The terms as the contract takes them."""
        terms = self.terms
        return (
            checksum(terms.a), checksum(terms.b), self.asset, terms.deposit_a, terms.deposit_b,
            terms.challenge_ms // 1000, terms.one_way, terms.salt,
        )  # fmt: skip

    @property
    def asset_bytes(self) -> bytes:
        """The asset, 20 bytes."""
        return bytes.fromhex(self.asset[2:])

    def open(self) -> bytes:
        """A opens; the channel's id."""
        return bytes(self._as(self.terms.a, "open", self.tuple, value=self.terms.deposit_a))

    def reveal(self, preimage: Preimage) -> None:
        """Register a preimage."""
        self.contract.reveal(preimage)

    def act(self, command: Command, last: Sheet) -> None:
        """Call the contract. Raises `boa.BoaError` where it refuses. `last`: the newest sheet that was submitted."""
        match command:
            case Join(by=by):
                self._as(by, "join", self.tuple, value=self.terms.deposit_b)
            case Withdraw(by=by):
                self._as(by, "abandon", self.tuple)
            case Close(by=by, sheet=signed):
                self._as(by, "close", self.tuple, *self._signed(signed))
            case Challenge(by=by, sheet=signed, held=held):
                self._as(by, "challenge", self.tuple, *self._signed(signed), held)
            case CloseAgreed(sheet=sheet, signature_a=a, signature_b=b):
                numbers = sheet.sequence, sheet.balance_a, sheet.balance_b
                self._as(self.terms.b, "close_agreed", self.tuple, *numbers, a, b)
            case Settle():
                self._as(self.terms.b, "settle", self.tuple, sheet_tuple(last))

    def owed(self) -> tuple[int, int]:
        """What each bank has been paid out."""
        a, b = (self.contract.owed(checksum(account), self.asset) for account in (self.terms.a, self.terms.b))
        return int(a), int(b)

    def _signed(self, signed: SignedSheet) -> tuple[object, ...]:
        return sheet_tuple(signed.sheet), signed.signature_a, signed.signature_b

    def _as(self, account: Account, name: str, *arguments: object, value: int = 0) -> Any:
        paid = value if self.asset == ZERO else 0
        boa.env.set_balance(checksum(account), 10**20)
        with boa.env.prank(checksum(account)):
            return getattr(self.contract, name)(*arguments, value=paid)


def sheet_tuple(sheet: Sheet) -> tuple[object, ...]:
    """A sheet as the contract takes it."""
    locks = [(l.lock_id, int(l.payer), l.amount, l.condition, l.expires_at // 1000) for l in sheet.locks]  # noqa: E741
    return sheet.sequence, sheet.held, sheet.balance_a, sheet.balance_b, locks
