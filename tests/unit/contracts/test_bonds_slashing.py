"""Bonds: what proves a voucher guilty, what does not, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest

from tests.support.bonds_contract import (
    GROUP,
    OTHER_GROUP,
    PAYOUT,
    REWARD_BPS,
    SLASH_BPS,
    STAKE,
    BondsWorld,
    Statement,
    build_bonds,
    stand_in,
)
from tests.support.native_contracts import ORDER, account, event, events, malleated, refused, refused_silently

LIAR, HONEST = account("liar"), account("honest")
DELEGATOR, REPORTER = account("delegator").address, account("reporter").address
CUT = STAKE * SLASH_BPS // 10_000
REWARD = CUT * REWARD_BPS // 10_000


@pytest.fixture(scope="module")
def _deployed() -> BondsWorld:
    return build_bonds()


@pytest.fixture
def world(_deployed: BondsWorld) -> Iterator[BondsWorld]:
    """Two vouchers of the same weight."""
    with boa.env.anchor():
        _deployed.join(LIAR)
        _deployed.join(HONEST)
        yield _deployed


def settlement(world: BondsWorld, txid: int = 1, fee: int = 5, payout: bytes = PAYOUT) -> Statement:
    """The liar's word that a payout was paid."""
    return world.statement(LIAR, "PayoutSettlement", payout, bytes([txid]) * 32, fee)


def spending(world: BondsWorld, spender: int = 1, payout: bytes = PAYOUT) -> Statement:
    """The liar's word that a payout can never be paid."""
    return world.statement(LIAR, "AnchorSpent", payout, bytes([spender]) * 32)


def report(world: BondsWorld, first: Statement, second: Statement) -> None:
    """Bring evidence."""
    world.bonds.report(first, second, sender=REPORTER)


# --- What follows -----------------------------------------------------------------------------------------------------


def test_two_attestations_of_one_deposit_cost_bond_and_role(world: BondsWorld) -> None:
    """The cut is divided between reporter and insurance; role and weight are gone in the same call."""
    liar = LIAR.address
    world.lie(LIAR, REPORTER)
    assert events(world.bonds) == [
        ("VoucherRemoved", {"account": liar}),
        ("WeightChanged", {"account": liar, "weight": 0, "total": STAKE}),
        ("Slashed", {"voucher": liar, "reporter": REPORTER, "cut": CUT, "reward": REWARD}),
    ]
    assert boa.env.get_balance(REPORTER) == REWARD
    assert world.bonds.insurance() == CUT - REWARD
    assert world.pool(liar) == (STAKE - CUT, STAKE, 0, 0)
    assert world.balance() == 2 * STAKE - REWARD
    assert tuple(world.bonds.weigh([liar, HONEST.address])) == (STAKE, STAKE, 0b10)
    assert world.bonds.vouchers() == [HONEST.address]
    assert tuple(world.bonds.operator(liar))[9:] == (False, True, False, True)
    assert tuple(world.bonds.voucher(liar))[3:] == (0, True, False)


def test_a_slashed_voucher_has_no_way_back(world: BondsWorld) -> None:
    """It takes no bonds, sets no commission, and joins neither as a voucher nor as a storeman."""
    liar = LIAR.address
    world.lie(LIAR, REPORTER)
    for act in (
        lambda: world.deposit(liar, STAKE),
        lambda: world.delegate(liar, DELEGATOR, 1),
        lambda: world.bonds.set_commission(1, sender=liar),
        lambda: world.join_as_storeman(liar, 1),
    ):
        with refused("Bonds: slashed"):
            act()
    with refused("Bonds: already joined"):
        world.enter(liar)
    with refused("Bonds: not a voucher"):
        world.bonds.leave(sender=liar)


def test_nobody_is_slashed_twice(world: BondsWorld) -> None:
    """Neither with the same evidence nor with other: delegators pay for one offence."""
    world.lie(LIAR, REPORTER)
    with refused("Bonds: already slashed"):
        world.lie(LIAR, REPORTER)
    with refused("Bonds: already slashed"):
        report(world, settlement(world), spending(world))


def test_who_left_is_still_answerable(world: BondsWorld) -> None:
    """Leaving before the evidence is brought does not save a bond that is unbonding."""
    world.delegate(LIAR.address, DELEGATOR, 100)
    world.bonds.leave(sender=LIAR.address)
    world.wait()
    world.lie(LIAR, REPORTER)
    assert [name for name, _ in events(world.bonds)] == ["Slashed"]
    assert world.pool(LIAR.address) == (75, 100, STAKE - CUT, STAKE)
    assert world.bonds.insurance() + boa.env.get_balance(REPORTER) == CUT + 25


