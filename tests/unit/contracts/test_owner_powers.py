"""What the owner of Registry and Bonds can do, all of it, and that no tokens move by it."""

from __future__ import annotations

from contracts import artifacts
from tests.support.native_contracts import (
    CAIP2,
    GENESIS,
    POLICY,
    STAKE,
    World,
    account,
    accounts,
    join,
    member,
    outpoint,
    refused,
)

USER = account("user").address
VIEWS = ("view", "pure")
ABSURD = {
    "minimum_deposit": 2**256 - 1, "deposit_fee": 2**256 - 2, "minimum_withdrawal": 2**256 - 1,
    "paused": True, "denied": True, "deposit_limit": 1, "withdrawal_limit": 1,
}  # fmt: skip
"""A policy that lets nothing in or out."""

OWNERS = {
    "Registry": {
        "register_chain",
        "register_vault",
        "register_asset",
        "set_asset_policy",
        "set_chain_policy",
        "set_registrar",
        "propose_group",
        "transfer_ownership",
    },
    "Bonds": {"bind", "admit", "pay_insurance", "transfer_ownership"},
    "Hub": set(),
    "Lockbox": set(),
    "MappingToken": set(),
    "Escrow": set(),
    "Anchors": set(),
    "Channels": set(),
}
EVERYBODYS = {
    "Registry": {"activate_group", "introduce_asset"},
    "Bonds": {
        "join", "join_as_storeman", "leave", "set_commission", "deposit", "delegate", "unbond", "withdraw",
        "credit", "claim", "claim_commission", "report",
    },
    "Hub": {
        "announce_deposit", "mint", "return_deposit", "withdraw", "cancel", "raise_max_fee",
        "reserve", "void_payout", "settle", "introduce", "restore", "publish_release", "halt", "resume", "distribute",
    },
    "MappingToken": {"transfer", "approve", "transferFrom", "permit", "mint", "burn"},
    "Lockbox": {
        "lock", "lock_with_permit", "release", "claim", "claim_fee", "cancel", "configure", "rotate", "pause",
        "unpause", "transfer_token",
    },
    "Escrow": {
        "lock", "lock_with_memo", "lock_with_note", "lock_token", "lock_token_with_memo", "lock_point",
        "lock_point_token", "claim", "claim_batch", "claim_point", "refund", "refund_point",
        "give_back", "give_back_point", "withdraw", "transfer_token",
    },
    "Anchors": {"anchor"},
    "Channels": {
        "open", "join", "abandon", "close", "challenge", "close_agreed", "reveal", "settle", "collect",
    },
}  # fmt: skip


def test_no_function_changes_state_but_the_listed_ones() -> None:
    """The lists above are complete: a new function that changes state has to be put into one of them, and tested."""
    for name in artifacts.DEPLOYABLE:
        functions = [entry for entry in artifacts.load(name).abi if entry["type"] == "function"]
        changing = {entry["name"] for entry in functions if entry["stateMutability"] not in VIEWS}
        assert changing == OWNERS[name] | EVERYBODYS[name], name


def balances(world: World) -> tuple[int, ...]:
    """All that could be stolen: tokens of the user, of the Hub and of the owner, the supply, and the bonds."""
    token, hub = world.token, str(world.hub.address)
    held = [token.balanceOf(one) for one in (USER, hub, world.owner)]
    return (*held, token.totalSupply(), world.bonds.total_weight())


def test_owner_moves_no_tokens_with_any_of_its_functions(funded: World) -> None:
    """Whatever the owner calls, supply, balances, locked tokens and bonds stay as they are."""
    registry, owner = funded.registry, funded.owner
    funded.withdraw()
    before = balances(funded)
    chain = registry.register_chain("eip155:1", GENESIS, 0, sender=owner)
    registry.register_asset(CAIP2 + "/x:1", funded.chain, "X", "X", 8, POLICY, sender=owner)
    funded.set_policy(**ABSURD)
    registry.set_chain_policy(chain, POLICY, True, sender=owner)
    registry.propose_group(chain, 1, [member(account("owner"), 0)], sender=owner)
    funded.bonds.admit(owner, sender=owner)
    funded.bonds.transfer_ownership(USER, sender=owner)
    registry.transfer_ownership(USER, sender=owner)
    assert balances(funded) == before


def test_owner_has_no_signature_of_its_own(funded: World) -> None:
    """The owner signs for nobody: it is no voucher, no storeman, and not the Hub."""
    owner = account("owner")
    with refused("Hub: not enough weight"):
        funded.mint(funded.deposit("owner"), by=[owner])
    with refused("Hub: no quorum of storemen"):
        funded.reserve([funded.withdraw()], [outpoint(1)], by=[owner])
    for act in (funded.token.mint, lambda _, amount, sender: funded.token.burn(amount, sender=sender)):
        with refused("MappingToken: not the Hub"):
            act(owner.address, 1, sender=owner.address)


def test_owner_cannot_keep_what_is_locked(funded: World) -> None:
    """With the asset paused and the limits absurd, a withdrawal is still cancelled, or paid and settled."""
    cancelled, paid = funded.withdraw(), funded.withdraw()
    funded.set_policy(**ABSURD)
    funded.hub.cancel(cancelled, sender=USER)
    funded.settle(funded.reserve([paid], [outpoint(1)]))
    assert funded.token.transfer(account("friend").address, 1, sender=USER)


def test_owner_cannot_evict_or_weigh_down_a_voucher(world: World) -> None:
    """Admission is all the owner decides: no voucher loses weight, and one admitted without stake has none."""
    for number in range(3):
        world.bonds.admit(account(f"friend-{number}").address, sender=world.owner)
    assert world.bonds.total_weight() == 4 * STAKE
    world.mint(world.deposit())


def test_owner_with_a_group_of_its_own_still_needs_the_vouchers(funded: World) -> None:
    """Its own members can be made the active group (docs/contracts.md warns of it); supply stays in others' hands."""
    mine = accounts("puppet", 3)
    group = funded.propose(mine, 2)
    funded.activate(group, mine, b"\x33" * 32)
    supply = funded.hub.supply(funded.asset)
    with refused("Hub: not enough weight"):
        funded.mint(funded.deposit("mine", group=group), by=mine)
    id_ = funded.withdraw()
    payout = funded.reserve([id_], [outpoint(1)], by=mine, group=group)
    for act, name, values in (
        (funded.hub.settle, "PayoutSettlement", (payout, bytes(32), 0)),
        (funded.hub.void_payout, "AnchorSpent", (payout, bytes(32))),
    ):
        with refused("Hub: not enough weight"):
            act(*values, funded.attest(name, *values, by=mine))
    assert funded.hub.supply(funded.asset) == supply
    assert funded.token.balanceOf(str(funded.hub.address)) == 50_000


def test_owner_with_enough_stake_of_its_own_is_a_majority(world: World) -> None:
    """The trust model's limit, said openly: who admits itself and bonds more than two thirds attests what it likes."""
    rich = account("rich")
    join(world, rich, 8 * STAKE)
    with refused("Hub: not enough weight"):
        world.mint(world.deposit(), by=[rich])
    join(world, account("richer"), 9 * STAKE)
    both = sorted([rich, account("richer")], key=lambda one: int(one.address, 16))
    world.mint(world.deposit(), by=both)
