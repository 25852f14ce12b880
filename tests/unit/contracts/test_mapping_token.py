"""MappingToken: an ERC-20 with permit that the Hub alone creates and destroys."""

from __future__ import annotations

from dataclasses import replace

import boa
import pytest
from boa.contracts.abi.abi_contract import ABIContract
from eth_account.messages import encode_typed_data

from contracts import artifacts
from tests.support.native_contracts import (
    POLICY,
    ZERO,
    World,
    account,
    deploy,
    events,
    refused,
)

USER = account("user")
FRIEND = account("friend").address


@pytest.fixture
def token(funded: World) -> ABIContract:
    """The asset's token, of which account("user") holds 1,000,000 units."""
    return funded.token


def test_token_is_named_after_its_asset(world: World, token: ABIContract) -> None:
    """Name, symbol and decimals come from the Registry; the Hub is who deployed it."""
    assert (token.name(), token.symbol(), token.decimals()) == ("Bitcoin (Causeway)", "cwBTC", 8)
    assert token.hub() == world.hub.address
    assert tuple(token.eip712Domain())[1:5] == ("Bitcoin (Causeway)", "1", 1, token.address)


def test_longest_names_fit(world: World) -> None:
    """25 bytes of name and 10 of symbol become a token's without being cut."""
    text = world.registry.chain_info(world.chain)[0] + "/x:1"
    other = replace(
        world,
        asset=world.registry.register_asset(text, world.chain, "n" * 25, "s" * 10, 255, POLICY, sender=world.owner),
    )
    other.mint(other.deposit())
    found = other.token
    assert (found.name(), found.symbol(), found.decimals()) == ("n" * 25 + " (Causeway)", "cw" + "s" * 10, 255)


def test_only_the_hub_mints_and_burns(world: World, token: ABIContract) -> None:
    """Holders, the owner of the Registry, vouchers and strangers can do neither."""
    for one in (USER.address, world.owner, world.vouchers[0].address, FRIEND, ZERO):
        with refused("MappingToken: not the Hub"):
            token.mint(one, 1, sender=one)
        with refused("MappingToken: not the Hub"):
            token.burn(1, sender=one)
    assert token.totalSupply() == 1_000_000


def test_hub_burns_only_its_own(world: World, token: ABIContract) -> None:
    """Even the Hub destroys no more than it holds, and creates nothing for nobody."""
    hub = str(world.hub.address)
    with refused("erc20: burn amount exceeds balance"):
        token.burn(1, sender=hub)
    with refused("erc20: mint to the zero address"):
        token.mint(ZERO, 1, sender=hub)


def test_nothing_else_creates_or_destroys() -> None:
    """The ABI has ERC-20, EIP-2612, EIP-5267, and the Hub's `mint` and `burn`; no owner and no minters."""
    names = {entry["name"] for entry in artifacts.load("MappingToken").abi if entry["type"] == "function"}
    erc20 = {"totalSupply", "balanceOf", "allowance", "transfer", "approve", "transferFrom"}
    assert names == erc20 | {
        "name", "symbol", "decimals", "permit", "nonces", "DOMAIN_SEPARATOR", "eip712Domain", "mint", "burn", "hub"
    }  # fmt: skip


def test_tokens_move_as_erc20_says(token: ABIContract) -> None:
    """Transfers, allowances and their events; more than is there, or allowed, is refused."""
    assert token.transfer(FRIEND, 400, sender=USER.address)
    assert events(token) == [("Transfer", {"sender": USER.address, "receiver": FRIEND, "value": 400})]
    assert token.approve(FRIEND, 100, sender=USER.address)
    assert token.transferFrom(USER.address, FRIEND, 60, sender=FRIEND)
    assert token.allowance(USER.address, FRIEND) == 40
    with refused("erc20: insufficient allowance"):
        token.transferFrom(USER.address, FRIEND, 41, sender=FRIEND)
    with refused("erc20: transfer amount exceeds balance"):
        token.transfer(USER.address, 461, sender=FRIEND)
    with refused("erc20: transfer to the zero address"):
        token.transfer(ZERO, 1, sender=USER.address)
    assert token.balanceOf(USER.address) + token.balanceOf(FRIEND) == token.totalSupply() == 1_000_000


def permit(
    token: ABIContract, value: int, deadline: int, nonce: int = 0, chain_id: int = 1
) -> tuple[int, bytes, bytes]:
    """(v, r, s) of the user's EIP-2612 permit for FRIEND."""
    fields = ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"]
    types = {"Permit": [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields]}
    domain = {"name": "Bitcoin (Causeway)", "version": "1", "chainId": chain_id}
    message = {"owner": USER.address, "spender": FRIEND, "value": value, "nonce": nonce, "deadline": deadline}
    signed = USER.sign_message(encode_typed_data(domain | {"verifyingContract": str(token.address)}, types, message))
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_permit_allows_once_until_its_deadline(token: ABIContract) -> None:
    """A signature gives the allowance once, for this token and chain, with these values and before the deadline."""
    deadline = boa.env.timestamp + 100
    right = permit(token, 500, deadline)
    with refused("erc20: invalid signature"):
        token.permit(USER.address, FRIEND, 501, deadline, *right)
    with refused("erc20: invalid signature"):
        token.permit(USER.address, FRIEND, 500, deadline, *permit(token, 500, deadline, chain_id=2))
    expired = boa.env.timestamp - 1
    with refused("erc20: expired deadline"):
        token.permit(USER.address, FRIEND, 500, expired, *permit(token, 500, expired))
    token.permit(USER.address, FRIEND, 500, deadline, *right, sender=FRIEND)
    assert token.allowance(USER.address, FRIEND) == 500
    assert token.nonces(USER.address) == 1
    with refused("erc20: invalid signature"):
        token.permit(USER.address, FRIEND, 500, deadline, *right)


def test_token_of_a_stranger_is_not_the_hubs(world: World) -> None:
    """Anybody can deploy the same code; the Hub does not know that token, and its own `hub` is the deployer."""
    fake = deploy("MappingToken", "Bitcoin (Causeway)", "cwBTC", 8)
    assert world.hub.asset_of(str(fake.address)) == bytes(32)
    assert fake.hub() != world.hub.address


def test_blueprint_can_be_neither_called_nor_initialised(world: World) -> None:
    """The blueprint's first byte is 0xfe (ERC-5202): it is data, not a token."""
    assert boa.env.get_code(world.blueprint)[:3] == b"\xfe\x71\x00"
    with pytest.raises(Exception, match="Invalid opcode"):
        boa.env.raw_call(world.blueprint)
