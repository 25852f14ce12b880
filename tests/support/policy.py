"""A vault with two reserved withdrawals and the one right payout for them; a minted deposit and its sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from bridge.deposits import Deposit, Stage
from bridge.payouts import Payout, Withdrawal, WithdrawalStage
from bridge.policy import Balance, Limits, VaultView, fee_shares
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits

VAULT = b"\x51\x20" + b"v" * 32
STRANGER = b"\x00\x14" + b"x" * 20
RETURN = b"\x51\x20" + b"r" * 32
PAYOUT_ID = b"p" * 32
TIP = BlockHeight(100)
LIMITS = Limits(fee_floor=SatPerKvB(1_000), fee_cap=SatPerKvB(50_000), input_depth=3)
SOLVENT = Balance(reserves=Satoshi(1_000_000), unsettled=Satoshi(0), supply=TokenUnits(900_000))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction as a proposer gives it."""

    inputs: Sequence[Coin]
    outputs: Sequence[TxOut]
    vsize: int = 200


def vault_coin(number: int, value: int, height: int | None = 90) -> Coin:
    return Coin(
        OutPoint(bytes([number]) * 32, 0), Satoshi(value), VAULT, None if height is None else BlockHeight(height)
    )


def withdrawal(number: int, amount: int, max_fee: int = 5_000, *, reserved: bool = True) -> Withdrawal:
    return Withdrawal(
        withdrawal_id=bytes([number]) * 32,
        asset=b"a" * 32,
        owner=b"o" * 20,
        amount=TokenUnits(amount),
        max_fee=Satoshi(max_fee),
        destination=b"\x00\x14" + bytes([number]) * 20,
        request_transaction=b"q" * 32,
        requested_at=BlockHeight(1),
        stage=WithdrawalStage.RESERVED if reserved else WithdrawalStage.REQUESTED,
        payout=PAYOUT_ID if reserved else None,
    )


def payout(withdrawals: Sequence[Withdrawal], coins: Sequence[Coin]) -> Payout:
    ids = tuple(w.withdrawal_id for w in withdrawals)
    return Payout(PAYOUT_ID, b"g" * 32, b"a" * 32, ids, tuple(coin.outpoint for coin in coins), 1)


def right_payment(withdrawals: Sequence[Withdrawal], coins: Sequence[Coin], fee: int, vsize: int = 200) -> Proposal:
    """The only transaction that pays `withdrawals` from `coins` with `fee` borne by them."""
    shares = fee_shares(Satoshi(fee), len(withdrawals))
    outputs = [TxOut(Satoshi(w.amount - s), w.destination) for w, s in zip(withdrawals, shares, strict=True)]
    surplus = sum(coin.value for coin in coins) - sum(w.amount for w in withdrawals)
    if surplus >= 330:
        outputs.append(TxOut(Satoshi(surplus), VAULT))
    return Proposal(tuple(coins), tuple(outputs), vsize)


def vault_view(coins: Sequence[Coin], reserved: dict[OutPoint, bytes] | None = None) -> VaultView:
    return VaultView({coin.outpoint: coin for coin in coins}, reserved or {}, TIP)


def minted_deposit(number: int, amount: int = 100_000, delay: int = 100) -> Deposit:
    return Deposit(
        deposit_id=bytes([number]) * 32,
        asset=b"a" * 32,
        group=b"g" * 32,
        txid=bytes([number]) * 32,
        vout=1,
        amount=Satoshi(amount),
        recipient=b"o" * 20,
        script=b"\x51\x20" + bytes([number]) * 32,
        delay=delay,
        stage=Stage.MINTED,
        height=BlockHeight(90),
        minted=TokenUnits(amount - 1_000),
        mint_transaction=b"m" * 32,
    )


def deposit_coin(deposit: Deposit) -> Coin:
    return Coin(OutPoint(deposit.txid, deposit.vout), deposit.amount, deposit.script, deposit.height)
