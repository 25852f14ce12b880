"""An office whose world is made up: a real database in memory's stead, made-up peers, chains, time and members."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from adapters.bitcoin.primitives import BlockRef, OutPoint
from adapters.native.eip712 import HubDigests, account_of_secret, sign_digest
from adapters.native.types import Voucher, VoucherSet
from bridge.agents.office import Office
from bridge.codec import encode_state
from bridge.deposits import Deposit, Stage
from bridge.messages import Attestation, Claim, claim_digest
from bridge.payouts import Confirmed, Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.signals import Signal
from bridge.storage import Database, PayoutRow, TransferKind, TransferRow
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight, Satoshi, TokenUnits, UnixMs, Wei
from mpc.identity import Identity
from registry.groups import Member
from registry.ids import deposit_id, withdrawal_id
from tests.support.bridge_database import fresh_database

ASSET, GROUP, TXID = b"a" * 32, b"g" * 32, b"t" * 32
RECIPIENT = b"r" * 20
HUB = HubDigests(31337, b"h" * 20)
TIP = BlockHeight(200)


def identity(number: int) -> Identity:
    return Identity.from_host_secret(bytes([number]) * 32)


def voucher(number: int) -> Voucher:
    i = identity(number)
    member = Member(account_of_secret(i.account_secret), i.host_key, i.transport_key, f"tcp://127.0.0.1:{number}")
    return Voucher(member, Wei(1))


VOUCHERS = tuple(voucher(number) for number in range(1, 5))


@dataclass
class Peers:
    """Answers as a test says; keeps what was asked."""

    answers: dict[bytes, Callable[[str, bytes], bytes]] = field(default_factory=dict)
    silent: dict[bytes, asyncio.Event] = field(default_factory=dict)
    asked: list[tuple[bytes, str, bytes]] = field(default_factory=list)

    async def request(self, peer: bytes, kind: str, body: bytes, timeout_s: float) -> bytes:
        self.asked.append((peer, kind, body))
        if peer in self.silent:
            await self.silent[peer].wait()
        return self.answers[peer](kind, body)


@dataclass
class Sender:
    """Takes calls, or refuses as a test says."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    error: CausewayError | None = None

    async def is_used_up(self, key: str) -> bool:
        return False

    async def send(self, call: Any, key: str) -> Any:
        self.sent.append((call.label, key))
        if self.error is not None:
            raise self.error
        return SimpleNamespace(transaction=b"n" * 32, receipt=SimpleNamespace(transaction=b"n" * 32))


@dataclass
class World:
    """One voucher's office. `now` is its clock."""

    office: Office
    database: Database
    peers: Peers
    sender: Sender
    now: int = 1_000_000

    @classmethod
    async def open(cls, folder: Path) -> World:
        database = await fresh_database(folder / "office.db")
        peers, sender = Peers(), Sender()
        me = identity(1)
        vouchers = VoucherSet(VOUCHERS, Wei(len(VOUCHERS)))
        directory = SimpleNamespace(
            vouchers=vouchers,
            voucher_peers=lambda: tuple(v.member.host_key for v in VOUCHERS),
            name_of=lambda key: key.hex()[:8],
            host_key_of=lambda account: {v.member.account: v.member.host_key for v in VOUCHERS}.get(account),
            asset=ASSET,
            assets={ASSET: None},
            origins={},
            open_chains=frozenset(),
        )
        fake = SimpleNamespace(
            identity=me,
            account=account_of_secret(me.account_secret),
            database=database,
            directory=directory,
            context=SimpleNamespace(
                directory=directory, withdrawal_id=lambda number: withdrawal_id(31337, b"h" * 20, number)
            ),
            intake=SimpleNamespace(tip=BlockRef(TIP, b"b" * 32)),
            policy=SimpleNamespace(settled_depth=2, slot_seconds=1.0),
            native=SimpleNamespace(hub_digests=HUB, calls=_Calls()),
            peers=peers,
            sender=sender,
            changed=Signal(),
            is_turn=lambda members, turns=1, subject=b"": True,
            slot_left_seconds=lambda: 0.01,
        )
        world = cls(cast(Office, fake), database, peers, sender)
        fake.clock = lambda: UnixMs(world.now)
        return world

    async def store(self, *states: Deposit | Withdrawal | Payout) -> None:
        """Put states into the database, as the intake would."""
        async with self.database.unit() as uow:
            for state in states:
                if isinstance(state, Payout):
                    old = await uow.payouts.get(state.payout_id)
                    row = PayoutRow(
                        state.payout_id,
                        state.stage,
                        encode_state(state),
                        UnixMs(1),
                        UnixMs(1),
                        old.version if old else 0,
                    )
                    await uow.payouts.save(row)
                    if old is None:
                        await uow.payouts.link(state.payout_id, state.withdrawals)
                    continue
                deposit = isinstance(state, Deposit)
                id_ = state.deposit_id if isinstance(state, Deposit) else state.withdrawal_id
                kind = TransferKind.DEPOSIT if deposit else TransferKind.WITHDRAWAL
                found = await uow.transfers.get(id_)
                version = found.version if found else 0
                await uow.transfers.save(
                    TransferRow(id_, kind, state.stage, encode_state(state), UnixMs(1), UnixMs(1), version=version)
                )
            await uow.commit()


class _Calls:
    """The Hub's calls, told by their names."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: SimpleNamespace(label=name, data=repr((name, arguments)).encode())


def deposit(vout: int = 0, stage: Stage = Stage.FINAL, **changes: Any) -> Deposit:
    state: dict[str, Any] = {
        "deposit_id": deposit_id(ASSET, TXID, vout),
        "asset": ASSET,
        "group": GROUP,
        "txid": TXID,
        "vout": vout,
        "amount": Satoshi(50_000),
        "recipient": RECIPIENT,
        "script": b"\x51\x20" + b"d" * 32,
        "delay": 144,
        "stage": stage,
        "height": BlockHeight(199),
    }
    return Deposit(**{**state, **changes})


def paid_payout(txid: bytes = b"x" * 32, payout_id: bytes = b"p" * 32) -> tuple[Withdrawal, Payout]:
    """A payout that is final on bitcoin, with its one withdrawal."""
    withdrawal = Withdrawal(
        b"w" * 32,
        ASSET,
        b"o" * 20,
        TokenUnits(40_000),
        Satoshi(1_000),
        b"\x00\x14" + b"k" * 20,
        b"q" * 32,
        BlockHeight(5),
        WithdrawalStage.RESERVED,
        payout_id,
    )
    confirmed = Confirmed(txid, BlockHeight(190), Satoshi(300))
    inputs = (OutPoint(b"c" * 32, 0),)
    return withdrawal, Payout(
        payout_id, GROUP, ASSET, (withdrawal.withdrawal_id,), inputs, 1, PayoutStage.PAID, confirmed
    )


def attested(claim: Claim, number: int) -> Attestation:
    """A claim with the signature of a voucher, or of a stranger for a number above 4."""
    return Attestation(claim, sign_digest(identity(number).account_secret, claim_digest(HUB, claim)))


def accounts(numbers: Sequence[int]) -> list[bytes]:
    return [account_of_secret(identity(number).account_secret) for number in numbers]
