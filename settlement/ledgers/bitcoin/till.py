"""The account's coins: transactions that pay holds, claim them or take them back, signed once and looked after."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog
from coincurve import PublicKeyXOnly
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.coins import CHANGE_DUST, select_coins
from adapters.bitcoin.errors import InsufficientFunds, MempoolRefused, OutputBelowDust, Refusal
from adapters.bitcoin.fees import replacement_fee
from adapters.bitcoin.htlc import htlc_spend, spend_vsize
from adapters.bitcoin.primitives import Coin, TxOut
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.taproot import tweak_secret
from adapters.bitcoin.transactions import UnsignedTx, key_path_vsize, parse_transaction
from foundation.database.database import Database
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.ledgers.bitcoin.nodes import LedgerNode
from settlement.ledgers.bitcoin.store import BitcoinLedgerStore, Version
from settlement.ledgers.bitcoin.types import BitcoinLedgerConfig, Entry

_LEAST_RISE: Final = (5, 4)
"""A replacement bids a quarter more at least, and with each one the next place in the queue is bought."""

_log = structlog.get_logger(__name__)


class Till:
    """One account's coins. One process at a time for an account."""

    def __init__(self, config: BitcoinLedgerConfig, rpc: LedgerNode, database: Database, secret: bytes) -> None:
        """`secret`: of the account's key, 32 bytes. Raises `BadInput`."""
        try:
            self.own: bytes = bytes(PublicKeyXOnly.from_secret(secret).format())
        except ValueError as error:
            raise BadInput("account key", "is no secret key", "32 bytes, not zero, below the group order") from error
        self.script = vault_script(self.own)
        self._secret = secret
        self._config = config
        self._rpc = rpc
        self._database = database

    def store(self, connection: AsyncConnection) -> BitcoinLedgerStore:
        """The store on a connection."""
        return BitcoinLedgerStore(connection, self._config.ledger_id, self.script, self._config.sealer)

    # --- Signing, each once ---

    async def fund(self, wanted: Sequence[Entry]) -> None:
        """Sign and keep one transaction that pays these holds, from coins that nothing else is promised.

        It is broadcast only after `release`, for payees have to be told first. A hold that is kept already is left out.

        Raises:
            InsufficientFunds: too few coins are free; nothing was kept.
            FeeAboveCap, NodeUnavailable: no rate is known; nothing was kept.
        """
        network = self._config.network
        rate, height = await self._rate(), (await self._rpc.tip()).height
        async with self._database.unit() as unit:
            store = self.store(unit.connection)
            # Another call may have been faster: a hold is paid by one transaction, or it would be paid twice.
            entries = [entry for entry in wanted if await store.entry(entry.key) is None]
            if not entries:
                return
            outputs = [TxOut(entry.terms.amount, entry.terms.htlc(network).script) for entry in entries]
            digest = hashlib.sha256(b"".join(entry.terms.transfer_id for entry in entries)).hexdigest()
            key = f"fund:{digest}"
            unsigned = self._payment(await store.coins(is_free=True), outputs, rate)
            signer = tweak_secret(self._secret)
            raw = unsigned.signed([signer.sign_schnorr(sighash) for sighash in unsigned.sighashes()])
            await store.promise([coin.outpoint for coin in unsigned.inputs], key)
            await store.put(entries)
            for entry in entries:
                # Under a key for each hold too: a hold's repeat finds the transaction by the hold.
                name = f"{key}:{entry.terms.transfer_id.hex()}"
                await store.record(Version(name, 1, entry.key, raw, unsigned.fee, height, False))
            await unit.commit()

    async def abandon(self, entry: Entry) -> bool:
        """Forget a payment that was signed and never broadcast, and free its coins; False if it may be out."""
        async with self._database.unit() as unit:
            store = self.store(unit.connection)
            key = (await self._fund_key(store, entry)).rpartition(":")[0]
            is_gone = await store.forget(key)
            if is_gone:
                await unit.commit()
            return is_gone

    async def claim(self, entry: Entry, preimage: bytes) -> None:
        """Sign and keep the claim of a hold, unless that was done before, and broadcast it."""
        await self._spend(entry, f"claim:{entry.terms.payer.hex()}:{entry.terms.transfer_id.hex()}", preimage)

    async def refund(self, entry: Entry) -> None:
        """Sign and keep the refund of a hold, unless that was done before, and broadcast it."""
        await self._spend(entry, f"refund:{entry.terms.transfer_id.hex()}", None)

    async def release(self, entry: Entry) -> None:
        """Broadcast what pays a hold: its payee knows of it."""
        async with self._database.unit() as unit:
            store = self.store(unit.connection)
            key = await self._fund_key(store, entry)
            await store.release(key)
            (version,) = await store.newest(key=key)
            await unit.commit()
        await self._submit(version)

    # --- Looking after what is on its way ---

    async def tend(self) -> None:
        """Broadcast again what the node forgot, and let what lingers bid more."""
        async with self._database.view() as view:
            versions = await self.store(view.connection).newest()
        if not versions:
            return
        height = (await self._rpc.tip()).height
        for version in versions:
            known = await self._rpc.mempool_entry(parse_transaction(version.raw).txid)
            if known is None:
                await self._submit(version)
            elif height - version.height >= self._config.bump_blocks and not version.key.startswith("fund:"):
                await self._bump(version)

    async def _spend(self, entry: Entry, key: str, preimage: bytes | None) -> None:
        async with self._database.view() as view:
            kept = await self.store(view.connection).newest(key=key)
        if not kept:
            height = (await self._rpc.tip()).height
            coin = entry.output(self._config.network)
            htlc = entry.terms.htlc(self._config.network)
            vsize = spend_vsize(htlc, self.script, is_claim=preimage is not None)
            # In a fee market beyond all bounds a small hold bids all that it has but dust.
            rate = SatPerKvB(min(await self._rate(), (coin.value - CHANGE_DUST) * 1_000 // vsize))
            spend = htlc_spend(htlc, coin, self.script, rate, preimage=preimage)
            version = Version(key, 1, entry.key, spend.signed_by(self._secret), spend.fee, height, True)
            async with self._database.unit() as unit:
                store = self.store(unit.connection)
                now = await store.entry(entry.key)
                assert now is not None, "it is kept"
                if preimage is not None and now.is_open:
                    # Once it may be seen it goes on after a crash, however little time is left.
                    await store.put([replace(now, preimage=preimage)])
                await store.record(version)
                await unit.commit()
            kept = (version,)
        await self._submit(kept[0])

    async def _bump(self, version: Version) -> None:
        """Replace a claim or a refund that lingers (BIP-125). At the cap, or at dust, it stays as it is."""
        async with self._database.view() as view:
            entry = await self.store(view.connection).entry(version.hold)
        if entry is None or entry.coin is None or not entry.is_open:
            return
        fees = self._config.fees
        vsize = parse_transaction(version.raw).vsize
        current = SatPerKvB(version.fee * 1_000 // vsize)
        wanted = max(await self._rate(), -(-current * _LEAST_RISE[0] // _LEAST_RISE[1]) + 1)
        incremental = max(await self._rpc.incremental_relay_fee(), await self._rpc.relay_floor())
        rate = fees.bump_rate(current, SatPerKvB(min(wanted, fees.highest)), incremental)
        if rate is None:
            return
        preimage = entry.preimage if version.key.startswith("claim:") else None
        minimum = replacement_fee(version.fee, vsize, incremental)
        htlc, coin = entry.terms.htlc(self._config.network), entry.output(self._config.network)
        try:
            spend = htlc_spend(htlc, coin, self.script, rate, preimage=preimage, minimum_fee=minimum)
        except OutputBelowDust:
            return
        height = (await self._rpc.tip()).height
        raw = spend.signed_by(self._secret)
        newer = Version(version.key, version.number + 1, version.hold, raw, spend.fee, height, True)
        async with self._database.unit() as unit:
            await self.store(unit.connection).record(newer)
            await unit.commit()
        _log.info("bidding more", ledger=self._config.ledger_id, transaction=version.key, rate=rate)
        await self._submit(newer)

    async def _submit(self, version: Version) -> None:
        """Broadcast. What the node does not take now is tried again after the next look."""
        try:
            await self._rpc.submit(version.raw)
        except MempoolRefused as refused:
            if refused.refusal in (Refusal.ALREADY_KNOWN, Refusal.MISSING_INPUTS):
                return  # it is in a block, or what spends its coin is: the feed will tell which
            told = {"ledger": self._config.ledger_id, "transaction": version.key, "reason": refused.reason}
            if refused.refusal is not Refusal.NOT_YET_VALID:
                _log.warning("a transaction waits", **told)

    async def _rate(self) -> SatPerKvB:
        fees = self._config.fees
        return fees.rate(await self._rpc.estimate_fee_rate(fees.target_blocks), await self._rpc.relay_floor())

    def _payment(self, coins: Sequence[Coin], outputs: Sequence[TxOut], rate: SatPerKvB) -> UnsignedTx:
        """A transaction with these outputs and, where it is no dust, change. Raises `InsufficientFunds`."""
        total = sum(output.value for output in outputs)
        scripts = [output.script for output in outputs]
        rest = fee_at(rate, key_path_vsize(0, [*scripts, self.script]))
        chosen = select_coins(coins, Satoshi(total + rest), rate, inputs_bear_fee=True)
        held = sum(coin.value for coin in chosen)
        change = held - total - fee_at(rate, key_path_vsize(len(chosen), [*scripts, self.script]))
        changes = [TxOut(Satoshi(change), self.script)] if change >= CHANGE_DUST else []
        if held < total + fee_at(rate, key_path_vsize(len(chosen), scripts)):
            raise InsufficientFunds(Satoshi(total + rest), Satoshi(held))
        return UnsignedTx(chosen, (*outputs, *changes))

    async def _fund_key(self, store: BitcoinLedgerStore, entry: Entry) -> str:
        found = await store.keys_of("fund:", entry.key)
        assert len(found) == 1, "a hold is paid by one transaction"
        return found[0]
