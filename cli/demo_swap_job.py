"""The swap demo's job: Alice gives 1 BTC for Bob's 20 ETH, step by step, as both machines see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from adapters.bitcoin.transactions import parse_transaction
from cli.demo_screen import Screen
from cli.swap_amounts import btc, span
from cli.swap_stage import COIN, ETHER, STEP_SECONDS, Stage, Trader, until
from registry.amounts import format_amount
from settlement.swap.machine.facts import LockStatus, SpendKind
from settlement.swap.machine.states import Outcome
from settlement.swap.store.store import SwapRow

FUNDS_BTC: Final = 2 * COIN
FUNDS_ETH: Final = 50 * ETHER


async def perform(screen: Screen, stage: Stage, *, private: bool) -> bool:
    """All of it; whether both ended with what they wanted."""
    async with AsyncExitStack() as stack:
        await _begin(screen, stage, stack)
        await _people(screen, stage)
        link = await _offer(screen, stage, private)
        await _take(screen, stage, link)
        await _legs(screen, stage)
        await _claims(screen, stage)
        fine = await _end(screen, stage)
        await _table(screen, stage)
        for trader in (stage.alice, stage.bob):
            last = trader.told.strip().splitlines()[-1].partition("  Swap ")[0]
            screen.say(f"{trader.name.capitalize()}'s screen says: {last}", "dim")
        return fine


async def _begin(screen: Screen, stage: Stage, stack: AsyncExitStack) -> None:
    with screen.step("Chains start: bitcoin, and an EVM chain") as step:
        await stack.enter_async_context(stage)
        step.done(f"the Escrow is 0x{stage.escrow.hex()[:12]}…")
        step.also("(a contract: holds Ether until a secret, or a time-out, says to whom it goes)")
        step.also("Alice and Bob each run a bitcoin node of their own; the two are peers")


async def _people(screen: Screen, stage: Stage) -> None:
    with screen.step("Alice and Bob: `swap init`") as step:
        for trader in (stage.alice, stage.bob):
            await stage.init(trader)
        await stage.fund(stage.alice, FUNDS_BTC, ETHER)
        await stage.fund(stage.bob, 0, FUNDS_ETH)
        step.done("24 words each")
        step.also("Alice gets 2 BTC from a miner (and 1 ETH for gas), Bob gets 50 ETH")


async def _offer(screen: Screen, stage: Stage, private: bool) -> str:
    with screen.step("Alice: `swap offer --give 1BTC --want 20ETH`") as step:
        extra = ("--private",) if private else ()
        await stage.alice.begin("offer", "--give", "1BTC", "--want", "20ETH", "--valid", "30m", "--no-qr", *extra)
        link = await until(lambda: _value(stage.alice.link), "Alice's offer")
        step.done(f"a link of {len(link)} characters, signed")
        step.also(f"{link[:84]}…")
    return link


async def _value(look: Callable[[], str | None]) -> str | None:
    return look()


async def _take(screen: Screen, stage: Stage, link: str) -> None:
    with screen.step("Bob: `swap take`") as step:
        await stage.bob.begin("take", link, "--yes")
        row = await _both(stage, lambda row: row.state.peer_agreed, "both have signed the terms")
        terms = row.state.terms
        step.done(f"terms signed; swap {row.swap_id.hex()[:12]}…")
        t2, t1 = (span(at - terms.agreed_at) for at in (terms.bitcoin.expires_at, terms.evm.expires_at))
        step.also(f"if it fails, Alice can take her bitcoin back from T2 on, in {t2},")
        step.also(f"and Bob his Ether from T1 on, in {t1}: `swap plan 1BTC` shows why")


async def _legs(screen: Screen, stage: Stage) -> None:
    with screen.step("Bob locks 20 ETH in the Escrow") as step:
        row = await _one(stage, stage.bob, _is_locked, "the lock is there")
        lock = row.state.own_lock
        assert lock is not None, "it was seen"
        how = "a point" if row.state.terms.point else "a hash"
        step.done(f"by {how}, 0x{lock.view.condition.hex()[-40:][:12]}…")
    with screen.step("Alice checks the lock, and funds 1 BTC") as step:
        row = await _one(stage, stage.alice, lambda row: bool(row.state.outputs), "the output is funded")
        step.done(f"in {row.state.outputs[0].outpoint[:32][::-1].hex()[:12]}…")
        step.also("a Taproot output; its key is both's together, so it looks like any payment")
    with screen.step("A bitcoin block") as step:
        row = await _one(stage, stage.bob, lambda row: any(one.confirmations for one in row.state.outputs), "a block")
        step.done("1 confirmation, as planned")


async def _claims(screen: Screen, stage: Stage) -> None:
    with screen.step("Bob shows the secret, claims the bitcoin") as step:
        row = await _one(stage, stage.bob, _is_spent, "the claim is there")
        spend = row.state.outputs[0].spend
        assert spend is not None, "it was seen"
        step.done(f"in {spend.txid[::-1].hex()[:12]}…")
        step.also(await _size(stage, spend.txid))
        if row.state.terms.point:
            step.also("both signed it in advance; completing it shows Alice the secret, and nobody else")
        else:
            step.also("Bob told Alice the secret in a sealed letter; she claims (9), and signs too")
    with screen.step("Alice claims the 20 ETH by the secret") as step:
        await _one(stage, stage.alice, _is_claimed, "the lock is claimed")
        step.done("paid to her account")
        step.also("whoever brings the secret to the Escrow: it pays Alice, and nobody else")


async def _end(screen: Screen, stage: Stage) -> bool:
    with screen.step("Both machines see that all is final") as step:
        outcomes = []
        for trader in (stage.alice, stage.bob):
            row = await _one(stage, trader, lambda row: row.state.outcome is not None, f"{trader.name} is done")
            outcomes.append(row.state.outcome)
            assert trader.process is not None, "it runs"
            await trader.process.wait(STEP_SECONDS)
        fine = all(outcome is Outcome.SWAPPED for outcome in outcomes)
        step.done("swapped" if fine else ", ".join(str(outcome) for outcome in outcomes))
    return fine


# --- Looking ----------------------------------------------------------------------------------------------------------


async def _one(stage: Stage, trader: Trader, holds: Callable[[SwapRow], bool], what: str) -> SwapRow:
    """Somebody's swap once something holds of it; blocks come where they are waited for."""

    async def look() -> SwapRow | None:
        row = await trader.swap()
        if row is not None and holds(row):
            return row
        if trader.process is not None and not trader.process.is_running and row is None:
            raise RuntimeError(f"{trader.name}'s command has ended:\n{trader.told}")
        await stage.mine_if_asked()
        return None

    return await until(look, what)


