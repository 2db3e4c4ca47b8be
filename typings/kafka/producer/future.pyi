from collections.abc import Callable
from typing import NamedTuple, Self

from kafka import TopicPartition

class RecordMetadata(NamedTuple):
    topic: str
    partition: int
    topic_partition: TopicPartition
    offset: int
    timestamp: int

class FutureRecordMetadata:
    is_done: bool
    exception: Exception | None
    def failed(self) -> bool: ...
    def succeeded(self) -> bool: ...
    def add_callback(self, callback: Callable[[RecordMetadata], None]) -> Self: ...
    def add_errback(self, errback: Callable[[Exception], None]) -> Self: ...
    def get(self, timeout: float | None = ...) -> RecordMetadata: ...
