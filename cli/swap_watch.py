"""Commands of a watchtower: making a bundle for one, and being one."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cli.logs import log_file
from cli.output import clock, short
from cli.swap_amounts import btc, evm_amount, span
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.signals import cancelled_by
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.runtime import bitcoin_rpc, open_store, wall_clock
from settlement.swap.machine.facts import LockStatus
from settlement.swap.store.store import SwapStore
from settlement.swap.terms import Role
from settlement.swap.watchtower.keeping import BundleMaker
from settlement.swap.watchtower.opening import open_tower
from settlement.swap.watchtower.shelf import Shelf
from settlement.swap.watchtower.tower import News, Watchtower, misplaced

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.wallet.secrets import TraderKeys
    from settlement.swap.watchtower.bundle import Bundle

STATE_NAME: Final = "watchtower"
LOG_NAME: Final = "watchtower.log"
_NEWS_SHOWN: Final = 12


async def make_bundle_file(settings: TraderSettings, keys: TraderKeys, output: Output, name: str, file: Path) -> None:
    """Write the bundle of a swap as it stands now."""
    async with open_store(settings.folder, keys) as database, bitcoin_rpc(settings.bitcoin) as rpc:
        async with database.view() as view:
            row = await SwapStore(view.connection).named(name)
        wallet = NodeWallet(rpc, settings.bitcoin.network)
        maker = BundleMaker(database, keys, wallet, settings.bitcoin.fees, lambda: wall_clock() // 1000)
        bundle, data = await maker.make(row)
    write_durably(file, data)
    document = {"file": str(file), "swap": row.swap_id.hex(), "role": bundle.role.value, "can": abilities(bundle)}
    text = f"{file} lets a watchtower, without any key of yours:\n" + "\n".join(f"- {one}" for one in abilities(bundle))
    output.result(
        document,
        text + "\n\nMake it anew when more has happened: after your funding, or after the reveal, on either side.",
    )


def abilities(bundle: Bundle) -> list[str]:
    """What a tower can do with a bundle, for people."""
    if bundle.role is Role.FOLLOWER:
        found = [f"refund {btc(one.value)} after T2, at {len(one.rungs)} fees" for one in bundle.refunds]
        claim = "claim the lock" if bundle.secret else "claim the lock once bitcoin shows the secret"
        return [*(found or ["refund nothing yet: no funding is known"]), claim]
    found = [f"claim {btc(one.value)}, at {len(one.rungs)} fees" for one in bundle.claims]
    return [*found, "return the lock after T1"]


async def watch_bundles(
    settings: TraderSettings,
    paths: Sequence[Path],
    account: bytes,
    grace_s: int,
    state: Path | None,
    *,
    as_json: bool,
) -> None:
    """Be a watchtower until nothing is left to do; for ever where a folder is watched. SIGTERM and SIGHUP cancel it, as
    Ctrl-C does."""
    shelf = Shelf(paths)
    shelf.check()
    for bundle in shelf.read().values():
        if problem := misplaced(bundle, settings):
            raise BadInput("--bundle", problem, "the folder of a trader at that Escrow")
    home = state or settings.folder / STATE_NAME
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ended = cancelled_by(signal.SIGTERM, signal.SIGHUP)
    with ended, log_file(home / LOG_NAME), TowerViewer(settings, as_json=as_json) as viewer:
        async with open_tower(settings, shelf, account, home, grace_s=grace_s, tell=viewer.tell) as tower:
            await tower.run(settings.poll_seconds, viewer.show)


class TowerViewer:
    """Shows what a tower sees: a live picture on a terminal, lines elsewhere, JSON lines where asked for. As `with`."""

    def __init__(self, settings: TraderSettings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json
        self._console = Console(stderr=True, highlight=False)
        self._is_live = self._console.is_terminal and not as_json
        self._live = Live(console=self._console, refresh_per_second=4, transient=True, auto_refresh=False)
        self._news: list[str] = []

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def tell(self, news: News) -> None:
        """Show a piece of news."""
        swap_id, role = news.bundle.terms.swap_id, news.bundle.role.value
        at_ms = wall_clock()
        if self._as_json:
            print(json.dumps({"at_ms": at_ms, "swap": swap_id.hex(), "role": role, "news": news.text}), flush=True)
            return
        line = f"{clock(at_ms)}  {short(swap_id)}  {news.text}"
        self._news = [*self._news, line][-_NEWS_SHOWN:]
        if not self._is_live:
            print(line, file=self._console.file, flush=True)

    def show(self, tower: Watchtower) -> None:
        """Show how all stands now."""
        if not self._is_live:
            return
        parts: list[Any] = []
        for owner, bundle in tower.bundles.items():
            if owner not in tower.over:
                title = f"swap {short(bundle.terms.swap_id)}, for its {bundle.role.value}"
                parts += [Text(title, "bold"), *(Text(f"  {line}") for line in standing(self._settings, tower, bundle))]
        parts += [Text(f"{name} cannot be asked now: {text}", "yellow") for name, text in tower.problems.items()]
        parts += [Text(line, "dim", overflow="ellipsis", no_wrap=True) for line in self._news]
        self._live.update(Group(*(parts or [Text("no bundles yet")])), refresh=True)


def standing(settings: TraderSettings, tower: Watchtower, bundle: Bundle) -> list[str]:
    """How a swap stands, and what the tower waits for."""
    sight, progress, terms = tower.sight(bundle), tower.progress(bundle), bundle.terms
    now = int(time.time())
    lock = "none yet" if sight.lock is None else sight.lock.value + (", for good" if sight.lock_final else "")
    lines = [f"lock of {evm_amount(settings, terms.evm.asset, terms.evm.amount)}: {lock}"]
    for view in sight.outputs:
        if view.spend is None:
            spent = "unspent"
        elif view.spend.confirmations:
            spent = f"spent, {view.spend.confirmations} confirmations"
        else:
            climb = progress.climbs.get(view.outpoint.serialized())
            own = climb is not None and climb.rung >= 0
            spent = "being spent" + (f", at fee {climb.rung + 1} of the bundle's" if climb is not None and own else "")
        lines.append(f"bitcoin output of {btc(view.value)}: {spent}")
    if bundle.role is Role.FOLLOWER and terms.bitcoin.expires_at > now:
        lines.append(f"bitcoin can come back in {span(terms.bitcoin.expires_at - now)}")
    if sight.lock in (None, LockStatus.OPEN) and terms.evm.expires_at > now:
        lines.append(f"the lock can go back in {span(terms.evm.expires_at - now)}")
    return lines