def test_a_slash_after_everything_was_withdrawn_takes_nothing(world: BondsWorld) -> None:
    """The evidence is accepted, once, and nobody else's coin pays for it."""
    world.bonds.leave(sender=LIAR.address)
    world.wait()
    world.bonds.withdraw(1)
    world.lie(LIAR, REPORTER)
    assert event(world.bonds, "Slashed") == {
        "voucher": LIAR.address, "reporter": REPORTER, "cut": 0, "reward": 0
    }  # fmt: skip
    assert boa.env.get_balance(REPORTER) == world.bonds.insurance() == 0
    assert world.balance() == STAKE
    with refused("Bonds: already slashed"):
        world.lie(LIAR, REPORTER)


def test_an_offender_that_reports_itself_still_loses(world: BondsWorld) -> None:
    """Being its own reporter gives it the reward, which is less than half of what it loses."""
    world.lie(LIAR, LIAR.address)
    assert boa.env.get_balance(LIAR.address) == REWARD
    assert world.bonds.worth(1) + REWARD == STAKE - CUT + REWARD


def test_a_slashed_storeman_that_was_a_voucher_loses_one_pool(world: BondsWorld) -> None:
    """Both roles hang on one pool, which is cut once; it stays on the list of storemen that are paid for work."""
    world.join_as_storeman(LIAR.address, STAKE)
    world.lie(LIAR, REPORTER)
    assert world.pool(LIAR.address)[0] == 2 * (STAKE - CUT)
    assert tuple(world.bonds.operator(LIAR.address))[9:] == (False, True, True, True)


# --- What is proof ----------------------------------------------------------------------------------------------------


def test_every_pair_of_outcomes_of_a_payout_is_a_conflict(world: BondsWorld) -> None:
    """Paid by two transactions, at two fees, spent by two, or both paid and spent, in either order."""
    pairs = [
        (settlement(world, 1), settlement(world, 2)),
        (settlement(world, fee=5), settlement(world, fee=6)),
        (spending(world, 1), spending(world, 2)),
        (settlement(world), spending(world)),
        (spending(world), settlement(world)),
    ]
    for first, second in pairs:
        with boa.env.anchor():
            report(world, first, second)
            assert world.bonds.weight_of(LIAR.address) == 0


def test_every_field_of_an_attestation_counts(world: BondsWorld) -> None:
    """Another asset, amount, recipient or group for the same output is another story of the same event."""
    words = [b"\x01" * 32, b"\x02" * 32, 3, 100, DELEGATOR, GROUP]
    told = world.statement(LIAR, "DepositAttestation", *words)
    for place, value in ((0, b"\x09" * 32), (3, 101), (4, REPORTER), (5, b"\x99" * 32)):
        other = world.statement(LIAR, "DepositAttestation", *words[:place], value, *words[place + 1 :])
        with boa.env.anchor():
            report(world, told, other)
            assert world.bonds.weight_of(LIAR.address) == 0


def test_statements_about_different_events_are_no_conflict(world: BondsWorld) -> None:
    """Two outputs, two transactions, two payouts, or a deposit and a payout with the same numbers."""
    attested = world.attestation(LIAR)
    words = (b"\x01" * 32, b"\x03" * 32, 0, 100, DELEGATOR, GROUP)
    named_alike = (PAYOUT, PAYOUT, 0, 100, DELEGATOR, GROUP)
    pairs = [
        (attested, world.attestation(LIAR, vout=1)),
        (attested, world.statement(LIAR, "DepositAttestation", *words)),
        (settlement(world), settlement(world, 2, payout=b"\x78" * 32)),
        (spending(world), settlement(world, payout=b"\x78" * 32)),
        (world.statement(LIAR, "DepositAttestation", *named_alike), spending(world)),
        (settlement(world), world.statement(LIAR, "DepositAttestation", *named_alike)),
    ]
    for first, second in pairs:
        with refused("Bonds: no conflict"):
            report(world, first, second)


def test_one_transaction_on_two_chains_is_no_conflict(world: BondsWorld) -> None:
    """Chains that share their history have transactions with the same id: a voucher that attests both is honest."""
    with refused("Bonds: no conflict"):
        report(world, world.attestation(LIAR), world.attestation(LIAR, group=OTHER_GROUP))
    report(world, world.attestation(LIAR), world.attestation(LIAR, group=b"\x99" * 32))


def test_saying_the_same_twice_is_no_offence(world: BondsWorld) -> None:
    """Neither with the same signature nor with its malleated twin."""
    once = world.attestation(LIAR)
    twin = (once[0], once[1], malleated(once[2]))
    for second in (once, twin):
        with refused("Bonds: same statement"):
            report(world, once, second)


