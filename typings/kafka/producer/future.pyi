from typing import NamedTuple

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
    def get(self, timeout: float | None = ...) -> RecordMetadata: ...
