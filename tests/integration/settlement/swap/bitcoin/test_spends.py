"""Every spend of a swap's output on a real node: by both together, by preimage, by time-out, by a point's secret."""

from __future__ import annotations

import hashlib

import pytest

from adapters.bitcoin.errors import MempoolRefused, Refusal
from adapters.bitcoin.htlc import HtlcSpend
from adapters.bitcoin.primitives import Coin
from adapters.bitcoin.transactions import SEQUENCE, parse_transaction, serialize
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.cosign import Asker, CosignAnswer, CosignRequest, answer
from settlement.swap.bitcoin.desk import Submission
from settlement.swap.bitcoin.fees import ladder, refund_ladder
from settlement.swap.bitcoin.output import Path
from settlement.swap.bitcoin.rungs import decode_claims, encode_claims, rung_fees, scalar_in
from settlement.swap.terms import Mode, Role
from tests.support.swap_bitcoin import AMOUNT, HOUR, RATE, Deal, SwapNode

pytestmark = pytest.mark.integration
MODES = pytest.mark.parametrize("mode", list(Mode))


async def cosigned(chain: SwapNode, deal: Deal, coin: Coin, role: Role, rate: SatPerKvB = RATE) -> bytes:
    """A key-path spend to `role`, asked for and answered over the wire."""
    secrets = {Role.INITIATOR: deal.initiator, Role.FOLLOWER: deal.follower}
    asker = Asker(deal.output, role, secrets[role], deal.output.by_key(coin, await chain.script(), rate))
    request = CosignRequest.decode(asker.request.encode())
    return asker.finish(CosignAnswer.decode(answer(deal.output, role.other, secrets[role.other], request).encode()))


@MODES
@pytest.mark.parametrize("role", list(Role))
async def test_both_together_spend_at_once(chain: SwapNode, mode: Mode, role: Role) -> None:
    """A cooperative claim or refund is one signature in a block, before any time-out, in 58 vB an input."""
    deal = Deal(mode)
    coin = await chain.funded(deal)
    raw = await cosigned(chain, deal, coin, role)
    assert await chain.desk.submit(raw) is Submission.TAKEN
    await chain.node.mine()
    assert await chain.spent(coin)
    assert [len(item) for item in parse_transaction(raw).witnesses[0]] == [64]
    assert deal.output.read(parse_transaction(raw).witnesses[0]).path is Path.KEY


async def test_the_preimage_claims(chain: SwapNode) -> None:
    """The initiator alone claims by the preimage, which the witness shows."""
    deal = Deal()
    coin = await chain.funded(deal)
    spend = await chain.desk.claim(deal.output, coin, await chain.script(), deal.initiator, deal.secret)
    assert spend is not None
    assert await chain.desk.submit(spend.raw) is Submission.TAKEN
    await chain.node.mine()
    assert await chain.spent(coin)
    reading = deal.output.read(parse_transaction(spend.raw).witnesses[0])
    assert (reading.path, reading.preimage) == (Path.CLAIM, deal.secret)


@pytest.mark.parametrize("size", [31, 33])
async def test_preimages_of_another_size_open_nothing(chain: SwapNode, size: int) -> None:
    """A preimage that is too long or too short is refused by consensus, although it hashes to the condition."""
    deal = Deal(secret=b"\x07" * size)
    coin = await chain.funded(deal)
    with pytest.raises(BadInput):
        deal.output.claim(coin, await chain.script(), RATE, deal.secret)
    # As a liar would make it: a claim for another preimage, and this one in its place.
    forged = HtlcSpend(deal.output.lock, coin, await chain.script(), Satoshi(500), bytes(32)).signed_by(deal.initiator)
    raw = forged.replace(b"\x20" + bytes(32) + b"\x49", bytes([size]) + deal.secret + b"\x49")
    assert deal.output.read(parse_transaction(raw).witnesses[0]).preimage == deal.secret
    with pytest.raises(MempoolRefused) as refused:
        await chain.rpc.submit(raw)
    assert "script" in refused.value.reason
    assert await chain.desk.submit(raw) is Submission.REFUSED


@MODES
async def test_a_refund_waits_for_the_median_time(chain: SwapNode, mode: Mode) -> None:
    """The follower's refund is refused until the median time past is beyond T2, and then pays it alone."""
    deal = Deal(mode, expires_at=await chain.median_time() + HOUR)
    coin, to = await chain.funded(deal), await chain.script()
    spend = await chain.desk.refund(deal.output, coin, to, deal.follower)
    assert spend is not None
    assert await chain.desk.submit(spend.raw) is Submission.TOO_EARLY
    await chain.pass_time(deal.expires_at)
    assert await chain.median_time() > deal.expires_at
    assert await chain.desk.submit(spend.raw) is Submission.TAKEN
    assert deal.output.read(parse_transaction(spend.raw).witnesses[0]).path is Path.REFUND
    await chain.node.mine()
    assert await chain.spent(coin)


async def test_a_refund_at_exactly_the_time_out_is_too_early(chain: SwapNode) -> None:
    """A median time past that equals T2 is not beyond it."""
    deal = Deal(expires_at=await chain.median_time())
    coin = await chain.pay(deal.output.script, mine=False)
    spend = await chain.desk.refund(deal.output, coin, await chain.script(), deal.follower)
    assert spend is not None
    assert await chain.desk.submit(spend.raw) is Submission.TOO_EARLY