def test_both_have_to_be_signed_by_one_voucher(world: BondsWorld) -> None:
    """Two vouchers that disagree prove nothing of either, and a stranger's lies cost nobody."""
    with refused("Bonds: two signers"):
        report(world, world.attestation(LIAR), world.attestation(HONEST, 101))
    stranger = account("stranger")
    with refused("Bonds: not a voucher"):
        world.lie(stranger, REPORTER)
    world.join_as_storeman(stranger.address, 10)
    world.bonds.admit(stranger.address, sender=world.owner)
    with refused("Bonds: not a voucher"):
        world.lie(stranger, REPORTER)


def test_signatures_have_one_form(world: BondsWorld) -> None:
    """Malleated, truncated and made-up signatures are refused before anybody is blamed."""
    first, (kind, words, signature) = world.attestation(LIAR), world.attestation(LIAR, 101)
    for bad, reason in (
        (malleated(signature), "eip712: s is high"),
        (signature[:64], "eip712: signature length"),
        (signature[:64] + b"\x01", "eip712: v is not 27 or 28"),
        (ORDER.to_bytes(32, "big") + signature[32:], "eip712: invalid signature"),
    ):
        with refused(reason):
            report(world, first, (kind, words, bad))


def test_what_was_signed_for_another_hub_or_chain_is_no_proof(world: BondsWorld) -> None:
    """A signature from another domain recovers to somebody else: nobody is slashed for what it never said here."""
    first = world.attestation(LIAR)
    values = (b"\x01" * 32, b"\x02" * 32, 0, 101, account("user").address, GROUP)
    for domain in ({"hub": str(world.bonds.address)}, {"chain_id": 1_234}):
        elsewhere = world.statement(LIAR, "DepositAttestation", *values, **domain)
        with refused("Bonds: two signers"):
            report(world, first, elsewhere)
        both = world.statement(LIAR, "DepositAttestation", *values[:3], 7, *values[4:], **domain)
        with pytest.raises(boa.BoaError):
            report(world, elsewhere, both)
    assert world.bonds.weight_of(LIAR.address) == STAKE


def test_a_kind_is_what_was_signed(world: BondsWorld) -> None:
    """Words under another kind hash to another statement, which the voucher did not sign."""
    kind, words, signature = spending(world)
    with refused("Bonds: two signers"):
        report(world, (2, [*words, bytes(32)], signature), settlement(world))
    assert kind == 3


def test_malformed_statements_are_refused(world: BondsWorld) -> None:
    """A kind that there is not, a word too many or too few, and an address with something above its 20 bytes."""
    good = world.attestation(LIAR)
    kind, words, signature = world.attestation(LIAR, 101)
    dirty, barely_dirty = (
        [*words[:4], (int.from_bytes(words[4], "big") | bit).to_bytes(32, "big"), words[5]] for bit in (2**255, 2**160)
    )
    for bad, reason in (
        ((0, words, signature), "Bonds: unknown statement"),
        ((4, words, signature), "Bonds: unknown statement"),
        ((kind, words[:5], signature), "Bonds: malformed statement"),
        ((kind, [*words, bytes(32)], signature), "Bonds: malformed statement"),
        ((kind, [], signature), "Bonds: malformed statement"),
        ((2, words, signature), "Bonds: malformed statement"),
        ((3, words[:3], signature), "Bonds: malformed statement"),
        ((kind, dirty, signature), "Bonds: malformed statement"),
        ((kind, barely_dirty, signature), "Bonds: malformed statement"),
    ):
        for pair in ((good, bad), (bad, good)):
            with refused(reason):
                report(world, *pair)
    with refused_silently():
        report(world, good, (kind, [bytes(32)] * 9, signature))


# --- Reporters that are contracts -------------------------------------------------------------------------------------


def test_a_reporter_that_takes_no_coin_harms_itself_alone(world: BondsWorld) -> None:
    """Its report is refused as a whole, and the next reporter's is accepted."""
    reporter = stand_in("holder", world.bonds.address)
    reporter.behave(True, b"")
    with refused("Bonds: payment refused"):
        world.lie(LIAR, str(reporter.address))
    assert world.bonds.weight_of(LIAR.address) == STAKE
    world.lie(LIAR, REPORTER)


def test_a_reporter_that_calls_back_is_rewarded_once(world: BondsWorld) -> None:
    """While the reward is paid, no report and no withdrawal gets in, and all is counted already."""
    reporter = stand_in("holder", world.bonds.address)
    evidence = world.bonds.report.prepare_calldata(world.attestation(HONEST), world.attestation(HONEST, 101))
    reporter.behave(False, evidence)
    world.lie(LIAR, str(reporter.address))
    assert boa.env.get_balance(str(reporter.address)) == REWARD
    assert (reporter.tries(), reporter.accepted()) == (1, 0)
    assert world.bonds.weight_of(HONEST.address) == STAKE
