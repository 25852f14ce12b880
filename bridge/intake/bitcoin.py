"""Bitcoin blocks become coins and steps: everything that a batch of blocks does, in one unit of work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapters.bitcoin.blocks import Received, Spent, Watchlist
from adapters.bitcoin.follower import Batch, Connected, Disconnected
from adapters.bitcoin.primitives import BlockRef, OutPoint
from bridge import deposits, payouts
from bridge.deposits import Deposit, Dropped, Note, Seen, Stage, Unspent
from bridge.intake.common import BITCOIN_CURSOR, Context, anchor_fact, completed, is_placeholder, maker_fact, purpose_of
from bridge.intake.steps import Steps
from bridge.payouts import AnchorTaken, Confirmed, InChain, OutOfChain, PayoutStage
from bridge.storage import CoinKind, CoinRow, CoinSpend, TransferKind, UnitOfWork
from foundation.quantities import BlockHeight, TokenUnits
from registry.ids import deposit_id

LIVE_PAYOUTS = (PayoutStage.RESERVED, PayoutStage.CONFIRMING, PayoutStage.PAID)


class BitcoinIntake:
    """Applies blocks inside a unit of work, and keeps the watchlist in step with what it stored."""

    def __init__(self, context: Context, watched: Watchlist) -> None:
        self._context = context
        self._chain = context.directory.chain
        self._watched = watched

    async def apply(self, uow: UnitOfWork, batch: Batch) -> None:
        """Apply a batch and store its tail. The caller commits, or tries the same batch again."""
        steps = self._context.steps(uow)
        forks: list[BlockHeight] = []
        for update in batch.updates:
            if isinstance(update, Connected):
                await self.connect(uow, steps, update)
            else:
                await self._disconnect(uow, steps, update)
                forks.append(update.block.height)
        tip = batch.tail.tip
        if tip is not None:
            await self.advance(uow, steps, tip.height, min(forks, default=None))
        await uow.cursors.put(BITCOIN_CURSOR, batch.tail.encode())
        await steps.save()

    async def connect(self, uow: UnitOfWork, steps: Steps, block: Connected) -> None:
        """What one block creates and spends. To apply it again is harmless."""
        await self._receive(uow, steps, block.block, block.matches.received)
        await self._spend(uow, steps, block.block, block.matches.spent)

    async def _receive(self, uow: UnitOfWork, steps: Steps, block: BlockRef, received: Sequence[Received]) -> None:
        if not received:
            return
        vaults = set(self._context.directory.vault_scripts)
        terms = await uow.deposit_terms.by_scripts({coin.script for coin in received} - vaults)
        kinds = dict.fromkeys(vaults, CoinKind.VAULT) | dict.fromkeys(terms, CoinKind.DEPOSIT)
        # For a hundred blocks nothing may spend what a miner pays straight out of a coinbase: a sweep or a payout with
        # it would hang so long, and all its other coins with it. It is not taken; a depositor can reclaim it.
        ours = [coin for coin in received if coin.script in kinds and not coin.is_coinbase]
        await uow.coins.receive(
            *(
                CoinRow(c.outpoint.txid, c.outpoint.vout, c.script, c.value, kinds[c.script], block.height, block.hash)
                for c in ours
            )
        )
        paid = {
            deposit_id(terms[c.script].asset, c.outpoint.txid, c.outpoint.vout): c for c in ours if c.script in terms
        }
        await steps.load(paid)
        block_sum = TokenUnits(sum(coin.value for coin in paid.values()))
        for id_, coin in paid.items():
            row = terms[coin.script]
            if id_ not in steps.deposits:
                deposit = Deposit(
                    id_,
                    row.asset,
                    row.group_id,
                    coin.outpoint.txid,
                    coin.outpoint.vout,
                    coin.value,
                    row.recipient,
                    row.script,
                    row.delay,
                    height=block.height,
                    block_sum=block_sum,
                )
                steps.add_deposit(deposit, Note(f"coin seen in block {block.height}", deposit.txid, "bitcoin"))
                continue
            if is_placeholder(steps.deposits[id_]):
                steps.replace_deposit(completed(steps.deposits[id_], row, coin.value))
            steps.step_deposit(id_, Seen(block.height, block_sum))

    async def _spend(self, uow: UnitOfWork, steps: Steps, block: BlockRef, spent: Sequence[Spent]) -> None:
        if not spent:
            return
        spends = [CoinSpend(s.outpoint.txid, s.outpoint.vout, s.spender, block.height, block.hash) for s in spent]
        await uow.coins.spend(*spends)
        await self._remember_makers(uow, spent)
        await uow.bitcoin_transactions.confirm({s.spender for s in spent}, block.height, block.hash)
        asset = self._context.directory.asset
        by_deposit = {deposit_id(asset, s.outpoint.txid, s.outpoint.vout): s for s in spent}
        await steps.load(by_deposit)
        for id_, spend in by_deposit.items():
            deposit = steps.deposits.get(id_)
            if deposit is None:
                continue
            vault = self._context.directory.vault(deposit.group)
            purpose = purpose_of(spend.witness, tuple(out.script for out in spend.outputs), vault)
            steps.step_deposit(id_, deposits.Spent(deposits.Spend(spend.spender, block.height, purpose)))
        anchored = await self._anchored(uow, steps, (spend.outpoint for spend in spent))
        for spend in spent:
            if spend.outpoint in anchored:
                self.anchor_spent(steps, anchored[spend.outpoint], spend, block.height)

    async def _remember_makers(self, uow: UnitOfWork, spent: Sequence[Spent]) -> None:
        """Remember what makes coins of the vault: if something else spends its coins after a reorg, they never are."""
        vaults = set(self._context.directory.vault_scripts)
        makers = {s.spender: s.outpoint for s in spent if any(output.script in vaults for output in s.outputs)}
        for txid, outpoint in makers.items():
            await uow.node_meta.put(maker_fact(txid), outpoint.serialized())

    async def _anchored(self, uow: UnitOfWork, steps: Steps, outpoints: Iterable[OutPoint]) -> dict[OutPoint, bytes]:
        """The payouts whose anchors are among `outpoints`, ended ones too: a reorg may take their payment away."""
        found: dict[OutPoint, bytes] = {}
        for outpoint in outpoints:
            payout_id = await uow.node_meta.get(anchor_fact(outpoint))
            if payout_id is not None and await steps.load_payout(payout_id) is not None:
                found[outpoint] = payout_id
        return found

    def anchor_spent(self, steps: Steps, payout_id: bytes, spend: Spent, height: BlockHeight) -> None:
        """A transaction in the chain spends a payout's anchor: it is a version of the payout, or a stranger."""
        payout = steps.payouts[payout_id]
        withdrawals = [steps.withdrawals[id_] for id_ in payout.withdrawals]
        vault = self._context.directory.vault(payout.group)
        fee = payouts.is_version(payout, withdrawals, spend.outputs, vault)
        if fee is None:
            steps.step_payout(payout_id, AnchorTaken(spend.spender))
        else:
            steps.step_payout(payout_id, InChain(Confirmed(spend.spender, height, fee)))

    async def _disconnect(self, uow: UnitOfWork, steps: Steps, gone: Disconnected) -> None:
        """Undo all that a block did."""
        asset = self._context.directory.asset
        touched = await uow.coins.in_block(gone.block.hash)
        await steps.load(deposit_id(asset, coin.txid, coin.vout) for coin in touched if coin.kind is CoinKind.DEPOSIT)
        anchored = await self._anchored(uow, steps, (OutPoint(coin.txid, coin.vout) for coin in touched))
        for coin in touched:
            spent_here = coin.spent_block_hash == gone.block.hash
            id_ = deposit_id(asset, coin.txid, coin.vout)
            if id_ in steps.deposits and spent_here:
                steps.step_deposit(id_, Unspent())
            if id_ in steps.deposits and coin.block_hash == gone.block.hash:
                steps.step_deposit(id_, Dropped())
            payout_id = anchored.get(OutPoint(coin.txid, coin.vout))
            if spent_here and payout_id is not None:
                steps.step_payout(payout_id, OutOfChain())
        await uow.coins.disconnect(gone.block.hash)
        await uow.bitcoin_transactions.disconnect(gone.block.hash)

    async def advance(self, uow: UnitOfWork, steps: Steps, tip: BlockHeight, fork: BlockHeight | None = None) -> None:
        """Tell those whose next step is due that the tip is at `tip`; after a reorg, all whom the fork may touch."""
        terms = self._context.terms()
        for row in await uow.transfers.due(TransferKind.DEPOSIT, tip, self._chain):
            steps.adopt(row)
        if fork is not None:
            deepest = terms.tiers.deepest
            reach = BlockHeight(max(0, fork - deepest))
            for row in await uow.transfers.from_height(TransferKind.DEPOSIT, reach, self._chain):
                steps.adopt(row)
        for id_, deposit in list(steps.deposits.items()):
            if deposit.asset == self._context.directory.asset:
                steps.step_deposit(id_, deposits.Tip(tip, terms))
        for payout_row in await uow.payouts.by_stage(PayoutStage.CONFIRMING, PayoutStage.PAID, chain=self._chain):
            await steps.adopt_payout(payout_row)
        for payout_id, payout in list(steps.payouts.items()):
            if payout.is_bound:
                steps.step_payout(payout_id, payouts.Tip(tip, self._context.policy.settled_depth))

    async def reconsider(self, uow: UnitOfWork, steps: Steps, tip: BlockHeight) -> None:
        """The asset's policy changed: look again at every deposit that is not decided."""
        undecided = (Stage.CONFIRMING, Stage.FINAL, Stage.REFUSED)
        waiting = await uow.transfers.by_stage(TransferKind.DEPOSIT, *undecided, chain=self._chain)
        for row in waiting:
            steps.adopt(row)
        await self.advance(uow, steps, tip)

    def watch(self, matches: Iterable[Connected]) -> None:
        """After the commit: watch for the spends of the coins that arrived."""
        for block in matches:
            self._watched.add_outpoints(coin.outpoint for coin in block.matches.received)
