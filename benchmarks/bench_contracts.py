"""What the native contracts cost, in gas: deterministic, so that one sample says all. Pure EVM, no node.

A figure is that of a transaction: 21,000, its data (EIP-2028), what it runs with cold storage (EIP-2929), less refunds
(EIP-3529). The verification of a BIP-340 signature is measured inside a call, as a contract pays for it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boa
from boa.contracts.abi.abi_contract import ABIContract
from boa.environment import Env
from coincurve import PublicKeyXOnly
from eth_account.signers.local import LocalAccount

from tests.support.native_contracts import (
    NOBODY,
    STAKE,
    World,
    account,
    accounts,
    build_world,
    member,
    outpoint,
    schnorr_proof,
)
from tests.support.native_vaults import add_evm_side

HARNESS = Path(__file__).parents[1] / "tests" / "support" / "vyper" / "bip340_harness.vy"
BIP340_TARGET = 5_000
MINT_TARGET = 180_000
SIGNATURE_TARGET = 9_000
PRECOMPILES = 10


@contextmanager
def chain_of_its_own() -> Iterator[None]:
    """An EVM that nothing else uses: what is measured below ends transactions, which boa's anchors do not survive."""
    with boa.swap_env(Env()):
        yield


def transaction_gas(contract: ABIContract, call: Callable[[], object]) -> int:
    """The gas of a call as a transaction of its own: nothing is warm but what a transaction warms (EIP-2929)."""
    boa.env.evm.vm.state.lock_changes()
    for number in range(1, PRECOMPILES + 1):
        boa.env.evm.vm.state.mark_address_warm(number.to_bytes(20, "big"))
    boa.env.evm.vm.state.mark_address_warm(contract.address.canonical_address)
    call()
    computation = contract._computation
    data = bytes(computation.msg.data)
    used = 21_000 + sum(16 if byte else 4 for byte in data) + int(computation.get_gas_used())
    return used - min(int(computation.get_gas_refund()), used // 5)


def figure(name: str, value: int, target: int | None = None, note: str = "") -> dict[str, object]:
    return {"name": name, "value": value, "unit": "gas", "target": target, "samples": 1, "note": note}


def verification() -> int:
    """Gas of one BIP-340 verification."""
    key, message = hashlib.sha256(b"key").digest(), hashlib.sha256(b"message").digest()
    rx, s, ry = schnorr_proof(key, message)
    valid, gas = boa.load(str(HARNESS)).verify(PublicKeyXOnly.from_secret(key).format(), message, rx, s, ry)
    assert valid
    return int(gas)


def mint_gas(world: World, label: str, signers: int = 3) -> int:
    """Gas of one mint to a recipient who has tokens already, unless it is the first."""
    deposit = world.deposit(label)
    signatures = world.attest("DepositAttestation", *deposit, by=world.vouchers[:signers])
    return transaction_gas(world.hub, lambda: world.hub.mint(deposit, signatures))


def deposits(world: World) -> list[dict[str, object]]:
    world.set_policy(fee_bps=10)
    first = mint_gas(world, "first")
    mint_gas(world, "first of these four", signers=4)
    three, four = mint_gas(world, "three"), mint_gas(world, "four", signers=4)
    distributed = transaction_gas(world.hub, lambda: world.hub.distribute(world.asset, NOBODY, 0b1111))
    limited = limited_mint_gas(world)
    world.set_policy()
    values = (world.asset, *outpoint("returned"), 5_000, world.group, 1)
    signatures = world.countersign("DepositReturn", *values)
    returned = transaction_gas(world.hub, lambda: world.hub.return_deposit(*values, signatures))
    return [
        figure("mint, 3 of 4 vouchers, first of its asset", first, None, "deploys the token"),
        figure("mint, 3 of 4 vouchers", three),
        figure("mint, 4 vouchers", four, MINT_TARGET, "with a service fee that adds to what is pending"),
        figure("mint, each signature more", four - three, SIGNATURE_TARGET),
        figure("mint, 4 vouchers, with a limit", limited),
        figure("distribute to 4 vouchers, the first time", distributed),
        figure("return_deposit, 3 of 5 storemen", returned),
    ]


def limited_mint_gas(world: World) -> int:
    """Gas of a mint with four signatures that counts against a limit, as others did on that day."""
    world.set_policy(fee_bps=10, deposit_limit=10**12)
    mint_gas(world, "first of the day", signers=4)
    return mint_gas(world, "with a limit", signers=4)


def releases(world: World) -> list[dict[str, object]]:
    """Gas of withdrawals to an EVM chain."""
    evm = add_evm_side(world)
    evm.set_policy(fee_bps=10)
    evm.fund(10**18)
    evm.settled()
    hub = world.hub
    requested = transaction_gas(hub, evm.withdraw)
    ids = [evm.withdraw() for _ in range(9)]
    small = transaction_gas(hub, lambda: evm.reserve(ids[:1]))
    large = transaction_gas(hub, lambda: evm.reserve(ids[1:]))
    settled = transaction_gas(hub, lambda: world.settle(hub.withdrawal(ids[0])[6], fee=1_000))
    settled_large = transaction_gas(hub, lambda: world.settle(hub.withdrawal(ids[1])[6], fee=8_000))
    restored = transaction_gas(hub, lambda: world.restore(ids[0], 10**6))
    return [
        figure("withdraw to an EVM chain", requested),
        figure("reserve 1 release, 2 of 3", small),
        figure("reserve 8 releases, 2 of 3", large),
        figure("settle 1 release, 3 of 4 vouchers", settled),
        figure("settle 8 releases, 3 of 4 vouchers", settled_large),
        figure("restore, 3 of 4 vouchers", restored),
    ]


def halts(world: World) -> list[dict[str, object]]:
    """Gas of a halt and its end."""
    until = boa.env.timestamp + 3_600
    halted = transaction_gas(world.hub, lambda: world.halt(until))
    resumed = transaction_gas(world.hub, lambda: world.resume(until))
    return [figure("halt, 2 of 4 vouchers", halted), figure("resume, 3 of 4 vouchers", resumed)]


def payouts(world: World) -> list[dict[str, object]]:
    hub = world.hub
    world.fund(1_000_000)
    world.withdraw()
    requested = transaction_gas(hub, world.withdraw)
    ids = [world.withdraw() for _ in range(3)]
    user = account("user").address
    cancelled = transaction_gas(hub, lambda: hub.cancel(ids[2], sender=user))
    small = transaction_gas(hub, lambda: world.reserve(ids[:1], [outpoint("a")]))
    payout = hub.withdrawal(ids[0])[6]
    settled = transaction_gas(hub, lambda: world.settle(payout))
    payout = world.reserve(ids[1:2], [outpoint("b")])
    replaced = transaction_gas(hub, lambda: world.reserve(ids[1:2], [outpoint("b"), outpoint("c")]))
    voided = transaction_gas(hub, lambda: world.void(payout))
    many = [world.withdraw() for _ in range(8)]
    points = [outpoint(number) for number in range(8)]
    large = transaction_gas(hub, lambda: world.reserve(many, points))
    return [
        figure("withdraw", requested),
        figure("cancel", cancelled),
        figure("reserve 1 withdrawal, 1 input, 3 of 5", small),
        figure("reserve 8 withdrawals, 8 inputs, 3 of 5", large),
        figure("reserve again, 1 withdrawal, 2 inputs", replaced),
        figure("settle 1 withdrawal, 3 of 4 vouchers", settled),
        figure("settle 8 withdrawals, 3 of 4 vouchers", settle_gas(world, many[0])),
        figure("void_payout 1 withdrawal, 2 inputs", voided),
    ]


def settle_gas(world: World, withdrawal: bytes) -> int:
    """Gas of settling the payout of a withdrawal."""
    payout = world.hub.withdrawal(withdrawal)[6]
    return transaction_gas(world.hub, lambda: world.settle(payout))


def group_gas(world: World, size: int) -> tuple[int, int]:
    """Gas of proposing and of activating a group of that size."""
    people = accounts(f"group-{size}", size)
    proposed = transaction_gas(world.registry, lambda: world.propose(people, size // 2 + 1))
    group = bytes(world.registry.latest_proposal(world.chain))
    key, proof = world.proof(group, hashlib.sha256(b"group").digest())
    confirmations = world.confirmations(group, key, people)
    activated = transaction_gas(world.registry, lambda: world.registry.activate_group(group, key, proof, confirmations))
    return proposed, activated


def groups(world: World) -> list[dict[str, object]]:
    rows = []
    for size in (5, 100):
        proposed, activated = group_gas(world, size)
        note = "EIP-7825 chains allow 16,777,216 a transaction" if proposed > 2**24 else ""
        rows += [
            figure(f"propose_group, {size} members", proposed, None, note),
            figure(f"activate_group, {size} members", activated),
        ]
    return rows


def bonds(world: World) -> list[dict[str, object]]:
    contract, one, holder = world.bonds, account("newcomer"), account("holder").address
    _, host_key, transport_key, endpoint = member(one, 0)
    for who in (one.address, holder):
        boa.env.set_balance(who, 10 * STAKE)
    contract.admit(one.address, sender=world.owner)
    joined = transaction_gas(
        contract, lambda: contract.join(host_key, transport_key, endpoint, 500, value=STAKE, sender=one.address)
    )
    deposited = transaction_gas(contract, lambda: contract.deposit(value=1, sender=one.address))
    delegated = transaction_gas(contract, lambda: contract.delegate(one.address, value=STAKE, sender=holder))
    position = contract.position_count()
    fees = fee_rows(world, position, [*(each.address for each in world.vouchers[:3]), one.address])
    unbonded = transaction_gas(contract, lambda: contract.unbond(position, STAKE // 2, sender=holder))
    boa.env.time_travel(seconds=contract.unbonding_seconds())
    withdrawn = transaction_gas(contract, lambda: contract.withdraw(1))
    statements = [evidence(world, one, amount) for amount in (1, 2)]
    reported = transaction_gas(contract, lambda: contract.report(*statements, sender=holder))
    return [
        figure("join as a voucher", joined),
        figure("deposit", deposited),
        figure("delegate", delegated),
        figure("unbond a part", unbonded),
        figure("withdraw what was unbonded", withdrawn),
        figure("report, two attestations of one deposit", reported),
        *fees,
    ]


def fee_rows(world: World, position: int, operators: list[str]) -> list[dict[str, object]]:
    """Crediting to operators, the last of whom holds a position, and claiming what that earned."""
    contract, hub, token = world.bonds, str(world.hub.address), world.token
    token.mint(contract.address, 2 * STAKE, sender=hub)
    gas = [
        transaction_gas(contract, lambda: contract.credit(token.address, operators, STAKE, sender=hub))
        for _ in range(2)
    ]
    claimed = transaction_gas(contract, lambda: contract.claim(position, token.address))
    commission = transaction_gas(contract, lambda: contract.claim_commission(token.address, sender=operators[-1]))
    return [
        figure("credit fees to 4 operators, first of a token", gas[0], None, "Hub.distribute calls it"),
        figure("credit fees to 4 operators", gas[1], None, "Hub.distribute calls it"),
        figure("claim a position's fees", claimed),
        figure("claim_commission", commission),
    ]


def evidence(world: World, by: LocalAccount, amount: int) -> tuple[int, list[bytes], bytes]:
    """An attestation of one deposit, as `report` takes it."""
    values = world.deposit("evidence", amount)
    words = [value if isinstance(value, bytes) else int(str(value), 0).to_bytes(32, "big") for value in values]
    return 1, words, world.attest("DepositAttestation", *values, by=[by])[0]


def run() -> list[dict[str, object]]:
    """Measure everything. A target is the most that a case may take; None: for information."""
    with chain_of_its_own():
        world = build_world()
        return [
            figure("bip340 verify", verification(), BIP340_TARGET, "inside a call"),
            *deposits(world),
            *payouts(world),
            *releases(world),
            *halts(world),
            *groups(world),
            *bonds(world),
        ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row['name']:<45} {row['value']:>12,} {row['unit']}  {row['note']}\n")
