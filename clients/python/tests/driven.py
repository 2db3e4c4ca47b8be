"""`AsyncMLClient` behind the face of `MLClient`, so that one test asks the same of both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from evzone_ml_client import AsyncMLClient, MLClient
from evzone_ml_client.schemas import Reading
from tests import readings

# Makes a client of the service at a URL, with settings by name.
Connect: TypeAlias = Callable[..., MLClient]


def circuit(ml: MLClient | AsyncMLClient) -> str:
    """Its state now. mypy takes an attribute for what was last said of it."""
    return ml.circuit


def reading(charger_id: str | None = None, **fields: object) -> Reading:
    return cast(Reading, readings.metrics(charger_id, **fields))


class AsyncDriven:
    """Runs what an `AsyncMLClient` returns on a loop of its own, as long as the context lasts.

    Each call runs in a copy of its caller's context variables, as a task does.
    """

    def __init__(self, driven: AsyncMLClient) -> None:
        self._driven = driven
        self._runner = asyncio.Runner()

    @property
    def client(self) -> MLClient:
        return cast(MLClient, self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driven, name)
        if not inspect.ismethod(found):
            return found

        def called(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return self._iterated(result) if inspect.isasyncgen(result) else self._run(result)

        return called

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine, context=copy_context())

    def _iterated(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(items)

        while True:
            try:
                item = self._run(following())
            except StopAsyncIteration:
                return
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._driven.aclose())
        self._runner.close()