async def test_each_spend_is_raised(chain: SwapNode) -> None:
    """A refund, a claim by script and one by key each take the place of what stands, for a higher fee."""
    deal = Deal(expires_at=await chain.median_time() + 2)
    coin, to, claims_to = await chain.funded(deal), await chain.script(), await chain.script()
    await chain.pass_time(deal.expires_at)
    first = await chain.desk.refund(deal.output, coin, to, deal.follower)
    assert first is not None
    assert await chain.desk.submit(first.raw) is Submission.TAKEN
    assert await chain.desk.refund(deal.output, coin, to, deal.follower) is None
    second = await chain.desk.refund(deal.output, coin, to, deal.follower, higher=True)
    assert second is not None
    assert second.fee > first.fee * 5 // 4
    assert await chain.desk.submit(second.raw) is Submission.TAKEN
    # The other side's claim races it, and need not be told to bid more.
    claim = await chain.desk.claim(deal.output, coin, claims_to, deal.initiator, deal.secret)
    assert claim is not None
    assert await chain.desk.submit(claim.raw) is Submission.TAKEN
    again = await chain.desk.claim(deal.output, coin, claims_to, deal.initiator, deal.secret, higher=True)
    assert again is not None
    assert await chain.desk.submit(again.raw) is Submission.TAKEN
    assert await chain.desk.submit(first.raw) is Submission.OUTBID
    by_key = await chain.desk.by_key(deal.output, coin, claims_to, higher=True)
    assert by_key is not None
    asker = Asker(deal.output, Role.INITIATOR, deal.initiator, by_key)
    raw = asker.finish(answer(deal.output, Role.FOLLOWER, deal.follower, asker.request))
    assert await chain.desk.submit(raw) is Submission.TAKEN
    standing = await chain.desk.standing(coin.outpoint)
    assert standing is not None
    assert standing.txid == parse_transaction(raw).txid
    await chain.node.mine()
    assert await chain.spent(coin)
    assert await chain.desk.submit(again.raw) is Submission.SPENT


async def test_the_ladder_climbs(chain: SwapNode) -> None:
    """Each of a tower's pre-signed refunds takes the place of the one before it, up to the cap."""
    deal = Deal(expires_at=await chain.median_time() + 2)
    coin, to = await chain.funded(deal), await chain.script()
    rates = ladder(SatPerKvB(1_000), SatPerKvB(100_000), await chain.rpc.incremental_relay_fee())
    rungs = refund_ladder(deal.output, coin, to, deal.follower, rates)
    assert len(rungs) == len(rates) == 11
    assert await chain.desk.submit(rungs[0].raw) is Submission.TOO_EARLY
    await chain.pass_time(deal.expires_at)
    for rung in rungs:
        assert await chain.desk.submit(rung.raw) is Submission.TAKEN
    assert await chain.desk.submit(rungs[0].raw) is Submission.OUTBID
    await chain.node.mine()
    assert await chain.spent(coin)


@pytest.mark.parametrize("value", [AMOUNT - 1, AMOUNT + 1, 2_000])
async def test_other_amounts_and_a_second_output_are_refunded(chain: SwapNode, value: int) -> None:
    """Over- and under-funding, and funding twice or late, come back to the follower, each by its own refund."""
    deal = Deal(expires_at=await chain.median_time() + HOUR)
    coins = [await chain.funded(deal), await chain.pay(deal.output.script, value)]
    await chain.pass_time(deal.expires_at)
    coins.append(await chain.pay(deal.output.script, AMOUNT))
    to = await chain.script()
    for coin in coins:
        spend = await chain.desk.refund(deal.output, coin, to, deal.follower)
        assert spend is not None
        assert await chain.desk.submit(spend.raw) is Submission.TAKEN
    await chain.node.mine()
    assert all([await chain.spent(coin) for coin in coins])


async def test_what_is_worth_less_than_its_fee_is_said_to_be(chain: SwapNode) -> None:
    """An output that cannot bear the least fee is no transaction, but a plain refusal."""
    deal = Deal()
    coin = await chain.pay(deal.output.script, 400)
    with pytest.raises(BadInput, match="less than it costs"):
        await chain.desk.refund(deal.output, coin, await chain.script(), deal.follower)


async def test_a_point_claim_reveals_its_secret(chain: SwapNode) -> None:
    """A rung, completed by the secret, is mined as a plain payment, and shows the follower the secret alone."""
    deal = Deal(Mode.POINT)
    coin, to = await chain.funded(deal), await chain.script()
    fees = rung_fees(coin, to, RATE, SatPerKvB(100_000))
    outpoint, rungs = decode_claims(encode_claims(coin.outpoint, deal.rungs(coin, to, fees)))
    assert outpoint == coin.outpoint
    for rung in rungs:
        assert await chain.desk.submit(rung.claim(deal.output, coin, deal.secret)) is Submission.TAKEN
    await chain.node.mine()
    assert await chain.spent(coin)
    raw = rungs[2].claim(deal.output, coin, deal.secret)
    assert await chain.rpc.transaction(parse_transaction(raw).txid) == raw, "the highest rung was mined"
    signature = deal.output.read(parse_transaction(raw).witnesses[0]).signature
    assert scalar_in(signature, rungs, deal.point) == deal.secret


async def test_a_pre_signature_spends_nothing(chain: SwapNode) -> None:
    """Completed by another secret, or not at all, a rung is refused."""
    deal = Deal(Mode.POINT)
    coin, to = await chain.funded(deal), await chain.script()
    (rung,) = deal.rungs(coin, to, (Satoshi(500),))
    spend = rung.spend(coin)
    for signature in (rung.pre.nonce[1:] + rung.pre.scalar, hashlib.sha512(b"nothing").digest()):
        raw = serialize([(coin.outpoint, SEQUENCE)], spend.outputs, [(signature,)])
        with pytest.raises(MempoolRefused) as refused:
            await chain.rpc.submit(raw)
        assert refused.value.refusal is Refusal.OTHER
