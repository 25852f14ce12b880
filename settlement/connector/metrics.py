"""What monitoring scrapes. Counted as plain integers on the packets' way, and read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from settlement.connector.accounts import Account
from settlement.connector.balances.book import Book


class ConnectorMetrics(Collector):
    """Register it with a registry: packets by account and outcome, amounts, balances as this process knows them."""

    def __init__(self, accounts: Mapping[str, Account], book: Book, received: Mapping[str, int] | None = None) -> None:
        """`received`: what was paid to our own account, by payee."""
        self._accounts = accounts
        self._book = book
        self._received = {} if received is None else received

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client's `Collector`."""
        packets = CounterMetricFamily(
            "causeway_connector_packets",
            "Prepares that came from the account, by what became of them; code is that of the Reject",
            labels=("account", "outcome", "code"),
        )
        amounts = CounterMetricFamily(
            "causeway_connector_units",
            "Base units of the account's asset that fulfilled packets have moved",
            labels=("account", "asset", "direction"),
        )
        balances = GaugeMetricFamily(
            "causeway_connector_balance_units", "What we owe the account's holder", labels=("account", "asset")
        )
        held = GaugeMetricFamily(
            "causeway_connector_held_units",
            "Base units set aside for packets in flight",
            labels=("account", "asset", "direction"),
        )
        links = GaugeMetricFamily("causeway_connector_link_up", "Whether the peer is reachable", labels=("account",))
        for name, account in self._accounts.items():
            asset = account.config.asset.code
            packets.add_metric((name, "fulfilled", ""), account.fulfilled)
            for outcome, counter in (("refused", account.refused), ("rejected", account.rejected)):
                for code, count in tuple(counter.items()):
                    packets.add_metric((name, outcome, code), count)
            for direction, volume in (("in", account.volume_in), ("out", account.volume_out)):
                amounts.add_metric((name, asset, direction), volume)
            balances.add_metric((name, asset), account.position.balance)
            held.add_metric((name, asset, "in"), account.position.debits)
            held.add_metric((name, asset, "out"), account.position.credits)
            links.add_metric((name,), account.link.is_up)
        available = GaugeMetricFamily(
            "causeway_connector_balances_available", "Whether the database with the balances takes writes"
        )
        available.add_metric((), self._book.is_available)
        received = CounterMetricFamily(
            "causeway_connector_received_units", "Base units that were paid to our own account", labels=("payee",)
        )
        for payee, units in tuple(self._received.items()):
            received.add_metric((payee,), units)
        return packets, amounts, balances, held, links, available, received
