"""The public file that says where a bridge's contracts are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.native.calls import Calls
from adapters.native.deployment import Deployment
from adapters.native.eip712 import BadSignature
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.assets import AssetPolicy
from registry.ids import network_id

DEPLOYMENT = Deployment(
    b"\xab" * 20, b"\xcd" * 20, b"\xef" * 20, b"\x12" * 20, 31_337, BlockHeight(7), bytes(range(32))
)

POLICY = AssetPolicy(TokenUnits(10), TokenUnits(1), TokenUnits(0))


def test_a_deployment_comes_back_from_its_file(tmp_path: Path) -> None:
    """What is saved is loaded, and anybody may read the file."""
    path = tmp_path / "deployment.json"
    DEPLOYMENT.save(path)
    assert Deployment.load(path) == DEPLOYMENT
    assert path.stat().st_mode & 0o777 == 0o644
    assert DEPLOYMENT.network == network_id(31_337, b"\xef" * 20)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("registry", "0x12"),
        ("hub", None),
        ("hub", "0x" + "Ab" * 20),
        ("bonds", 5),
        ("chain_id", "31337"),
        ("chain_id", True),
        ("start_block", -1),
        ("start_block", 1.5),
        ("genesis", "0x12"),
        ("genesis", "zz"),
    ],
)
def test_a_wrong_member_is_named(member: str, value: Any) -> None:
    """A member of the wrong form, or with a wrong checksum, is refused by its name."""
    content = {**json.loads(DEPLOYMENT.to_json()), member: value}
    with pytest.raises(BadInput) as refusal:
        Deployment.from_json(json.dumps(content))
    assert refusal.value.field == f"deployment.{member}"


@pytest.mark.parametrize("member", json.loads(DEPLOYMENT.to_json()))
def test_a_missing_member_is_named(member: str) -> None:
    """A member that is missing is refused by its name."""
    content = json.loads(DEPLOYMENT.to_json())
    del content[member]
    with pytest.raises(BadInput) as refusal:
        Deployment.from_json(json.dumps(content))
    assert refusal.value.field == f"deployment.{member}"


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    """A file that is not JSON, or no object, is refused."""
    with pytest.raises(BadInput):
        Deployment.from_json(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, and one that is no text, are refused by their path."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(BadInput) as refusal:
            Deployment.load(tmp_path / name)
        assert refusal.value.field == str(tmp_path / name)


def test_calls_refuse_what_does_not_fit() -> None:
    """Calls with ids, accounts or signatures of a wrong length are refused before they are sent."""
    calls = Calls(DEPLOYMENT)
    for build in (
        lambda: calls.cancel(b"\x01" * 31),
        lambda: calls.pay(b"\x01" * 19, Wei(1)),
        lambda: calls.transfer(b"\x01" * 20, b"\x01" * 19, TokenUnits(1)),
        lambda: calls.approve(b"\x01" * 20, TokenUnits(-1)),
        lambda: calls.join_vouchers(b"\x02" * 33, b"\x01" * 32, "127.0.0.1:5", Wei(1)),
        lambda: calls.propose_group(bytes(32), 1, []),
        lambda: calls.join_vouchers(b"\x02" * 33, b"\x01" * 32, "tcp://127.0.0.1:5", Wei(1), 10_001),
        lambda: calls.join_as_storeman(bytes(32), -1),
        lambda: calls.delegate(b"\x01" * 19, Wei(1)),
        lambda: calls.unbond(-1, Wei(1)),
        lambda: calls.set_asset_policy(bytes(32), replace(POLICY, fee_bps=1_001)),
        lambda: calls.set_chain_policy(bytes(32), replace(POLICY, deposit_fee=TokenUnits(10)), is_open=True),
        lambda: calls.introduce(bytes(32), "eip155:1/erc20:0x", "N\u00e4me", "SYM", 18, []),
        lambda: calls.introduce(bytes(32), "eip155:1/erc20:0x", "Name", "S M", 18, []),
        lambda: calls.introduce(bytes(32), "eip155:1/erc20:0x", "Name", "SYM", 256, []),
        lambda: calls.distribute(b"\x01" * 31, None, 1),
        lambda: calls.halt(bytes(31), 1, []),
    ):
        with pytest.raises(BadInput):
            build()
    with pytest.raises(BadSignature):
        calls.permit(b"\x01" * 20, b"\x01" * 20, TokenUnits(1), 5, bytes(64))
