"""A column for amounts that no engine's integer holds."""

from __future__ import annotations

from sqlalchemy import Dialect, Text, TypeDecorator


class Natural(TypeDecorator[int]):
    """An integer from 0 on, of any size, as decimal text: never compared or summed in SQL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """As text."""
        assert value is None or value >= 0, "amounts are not negative"
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """As a number."""
        return None if value is None else int(value)
