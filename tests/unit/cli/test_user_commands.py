"""The commands of depositors and withdrawers, as far as no chain is asked: what they refuse, and how they say it."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.bitcoin.addresses import MAINNET, REGTEST, TESTNET4, address_text
from adapters.bitcoin.reclaim import parse_reclaim_key, reclaim_key_text
from adapters.bitcoin.scripts import return_script
from adapters.native.types import WithdrawalRecord, WithdrawalStatus
from bridge.codec import encode
from bridge.settings import bitcoin_asset
from bridge.storage import Database, TransferKind, TransferRow
from cli.depositing import make_offer, new_reclaim_key, write_receipt
from cli.exits import ExitCode
from cli.main import app
from cli.withdraw import _check
from cli.withdrawing import TooLate, fee_limit
from foundation.errors import BadInput
from foundation.quantities import SatPerKvB, TokenUnits, UnixMs
from registry.assets import Asset, AssetPolicy
from tests.support.receipts import receipt
from tests.support.vault_coins import RECLAIM_KEY, RECLAIM_SECRET
from tests.unit.bridge.views.test_journeys import DEPOSIT, WITHDRAWAL

ADDRESS = address_text(return_script(RECLAIM_KEY), REGTEST)
ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, node or key of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_HOME", "CAUSEWAY_NETWORK", "CAUSEWAY_NODE", "CAUSEWAY_ACCOUNT_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: Any) -> tuple[int, dict[str, Any]]:
    """The exit status, and the error's document."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stderr)["error"] if done.stderr.startswith("{") else {}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A receipt's file."""
    path = tmp_path / "r.json"
    write_receipt(path, receipt())
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file with the receipt's reclaim key."""
    path = tmp_path / "reclaim.key"
    path.write_text(reclaim_key_text(RECLAIM_SECRET, REGTEST))
    return path


@pytest.mark.parametrize("ways", [[], ["--reclaim-key", "11" * 32, "--new-reclaim-key", "k"]])
def test_a_deposit_address_needs_one_way_back(ways: list[str]) -> None:
    """Neither key, or both, is refused before anything is made."""
    code, error = run("deposit", "address", "--recipient", ACCOUNT, *ways)
    assert code == ExitCode.BAD_INPUT
    assert error["fields"]["field"] == "--reclaim-key"


def test_a_mistyped_recipient_is_refused() -> None:
    """A wrong checksum is noticed: tokens for a mistyped account are lost."""
    code, error = run("deposit", "address", "--recipient", ACCOUNT[:-1] + "9", "--new-reclaim-key", "k")
    assert code == ExitCode.BAD_INPUT
    assert error["fields"]["field"] == "--recipient"


def test_no_key_is_made_when_no_account_can_announce(tmp_path: Path) -> None:
    """What can be refused is refused before a file is written."""
    code, error = run("deposit", "address", "--recipient", ACCOUNT, "--new-reclaim-key", tmp_path / "k")
    assert code == ExitCode.BAD_INPUT
    assert error["fields"]["field"] == "--account-key"
    assert not (tmp_path / "k").exists()


def test_an_existing_receipt_is_never_overwritten(kept: Path) -> None:
    """It may be the only way back of another deposit."""
    before = kept.read_text()
    arguments = ("--recipient", ACCOUNT, "--new-reclaim-key", "k", "--receipt", kept, "--no-announce")
    code, error = run("deposit", "address", *arguments)
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--receipt")
    assert kept.read_text() == before


@pytest.mark.parametrize("command", [["status"], ["announce"], ["reclaim", "--to", ADDRESS]])
def test_a_changed_receipt_is_refused_by_every_command(kept: Path, command: list[str]) -> None:
    """The member that is wrong is named, with the file."""
    kept.write_text(kept.read_text().replace('"delay": 144', '"delay": 145'))
    name, *rest = command
    code, error = run("deposit", name, kept, *rest)
    assert code == ExitCode.BAD_INPUT
    assert error["fields"]["field"] == f"{kept}.address"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--to", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"], "--to"),
        (["--to", ADDRESS, "--outpoint", "nonsense"], "--outpoint"),
        (["--to", ADDRESS, "--bitcoin-url", "http://127.0.0.1:1"], "--bitcoin-url"),
    ],
)
def test_a_reclaim_names_the_option_that_is_wrong(kept: Path, key: Path, arguments: list[str], field: str) -> None:
    """Another network's address, no outpoint, a node without credentials."""
    code, error = run("deposit", "reclaim", kept, "--reclaim-key-file", key, *arguments)
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)


def test_a_reclaim_with_another_key_is_refused_before_any_node_is_asked(kept: Path, key: Path) -> None:
    """The key is held to the receipt's, and never shown."""
    key.write_text("11" * 32)
    code, error = run("deposit", "reclaim", kept, "--to", ADDRESS, "--reclaim-key-file", key)
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--reclaim-key-file")
    assert "11" * 32 not in json.dumps(error)


