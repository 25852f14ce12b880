"""What `causeway bond` does on the native chain: bonds, delegations, what they earned, and what leaves."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from adapters.evm.logs import read_logs
from adapters.native.bindings import Bonds
from adapters.native.events import Bonded, FeesClaimed, Slashed, StoremanJoined, Unbonding, Withdrawn
from adapters.native.types import BondPosition, OperatorRecord, UnbondingRecord
from cli.exits import NotFound
from cli.output import coin
from foundation.errors import BadInput, Retryable
from foundation.quantities import TokenUnits, Wei

if TYPE_CHECKING:
    from adapters.evm.types import Call
    from adapters.native.chain import NativeChain
    from adapters.native.ports import Sender
    from registry.assets import Asset

Happened = TypeVar("Happened")

_VOUCHER: Final = re.compile(r"voucher-([1-9][0-9]?)", re.ASCII)
_ACCOUNT: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_OPERATOR_CURE: Final = "an account (0x…), voucher-N of causeway bond show, or an identity.json"


class NotReady(Retryable):
    """Nothing that was unbonded can be withdrawn yet. Fields: seconds (until the first can)."""

    def __init__(self, seconds: int) -> None:
        from cli.output import duration

        self.seconds = seconds
        self.cure = f"wait {duration(seconds * 1000)}, then causeway bond withdraw"
        super().__init__("nothing of it is ready yet")


@dataclass(frozen=True, slots=True)
class Claimable:
    """Earned fees that wait. Fields: asset; token; units; position (None: an operator's commission)."""

    asset: Asset
    token: bytes
    units: TokenUnits
    position: int | None

    def shown(self) -> str:
        """For people."""
        source = "commission" if self.position is None else f"position {self.position}"
        return f"{self.asset.format(self.units)} ({source})"


@dataclass(frozen=True, slots=True)
class OperatorView:
    """An operator for people. Fields: record; own (its own bond, wei); name (voucher-N, where it attests)."""

    record: OperatorRecord
    own: Wei
    name: str

    @property
    def delegated(self) -> int:
        """What others have bonded to it."""
        return self.record.bond - self.own

    @property
    def role(self) -> str:
        """What it is."""
        r = self.record
        roles = [name for name, has in (("voucher", r.is_voucher), ("storeman", r.is_storeman)) if has]
        if r.is_slashed:
            roles.append("slashed")
        return ", ".join(roles) or "left"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account has in Bonds. Fields: positions (its own, open ones); unbondings; claimable."""

    positions: tuple[BondPosition, ...]
    unbondings: tuple[UnbondingRecord, ...]
    claimable: tuple[Claimable, ...]


async def find_operator(native: NativeChain, text: str) -> bytes:
    """The operator that a person means. Raises `BadInput`, `NotFound`."""
    from adapters.evm.hexes import parse_address

    named = _VOUCHER.fullmatch(text)
    if named is not None:
        vouchers = (await native.vouchers("latest")).vouchers
        place = int(named[1])
        if place > len(vouchers):
            raise NotFound(f"there is no {text}: {len(vouchers)} vouchers have joined", "causeway bond show lists them")
        return vouchers[place - 1].member.account
    account = parse_address(text, "OPERATOR") if _ACCOUNT.fullmatch(text) else _of_identity(Path(text))
    record = await native.operator(account, "latest")
    if record is None:
        raise NotFound(f"0x{account.hex()} is neither voucher nor storeman", "causeway bond show lists who takes bonds")
    if record.is_slashed:
        raise BadInput("OPERATOR", "was slashed, and takes no bonds any more", "another operator")
    return account


def _of_identity(path: Path) -> bytes:
    from cli.node_folder import PublicIdentity

    if not path.exists():
        raise BadInput("OPERATOR", f"{str(path)!r} is no operator", _OPERATOR_CURE)
    return PublicIdentity.load(path).member.account


async def send_one(
    native: NativeChain, sender: Sender, call: Call, kind: type[Happened], **wanted: Any
) -> tuple[Happened, bytes]:
    """Send a call that nothing before it in this account's life can have sent, and find the event that it caused."""
    sent = await sender.send(call, f"{call.label} {secrets.token_hex(8)}")
    for event in native.decoded(sent.receipt.logs):
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in wanted.items()):
            return event, sent.receipt.transaction
    raise AssertionError(f"{call.label} succeeded without {kind.__name__}")


async def deposit(
    native: NativeChain, sender: Sender, amount: Wei, group: bytes | None, commission_bps: int
) -> tuple[Bonded | None, bytes]:
    """Add to one's own bond; with a group, become an operator as its storeman first, where no bond is needed.

    Raises:
        BadInput: the account is no operator, or no storeman of the group.
        `ContractRefused`, and what `TxSender.send` raises.
    """
    record = await native.operator(sender.account, "latest")
    if group is None:
        if record is None:
            cure = "causeway voucher join, --join-as-storeman GROUP, or bond to an operator: causeway bond delegate"
            raise BadInput("--account-key", "is of an account that is neither voucher nor storeman", cure)
        return await send_one(native, sender, native.calls.deposit_bond(amount), Bonded, owner=sender.account)
    if record is not None and record.is_storeman:
        raise BadInput("--join-as-storeman", "the account has joined before", "leave the option out")
    members = await native.members(group, "latest")
    if all(member.account != sender.account for member in members):
        raise BadInput("--join-as-storeman", "the account is no storeman of this group", "causeway group show")
    call = native.calls.join_as_storeman(group, commission_bps, amount)
    if not amount:
        return None, (await send_one(native, sender, call, StoremanJoined, account=sender.account))[1]
    return await send_one(native, sender, call, Bonded, owner=sender.account)