async def _both(stage: Stage, holds: Callable[[SwapRow], bool], what: str) -> SwapRow:
    await _one(stage, stage.alice, holds, what)
    return await _one(stage, stage.bob, holds, what)


def _is_locked(row: SwapRow) -> bool:
    return row.state.own_lock is not None and row.state.own_lock.final


def _is_spent(row: SwapRow) -> bool:
    return any(one.spend is not None and one.spend.kind is SpendKind.CLAIM for one in row.state.outputs)


def _is_claimed(row: SwapRow) -> bool:
    return row.state.own_lock is not None and row.state.own_lock.status is LockStatus.CLAIMED


async def _size(stage: Stage, txid: bytes) -> str:
    raw = str(await stage.nodes[1].rpc.call("getrawtransaction", txid[::-1].hex()))
    found = parse_transaction(bytes.fromhex(raw))
    items = len(found.witnesses[0])
    return f"{found.vsize} vB; its witness has {items} item{'s' if items > 1 else ': one signature'}"


async def _table(screen: Screen, stage: Stage) -> None:
    rows = []
    for trader, before in ((stage.alice, "2 BTC, 1 ETH"), (stage.bob, "0 BTC, 50 ETH")):
        satoshi, wei = await trader.satoshi(), await stage.ether(trader)
        ether = format_amount(wei // 10**12 * 10**12, 18, symbol="ETH")
        rows.append((trader.name.capitalize(), btc(satoshi), ether, before))
    screen.say()
    screen.table("What they have now", ("who", "bitcoin", "ether", "before"), rows)
    screen.say()
