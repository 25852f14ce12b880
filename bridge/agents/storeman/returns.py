"""Sending refused deposits back: first the Hub bars the mint for ever, then the group signs."""

from __future__ import annotations

from typing import Final

import structlog

from adapters.bitcoin.builders import fee_at, return_transaction
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.scripts import return_script
from adapters.bitcoin.transactions import key_path_vsize
from adapters.native.eip712 import by_signer
from adapters.native.errors import DepositAlreadyFinal
from bridge.agents.office import Apart, Office, send_call
from bridge.agents.storeman.cosigning import Cosigning
from bridge.agents.storeman.signing import Plan, Signing
from bridge.codec import decode_deposit
from bridge.deposits import REFUSAL_CODES, Deposit, Stage
from bridge.messages import BarProposal, amount_bytes
from bridge.policy import TAPROOT_DUST
from bridge.storage import TransactionPurpose, TransferKind
from foundation.quantities import Satoshi, SatPerKvB, TokenUnits, UnixMs

_LOG: Final = structlog.get_logger(__name__)
_AGAIN_MS: Final = 30_000


class BarMints:
    """Refused deposits: a threshold of storemen agree on the Hub that they are never minted."""

    name = "bar"

    def __init__(self, office: Office, cosigning: Cosigning) -> None:
        self._office = office
        self._cosigning = cosigning
        self._sent: dict[bytes, UnixMs] = {}

    async def run(self) -> bool:
        """Bar what is refused, when it is this node's turn."""
        async with self._office.database.view() as view:
            rows = await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.REFUSED)
        if not rows:
            return False
        # A bar costs gas. Dust that cannot be sent back is left to its depositor's reclaim: anybody may send dust.
        least = least_return(await self._office.fees.rate())
        deposits = [d for d in map(decode_deposit, rows) if d.lock is not None or d.amount >= least]
        apart = Apart()
        for deposit in deposits:
            members = self._office.directory.storeman_peers(deposit.group)
            fresh = self._office.clock() - self._sent.get(deposit.deposit_id, UnixMs(0)) < _AGAIN_MS
            if self._office.is_turn(members) and not fresh:
                with apart:
                    await self._bar(deposit)
        apart.end()
        return bool(deposits)

    async def _bar(self, deposit: Deposit) -> None:
        assert deposit.refusal is not None, "refused deposits have a reason"
        d, reason = deposit, REFUSAL_CODES[deposit.refusal]
        native = self._office.native
        digest = native.hub_digests.deposit_return(d.asset, d.txid, d.vout, d.amount, d.group, reason)
        group = self._office.directory.groups[d.group]
        proposal = BarProposal(d.deposit_id, amount_bytes(d.amount), reason)
        signatures = by_signer(await self._cosigning.cosign(group, proposal, digest))
        amount = TokenUnits(d.amount)
        call = native.calls.return_deposit(d.asset, d.txid, d.vout, amount, d.group, reason, signatures)
        try:
            await send_call(self._office.sender, "bar", d.deposit_id, call)
        except DepositAlreadyFinal as error:
            _LOG.info("the deposit is decided", deposit=d.deposit_id.hex(), reason=str(error))
        self._sent[d.deposit_id] = self._office.clock()


class ReturnDeposits:
    """Barred deposits of bitcoin: the group pays them back to the depositor's key."""

    name = "return"

    def __init__(self, office: Office, signing: Signing) -> None:
        self._office = office
        self._signing = signing

    async def run(self) -> bool:
        """Return what is barred, when it is this node's turn."""
        async with self._office.database.view() as view:
            rows = await view.transfers.by_stage(TransferKind.DEPOSIT, Stage.RETURNING)
            due = []
            for deposit in map(decode_deposit, rows):
                if deposit.lock is not None or deposit.height is None or deposit.spend is not None:
                    continue
                signed = await view.bitcoin_transactions.of_subject(TransactionPurpose.RETURN, deposit.deposit_id)
                terms = await view.deposit_terms.by_script(deposit.script)
                if not signed and terms is not None:
                    due.append((deposit, return_script(terms.reclaim_key)))
        if not due:
            return False
        # Those that are too small to pay their own way now wait until blocks are cheaper; the reclaim stays open.
        rate = await self._office.fees.rate()
        due = [(deposit, script) for deposit, script in due if deposit.amount >= least_return(rate)]
        apart = Apart()
        for deposit, script in due:
            if self._office.is_turn(self._office.directory.storeman_peers(deposit.group)):
                with apart:
                    await self._return(deposit, script, rate)
        apart.end()
        return bool(due)

    async def _return(self, deposit: Deposit, script: bytes, rate: SatPerKvB) -> None:
        coin = Coin(OutPoint(deposit.txid, deposit.vout), deposit.amount, deposit.script, deposit.height)
        transaction = return_transaction(coin, script, rate)
        plan = Plan(deposit.group, TransactionPurpose.RETURN, deposit.deposit_id, transaction)
        await self._signing.sign(plan)


def least_return(rate: SatPerKvB) -> Satoshi:
    """The smallest coin that can be sent back at `rate`: it pays its own way, and leaves an output that is no dust."""
    return Satoshi(fee_at(rate, key_path_vsize(1, [bytes(34)])) + TAPROOT_DUST)
