"""What is decided when a bridge is founded, before anything is sent."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from adapters.bitcoin.addresses import MAINNET, REGTEST, TESTNET4
from cli.deposit import _service
from cli.exits import ExitCode
from cli.founding import bitcoin_confirmations
from cli.main import app
from foundation.quantities import TokenUnits
from registry.assets import AssetPolicy


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--slash", "0"), "bonds.slash_bps"),
        (("--reward", "5001"), "bonds.reward_bps"),
        (("--unbonding", "0"), "bonds.unbonding_seconds"),
        (("--minimum-stake", "0"), "bonds.minimum_stake"),
        (("--fee", "1001"), "policy.fee_bps"),
        (("--deposit-fee", "0.0001"), "policy.minimum_deposit"),
        (("--fee-floor", "0.0001"), "policy.minimum_deposit"),
        (("--deposit-limit", "1e8"), "--deposit-limit"),
    ],
)
def test_terms_that_the_contracts_would_refuse_cost_nothing(options: tuple[str, ...], field: str) -> None:
    """Numbers that no contract would take are refused by name, before a key is read or a node is asked."""
    result = CliRunner().invoke(app, ["deploy", *options, "--json"])
    assert result.exit_code == ExitCode.BAD_INPUT, result.output
    error = json.loads(result.stderr)["error"]
    assert error["fields"]["field"] == field
    assert error["cure"]


def test_finality_is_cheap_on_a_network_of_ones_own_alone() -> None:
    """One confirmation is final where one mines oneself, six are everywhere else."""
    assert [bitcoin_confirmations(network) for network in (REGTEST, TESTNET4, MAINNET)] == [1, 6, 6]


def test_the_service_fee_is_told_where_there_is_one() -> None:
    """A depositor reads the part and the floor of the service fee, and nothing where nobody takes any."""
    policy = AssetPolicy(TokenUnits(10_000), TokenUnits(1_000), TokenUnits(0))
    assert _service(policy) == ""
    dear = AssetPolicy(*(TokenUnits(n) for n in (10_000, 1_000, 0)), fee_bps=25, fee_floor=TokenUnits(500))
    assert _service(dear) == " and 0.25 %, at least 0.000005 BTC"
