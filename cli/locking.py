"""What `causeway lock` and the demo do for somebody who sends an asset of an EVM chain over the bridge."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.events import Locked, decode_event
from adapters.evm.lockbox.tokens import token_description
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.types import Call
from cli.lock_assets import Newcomer
from cli.lock_permit import LIFETIME_SECONDS, permit_terms
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.amounts import MAX_DECIMALS, format_amount, parse_amount
from registry.caip import AssetType, lockbox_asset

if TYPE_CHECKING:
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from cli.lock_chain import Origin
    from cli.lock_receipt import LockReceipt
    from registry.assets import Asset, AssetPolicy

_EVERYTHING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Lockable:
    """What is locked. Fields: asset (its type); policy; token (as the vault names it, 20 bytes); symbol, decimals;
    is_new (nobody has registered it yet).
    """

    asset: AssetType
    policy: AssetPolicy
    token: bytes
    symbol: str
    decimals: int
    is_new: bool

    def shown(self, units: int) -> str:
        """An amount for people."""
        return format_amount(units, self.decimals, symbol=self.symbol)

    def parse(self, text: str) -> TokenUnits:
        """An amount that a person wrote. Raises `BadInput`."""
        return TokenUnits(parse_amount(text, self.decimals, "AMOUNT"))


@dataclass(frozen=True, slots=True)
class LockPlan:
    """What will happen. Fields: lockable; amount; recipient; fees (deposit fee and service fee); minted; notes (what
    the person should know before).
    """

    lockable: Lockable
    amount: TokenUnits
    recipient: bytes
    fees: TokenUnits
    minted: TokenUnits
    notes: tuple[str, ...]


async def lockable(found: Asset | Newcomer, origin: Origin) -> Lockable:
    """What the amount is counted in: by the Registry, or, of a newcomer, by what the token says of itself.

    Raises:
        BadInput: a newcomer's address holds no contract.
    """
    if not isinstance(found, Newcomer):
        kind = AssetType.parse(found.caip19)
        return Lockable(kind, found.policy, lockbox_asset(kind), found.symbol, found.decimals, is_new=False)
    token, at = lockbox_asset(found.type), await origin.latest()
    if not await origin.endpoints.code(token, at):
        raise BadInput("ASSET", f"no contract is at 0x{token.hex()} on {origin.chain.caip2}", "the token's address")
    told = await token_description(origin.endpoints, token, at)
    if told.decimals > MAX_DECIMALS:
        raise BadInput("ASSET", f"{told.symbol} has {told.decimals} decimals", f"at most {MAX_DECIMALS}")
    return Lockable(found.type, found.policy, token, told.symbol, told.decimals, is_new=True)


async def plan(native: NativeChain, origin: Origin, what: Lockable, amount: TokenUnits, recipient: bytes) -> LockPlan:
    """Say what will be minted, and refuse what would only come back. Nothing is sent.

    Raises:
        BadInput: naming the argument that makes it fail.
    """
    policy = what.policy
    if recipient in (bytes(20), native.deployment.hub):
        raise BadInput("--recipient", "cannot receive tokens", "an account of yours on the native chain")
    if policy.denied or policy.paused:
        how = "is not taken by the bridge" if policy.denied else "is paused: it would be sent back"
        raise BadInput("ASSET", f"{what.symbol} {how}", "another asset, or wait until the bridge's owner says more")
    if amount < policy.minimum_deposit:
        least = what.shown(policy.minimum_deposit)
        raise BadInput(
            "AMOUNT", f"{what.shown(amount)} is below the minimum: it would be sent back", f"at least {least}"
        )
    if policy.deposit_limit and amount > policy.deposit_limit:
        most = what.shown(policy.deposit_limit)
        raise BadInput("AMOUNT", "is more than may be deposited in a day: it would be sent back", f"at most {most}")
    minted = policy.minted(amount)
    if minted <= 0:
        raise BadInput("AMOUNT", f"{what.shown(amount)} is eaten up by the fees", "a larger amount")
    await _check_vault(origin, what, amount)
    notes = await _halts(native, what)
    if what.is_new:
        notes += (f"{what.symbol} is new to the bridge: the vouchers introduce it with this lock",)
    return LockPlan(what, amount, recipient, TokenUnits(amount - minted), minted, notes)


async def _check_vault(origin: Origin, what: Lockable, amount: TokenUnits) -> None:
    """What the vault would refuse, said before anything is signed."""
    limits = await origin.reader.limits(what.token, await origin.latest())
    if limits.denied:
        raise BadInput("ASSET", f"the vault takes no {what.symbol}", "another asset")
    left = limits.deposit_limit - limits.locked
    if limits.deposit_limit and amount > left:
        cure = f"at most {what.shown(max(left, 0))} now, or wait for the next window"
        raise BadInput("AMOUNT", f"the vault's limit of {what.shown(limits.deposit_limit)} a window is reached", cure)


async def _halts(native: NativeChain, what: Lockable) -> tuple[str, ...]:
    until = max([await native.halted_until(asset, "latest") for asset in (what.asset.id, _EVERYTHING)])
    if until <= time.time():
        return ()
    from cli.output import clock

    return (f"mints are halted until {clock(until * 1000)} by the vouchers: the tokens come after that",)


async def send_lock(
    native: NativeChain,
    origin: Origin,
    sender: TxSender,
    secret: bytes,
    planned: LockPlan,
    *,
    permit: bool | None,
    progress: Callable[[str], None],
) -> LockReceipt:
    """Lock, with a permit or after an approval. Each transaction is simulated before it is sent.

    Args:
        native: the bridge.
        origin: the asset's chain.
        sender: of the account that locks.
        secret: its key, for a permit.
        planned: what to lock.
        permit: whether to use the token's permits; None: where it has them.
        progress: told of each step.

    Raises:
        BadInput: the account has too little, or the token has no permits and they were asked for.
        LockboxRefused, and what `TxSender.send` raises.
    """
    what, calls = planned.lockable, origin.calls
    plain = calls.lock(what.token, planned.amount, planned.recipient)
    await _check_funds(origin, sender.account, planned)
    call = plain
    if what.token == NATIVE_COIN:
        if permit:
            raise BadInput("--permit", f"{what.symbol} is the chain's own coin, which needs none", "leave it out")
    elif await _allowance(origin, what.token, sender.account) < planned.amount:
        terms = None if permit is False else await permit_terms(origin.rpc, origin.number, what.token, sender.account)
        if terms is not None:
            deadline = int(time.time()) + LIFETIME_SECONDS
            signed = terms.sign(secret, sender.account, calls.lockbox, planned.amount, deadline)
            call = calls.lock_with_permit(what.token, planned.amount, planned.recipient, deadline, signed)
            progress("the token takes a permit: no approval is needed")
        elif permit:
            raise BadInput("--permit", f"{what.symbol} has no permits (EIP-2612)", "--no-permit, or leave it out")
        else:
            await _approve(origin, sender, what.token, planned.amount, progress)
    sent = await sender.send(call, call.label)
    logs = [log for log in sent.receipt.logs if log.address == calls.lockbox]
    (locked,) = [event for event in map(decode_event, logs) if isinstance(event, Locked)]
    return _receipt(native, calls.lockbox, planned, locked)


def _receipt(native: NativeChain, lockbox: bytes, planned: LockPlan, locked: Locked) -> LockReceipt:
    from cli.lock_receipt import LockReceipt

    what = planned.lockable
    return LockReceipt(
        asset=what.asset,
        decimals=what.decimals,
        symbol=what.symbol,
        lockbox=lockbox,
        number=locked.number,
        amount=locked.amount,
        sender=locked.sender,
        recipient=locked.recipient,
        transaction=locked.at.transaction,
        block=locked.at.block.number,
        hub_chain_id=native.deployment.chain_id,
        hub=native.deployment.hub,
    )


async def _check_funds(origin: Origin, account: bytes, planned: LockPlan) -> None:
    what = planned.lockable
    if what.token == NATIVE_COIN:
        has: int = await origin.rpc.balance(account)
        problem = f"the account has {what.shown(has)} only, and needs some of it for gas"
        short = has <= planned.amount
    else:
        call = Call(what.token, Token.balance_of.encode(account), Token.balance_of.label)
        (has,) = Token.balance_of.decode(await origin.rpc.call(call))
        problem, short = f"the account has {what.shown(has)} only", has < planned.amount
    if short:
        raise BadInput("AMOUNT", problem, "a smaller amount, or another --account-key")


async def _allowance(origin: Origin, token: bytes, owner: bytes) -> int:
    call = Call(token, Token.allowance.encode(owner, origin.calls.lockbox), Token.allowance.label)
    return int(Token.allowance.decode(await origin.rpc.call(call))[0])


async def _approve(
    origin: Origin, sender: TxSender, token: bytes, amount: TokenUnits, progress: Callable[[str], None]
) -> None:
    """Let the vault take exactly this much; some tokens change an allowance only from zero."""
    if await _allowance(origin, token, sender.account):
        await sender.send(origin.calls.approve(token, TokenUnits(0)), "approve nothing")
    sent = await sender.send(origin.calls.approve(token, amount), "approve")
    progress(f"approved in 0x{sent.receipt.transaction.hex()}")