async def delegate(native: NativeChain, sender: Sender, operator: bytes, amount: Wei) -> tuple[Bonded, bytes]:
    """Bond coin to an operator. Raises as `deposit`."""
    return await send_one(native, sender, native.calls.delegate(operator, amount), Bonded, owner=sender.account)


async def unbond(native: NativeChain, sender: Sender, number: int, amount: Wei | None) -> tuple[Unbonding, bytes]:
    """Begin to take a position out, all where `amount` is None. Raises `BadInput`, `NotFound`, and as `deposit`."""
    position = await native.bond_position(number, "latest")
    if position is None:
        raise NotFound(f"there is no position {number}", "causeway bond show lists yours")
    if position.owner != sender.account:
        problem = f"position {number} belongs to 0x{position.owner.hex()}"
        raise BadInput("POSITION", problem, "a position of the account: causeway bond show")
    if not position.is_open:
        raise BadInput("POSITION", f"position {number} is closed", "what goes on of it: causeway bond show")
    wanted = position.worth if amount is None else amount
    if not 0 < wanted <= position.worth:
        raise BadInput("AMOUNT", f"the position is worth {coin(position.worth)}", "more than 0, at most that, or all")
    return await send_one(native, sender, native.calls.unbond(number, wanted), Unbonding, owner=sender.account)


async def withdraw(native: NativeChain, sender: Sender, number: int | None, now: int) -> list[tuple[Withdrawn, bytes]]:
    """Pay out what is ready, or one unbonding.

    Raises:
        NotReady: none is.
        NotFound: the account has unbonded nothing, or not this.
    """
    waiting = await native.unbondings_of(sender.account, "latest")
    if number is not None:
        waiting = [one for one in waiting if one.id == number]
    if not waiting:
        raise NotFound("nothing of this account waits to be withdrawn", "causeway bond unbond POSITION AMOUNT first")
    ready = [one for one in waiting if one.ready_at <= now]
    if not ready:
        raise NotReady(min(one.ready_at for one in waiting) - now)
    return [await send_one(native, sender, native.calls.withdraw_bond(one.id), Withdrawn, id=one.id) for one in ready]


async def claimable(native: NativeChain, account: bytes, only: Asset | None = None) -> list[Claimable]:
    """All fees that an account can claim: of its positions, closed ones too, and its commission as an operator."""
    positions = [p for p in await native.positions_of(account, "latest", with_closed=True) if p.owner == account]
    is_operator = await native.operator(account, "latest") is not None
    found = []
    for asset in [only] if only is not None else await native.assets("latest"):
        token = await native.token_of(asset.id, "latest")
        if token is None:
            continue
        for position in positions:
            units = await native.claimable(position.id, token, "latest")
            found.append(Claimable(asset, token, units, position.id))
        if is_operator:
            found.append(Claimable(asset, token, await native.commission_owed(account, token, "latest"), None))
    return [one for one in found if one.units]


async def claim(native: NativeChain, sender: Sender, wanted: Sequence[Claimable]) -> list[tuple[Claimable, bytes]]:
    """Claim fees, each in a transaction of its own; what was paid is what the event says."""
    done = []
    for one in wanted:
        calls = native.calls
        call = calls.claim_commission(one.token) if one.position is None else calls.claim_fees(one.position, one.token)
        event, transaction = await send_one(native, sender, call, FeesClaimed, owner=sender.account)
        done.append((Claimable(one.asset, one.token, event.amount, one.position), transaction))
    return done


async def operators(native: NativeChain) -> list[OperatorView]:
    """Everybody who takes, or took, bonds: vouchers by their names, then storemen, then who was slashed."""
    vouchers = [voucher.member.account for voucher in (await native.vouchers("latest")).vouchers]
    topics = [[event.topic for event in (Bonds.StoremanJoined, Bonds.Slashed)]]
    last = (await native.latest_block()).number
    logs = await read_logs(native.rpc, [native.deployment.bonds], native.deployment.start_block, last, topics)
    events = native.decoded(logs)
    others = [e.account if isinstance(e, StoremanJoined) else e.voucher for e in events if isinstance(e, _OF_OTHERS)]
    found = []
    for account in dict.fromkeys([*vouchers, *others]):
        record = await native.operator(account, "latest")
        if record is not None:
            name = f"voucher-{vouchers.index(account) + 1}" if account in vouchers else ""
            found.append(OperatorView(record, await _own(native, record), name))
    return found


_OF_OTHERS: Final = (StoremanJoined, Slashed)


async def _own(native: NativeChain, record: OperatorRecord) -> Wei:
    if not record.own_position:
        return Wei(0)
    position = await native.bond_position(record.own_position, "latest")
    return Wei(0) if position is None else position.worth


async def holdings(native: NativeChain, account: bytes) -> Holdings:
    """What an account has in Bonds now."""
    positions = [p for p in await native.positions_of(account, "latest") if p.owner == account]
    unbondings = await native.unbondings_of(account, "latest")
    return Holdings(tuple(positions), tuple(unbondings), tuple(await claimable(native, account)))


def total(amounts: Iterable[int]) -> Wei:
    """The sum, in wei."""
    return Wei(sum(amounts))