def test_a_reclaim_says_when_no_node_answers(kept: Path, key: Path, tmp_path: Path) -> None:
    """With nothing at the url the status is that for trying again."""
    (tmp_path / "p").write_text("secret")
    where = ("--bitcoin-url", "http://127.0.0.1:1", "--bitcoin-user", "u", "--bitcoin-password-file", tmp_path / "p")
    code, error = run("deposit", "reclaim", kept, "--to", ADDRESS, "--reclaim-key-file", key, *where)
    assert code == ExitCode.NOT_YET, error


@pytest.mark.parametrize("network", [MAINNET, TESTNET4, REGTEST], ids=lambda n: n.name)
def test_a_new_reclaim_key_is_kept_for_its_owner_alone(tmp_path: Path, network: Any) -> None:
    """Its file is readable by nobody else, in wallet import format, and never overwritten."""
    path = tmp_path / "key"
    public = new_reclaim_key(path, network)
    from coincurve import PublicKeyXOnly

    assert PublicKeyXOnly.from_secret(parse_reclaim_key(path.read_text(), network)).format() == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BadInput):
        new_reclaim_key(path, network)


@pytest.mark.parametrize(
    "arguments",
    [["withdraw", "0.1", "--to", ADDRESS], ["withdraw", "--to", ADDRESS, "0.1"], ["withdraw", "request", "0.1"]],
)
def test_withdraw_alone_means_a_request(arguments: list[str]) -> None:
    """`withdraw AMOUNT` and its options in any order are a request; without an account's key it is refused."""
    code, error = run(*arguments, *([] if "--to" in arguments else ["--to", ADDRESS]))
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--account-key")


def record(status: WithdrawalStatus) -> WithdrawalRecord:
    amount, fee = TokenUnits(10_000), TokenUnits(500)
    return WithdrawalRecord(b"i" * 32, b"a" * 32, b"o" * 20, amount, fee, b"", status, None)


def test_a_withdrawal_is_changed_by_its_owner_and_in_time() -> None:
    """Cancelling needs a request, raising the fee a request or a reservation and a higher limit."""
    owner = b"o" * 20
    _check(record(WithdrawalStatus.REQUESTED), owner, None)
    _check(record(WithdrawalStatus.RESERVED), owner, TokenUnits(501))
    with pytest.raises(BadInput):
        _check(record(WithdrawalStatus.REQUESTED), b"x" * 20, None)
    with pytest.raises(BadInput):
        _check(record(WithdrawalStatus.RESERVED), owner, TokenUnits(500))
    with pytest.raises(TooLate):
        _check(record(WithdrawalStatus.RESERVED), owner, None)
    with pytest.raises(TooLate):
        _check(record(WithdrawalStatus.SETTLED), owner, TokenUnits(501))


class Fees:
    """A bitcoin node that is asked about fees, and about its tip."""

    def __init__(self, estimate: int | None, floor: int = 1_000) -> None:
        self._estimate = None if estimate is None else SatPerKvB(estimate)
        self._floor = SatPerKvB(floor)

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None:
        return self._estimate

    async def relay_floor(self) -> SatPerKvB:
        return self._floor

    async def tip(self) -> Any:
        class Tip:
            height = 103

        return Tip


async def test_the_default_fee_limit_is_a_multiple_of_what_is_expected() -> None:
    """It follows the node's estimate and its mempool's floor, and always leaves more than dust."""
    low, high = await fee_limit(Fees(1_000), TokenUnits(10**8)), await fee_limit(Fees(20_000), TokenUnits(10**8))
    assert high.limit == 3 * high.expected
    assert low.limit >= 1_000
    assert (await fee_limit(Fees(1_000, floor=20_000), TokenUnits(10**8))).limit == high.limit
    small = await fee_limit(Fees(20_000), TokenUnits(high.expected + 1_000))
    assert small.limit + 546 < high.expected + 1_000
    with pytest.raises(BadInput):
        await fee_limit(Fees(20_000), TokenUnits(600))


class Bridge:
    """A native chain that is asked for what a deposit address needs."""

    def __init__(self, *, group: Any = None, paused: bool = False, denied: bool = False) -> None:
        self._group = group
        self._closed = (paused, denied)

    @property
    def deployment(self) -> Any:
        class Where:
            chain_id = 31337
            hub = b"\x02" * 20

        return Where

    async def active_group(self, chain: bytes) -> bytes | None:
        return None if self._group is None else b"g" * 32

    async def group(self, group: bytes) -> Any:
        return self._group

    async def asset(self, asset: bytes) -> Asset:
        policy = AssetPolicy(TokenUnits(10_000), TokenUnits(2_000), TokenUnits(10_000), *self._closed)
        return Asset.named(bitcoin_asset(REGTEST), "Bitcoin", "BTC", 8, policy)


class Group:
    """A group of storemen with its key."""

    id = b"g" * 32
    key = receipt().terms.group_key


