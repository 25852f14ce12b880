"""The second half of the settlement demo: each party's journal, the receipt, its proof, and sums that are zero."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from adapters.evm.abi import function
from adapters.evm.endpoints import Endpoints
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import Call
from cli.demo_screen import Screen
from cli.exits import TimedOut
from cli.settlement_town import CLEARER, PAYEE, PAYER, Town
from foundation.database import Database
from foundation.errors import BadInput, Retryable
from registry.caip import evm_chain
from registry.chains import OWN_FINALITY, Chain
from settlement.books.evm_anchors import EvmRoots
from settlement.books.receipt_check import Outcome, Report, TrustedKeys, verify_receipt
from settlement.books.receipt_file import ReceiptFile, receipt_file
from settlement.books.sealing import NarrativeKey
from settlement.books.store import Books
from settlement.cosign.keyfile import open_key_file
from settlement.gateway.cards import read_cards
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.process import wall_clock
from settlement.gateway.runtime import SCHEMA
from settlement.quantities import Asset, PartyId

if TYPE_CHECKING:
    from cli.demo_settlement_job import Bank

NAMES: Final = {PAYER: "Bank A", CLEARER: "the clearing bank", PAYEE: "Bank B"}
_BALANCE = function("ERC20", "balanceOf", "address", "uint256")
_SUPPLY = function("ERC20", "totalSupply", "", "uint256")
_WAIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2


async def show_books(screen: Screen, town: Town, bank: Bank, payment: str) -> bool:
    """Show the books; whether all is as it has to be."""
    screen.say()
    with screen.step("All three sign the receipt, A anchors it", "") as step:
        file = await _receipt(town, bytes.fromhex(payment))
        assert file.proof is not None, "waited for"
        assert file.proof.anchored is not None, "waited for"
        step.done("one BLS signature of three banks")
        step.also("the third entry: chained by hashes, in a Merkle batch, its root on the native chain")
    fine = True
    for name in (PAYER, CLEARER, PAYEE):
        fine = await _journal(screen, town, name, bytes.fromhex(payment)) and fine
    report = await _verified(town, file)
    words = {Outcome.HOLDS: "holds", Outcome.FAILS: "FAILS", Outcome.UNCHECKED: "not checked"}
    rows = [(check.name, words[check.outcome], check.detail) for check in report.checks]
    screen.table("\nWhat an auditor finds, with the file and the chain alone", ("check", "", "what it says"), rows)
    return await _sums(screen, town) and fine and report.is_complete


async def _receipt(town: Town, payment: bytes) -> ReceiptFile:
    """The payer's receipt, once its batch is anchored. Raises `TimedOut`."""
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    directory = _directory(town)
    async with await Database.open(town.databases[PAYER], SCHEMA) as database:
        while asyncio.get_running_loop().time() < deadline:
            try:
                async with database.view() as view:
                    file = await receipt_file(view, payment, PartyId(PAYER), directory.registry)
                if file.proof is not None and file.proof.anchored is not None:
                    return file
            except BadInput:
                pass  # not closed yet
            await asyncio.sleep(_LOOK_SECONDS)
    raise TimedOut("the receipt is not anchored", _WAIT_SECONDS, "the logs are below")


def _directory(town: Town) -> Directory:
    return Directory(read_cards(town.folder / PAYER / "cards"), wall_clock())


async def _journal(screen: Screen, town: Town, name: str, payment: bytes) -> bool:
    """One party's entries of the payment; whether each sums to zero for each currency."""
    folder = town.folder / name
    seed = open_key_file(folder / "seed.key", PartyId(name), (folder / "password").read_text())
    key = NarrativeKey(Secrets.derive(PartyId(name), seed).books_key)
    async with await Database.open(town.databases[name], SCHEMA) as database, database.view() as view:
        posted = await Books(view.connection, key).of_payment(payment)
    rows: list[tuple[str, str, str]] = []
    sums: defaultdict[tuple[int, Asset], int] = defaultdict(int)
    for one in posted:
        for line in one.entry.lines:
            asset = line.account.asset
            sums[one.number, asset] += line.change
            rows.append((one.entry.event, f"{asset.text(line.change)} {asset.code}", line.account.name))
    screen.table(f"\nThe journal of {NAMES[name]}", ("entry", "change", "account"), rows)
    return bool(rows) and not any(sums.values())


async def _verified(town: Town, file: ReceiptFile) -> Report:
    """As an auditor: the parties' keys from their own cards, and the chain asked."""
    assert town.contracts is not None, "the town is open"
    trusted: TrustedKeys = {
        party: frozenset({card.possession.key}) for party, card in read_cards(town.folder / PAYER / "cards").items()
    }
    chain = Chain.named(evm_chain(town.chain.chain_id), town.contracts.genesis, OWN_FINALITY)
    async with Endpoints.at([town.chain.url], chain) as endpoints:
        for _ in range(50):
            try:
                return await verify_receipt(file, trusted, EvmRoots(endpoints))
            except Retryable:
                await asyncio.sleep(_LOOK_SECONDS)
        return await verify_receipt(file, trusted, None)


async def _sums(screen: Screen, town: Town) -> bool:
    """Every ledger and every party's books sum to zero."""
    assert town.operator is not None, "the town is open"
    verdict = await town.operator.verify()
    rows = [("the digital euro's book", "zero" if verdict.ok else "NOT ZERO", "all accounts, holds and totals")]
    fine = verdict.ok
    rows.append(await _supply(town))
    fine = fine and rows[-1][1] == "zero"
    for name in (PAYER, CLEARER, PAYEE):
        sums = await _totals(town, name)
        is_zero = not any(sums.values())
        fine = fine and is_zero
        rows.append((f"the books of {NAMES[name]}", "zero" if is_zero else "NOT ZERO", ", ".join(sorted(sums))))
    screen.table("\nThe sum of everything", ("what", "sums to", "over"), rows)
    return fine


async def _supply(town: Town) -> tuple[str, str, str]:
    """The token's supply less what everybody has; and nothing may be left in the Escrow."""
    assert town.contracts is not None, "the town is open"
    token, escrow = town.contracts.token, town.contracts.escrow
    holders = [*(bytes.fromhex(town.account(bank).removeprefix("0x")) for bank in (CLEARER, PAYEE)), town.issuer]
    async with EvmRpc(town.chain.url) as rpc:
        calls = [Call(token, _BALANCE.encode(holder), _BALANCE.label) for holder in (escrow, *holders)]
        held, *owned = [int(_BALANCE.decode(answer)[0]) for answer in await rpc.calls(calls)]
        supply = int(_SUPPLY.decode(await rpc.call(Call(token, _SUPPLY.encode(), _SUPPLY.label)))[0])
    is_zero = held == 0 and supply == sum(owned)
    return "the digital yuan's supply", "zero" if is_zero else "NOT ZERO", "less all accounts; nothing in the Escrow"


async def _totals(town: Town, name: str) -> Mapping[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    async with await Database.open(town.databases[name], SCHEMA) as database, database.view() as view:
        balances: Mapping[Any, int] = await Books(view.connection, None).balances()
    for account, units in balances.items():
        sums[account.asset.code] += units
    return sums