class Here:
    """A network file's facts."""

    network = REGTEST
    chain = b"c" * 32
    asset = bitcoin_asset(REGTEST).id


async def offered(native: Bridge, **changes: Any) -> Any:
    wanted = {"recipient": b"\x01" * 20, "reclaim_key": RECLAIM_KEY, "delay": None} | changes
    return await make_offer(Here, native, Fees(None), **wanted)  # type: ignore[arg-type]  # fakes


async def test_an_offer_has_terms_of_its_own() -> None:
    """Two addresses for the same recipient differ; the birthday lies below the tip, for reorgs' sake."""
    first, second = await offered(Bridge(group=Group)), await offered(Bridge(group=Group))
    assert first.receipt.address != second.receipt.address
    assert first.receipt.birthday == 97
    assert first.receipt.terms.delay == 144
    assert first.policy.minimum_deposit == 10_000


@pytest.mark.parametrize(
    ("native", "changes"),
    [
        (Bridge(group=Group), {"recipient": bytes(20)}),
        (Bridge(group=Group), {"recipient": b"\x02" * 20}),
        (Bridge(group=Group), {"delay": 0}),
        (Bridge(group=Group), {"delay": 65_536}),
        (Bridge(group=Group), {"reclaim_key": b"\xff" * 32}),
        (Bridge(group=Group, paused=True), {}),
        (Bridge(group=Group, denied=True), {}),
    ],
)
async def test_terms_that_would_lose_money_are_not_offered(native: Bridge, changes: dict[str, Any]) -> None:
    """Recipients that cannot receive, delays that cannot be, bad keys, paused and delisted assets are refused."""
    with pytest.raises(BadInput):
        await offered(native, **changes)


def _node(folder: Path) -> Path:
    """A node's folder whose database knows a deposit and a withdrawal."""
    folder.mkdir()
    (folder / "config.toml").write_text(
        '[node]\nrole = "storeman"\nname = "one"\nlisten = "tcp://127.0.0.1:1"\n'
        '[bitcoin]\nnetwork = "regtest"\nurl = "http://127.0.0.1:1"\nuser = "u"\npassword = "p"\n'
        '[native]\nurl = "http://127.0.0.1:1"\n'
    )
    addresses = dict.fromkeys(("registry", "bonds", "hub", "token_blueprint"), ACCOUNT)
    content = {**addresses, "chain_id": 31337, "start_block": 1, "genesis": "0x" + "00" * 32}
    (folder / "deployment.json").write_text(json.dumps(content))

    async def fill() -> None:
        async with await Database.open(f"sqlite:///{folder / 'node.db'}") as database, database.unit() as unit:
            now = UnixMs(1)
            await unit.transfers.save(
                TransferRow(DEPOSIT.deposit_id, TransferKind.DEPOSIT, DEPOSIT.stage, encode(DEPOSIT), now, now),
                TransferRow(
                    WITHDRAWAL.withdrawal_id, TransferKind.WITHDRAWAL, WITHDRAWAL.stage, encode(WITHDRAWAL), now, now
                ),
            )
            await unit.commit()

    asyncio.run(fill())
    return folder


def test_transfers_are_listed_shown_and_not_found(tmp_path: Path) -> None:
    """The list filters by kind and stage; one is shown by its id's beginning, even while the bitcoin node is away."""
    node = _node(tmp_path / "node")
    runner = CliRunner()
    every = json.loads(runner.invoke(app, ["transfers", "--node", str(node), "--json"]).stdout)
    assert len(every) == 2
    (one,) = json.loads(runner.invoke(app, ["transfers", "--node", str(node), "--kind", "deposit", "--json"]).stdout)
    assert one["id"] == DEPOSIT.deposit_id.hex()
    (one,) = json.loads(runner.invoke(app, ["transfers", "--node", str(node), "--stage", "requested", "--json"]).stdout)
    assert one["id"] == WITHDRAWAL.withdrawal_id.hex()
    shown = runner.invoke(app, ["transfers", "show", DEPOSIT.deposit_id.hex()[:8], "--node", str(node)])
    assert shown.exit_code == 0, shown.stderr
    assert "whose move" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100
    document = json.loads(
        runner.invoke(app, ["transfers", "show", WITHDRAWAL.withdrawal_id.hex(), "--node", str(node), "--json"]).stdout
    )
    assert document["move"] == "the storemen"
    assert run("transfers", "show", "ffff", "--node", node)[0] == ExitCode.NOT_FOUND
    assert run("transfers", "show", "xyz", "--node", node)[0] == ExitCode.BAD_INPUT
    assert run("transfers", "--stage", "nowhere", "--node", node)[0] == ExitCode.BAD_INPUT


def test_reserves_of_a_database_are_shown(tmp_path: Path) -> None:
    """`reserves` needs no chain; an empty bridge owes nothing."""
    done = CliRunner().invoke(app, ["reserves", "--node", str(_node(tmp_path / "node")), "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["covered"] is True
