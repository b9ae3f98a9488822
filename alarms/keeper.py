"""Storing alarms for many requests at once: one thread, one transaction for all that wait, one fsync."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from stackmend.alarms.ledger import Ledger
from stackmend.errors import StackmendError, StoreError

Rows = Sequence[Mapping[str, Any]]
# A transaction of more holds the others up.
_MOST_AT_ONCE = 256
# Seconds for which requests gather: a transaction for each few of them costs more than they do.
_GATHER = 0.008
# Requests that may wait before the next one is sent away.
_LONGEST_QUEUE = 5000
_Waiting = tuple[Rows, "Future[bool]"]


class Keeper:
    """``keep`` hands alarms in; ``stored`` is called whenever some are on disk."""

    def __init__(self, ledger: Ledger, stored: Callable[[], None]) -> None:
        self._ledger, self._stored = ledger, stored
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="stackmend-keeper", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread.is_alive()

    def keep(self, rows: Rows) -> "Future[bool]":
        """Done when the rows are on disk: true, or false where all of them had been there before; StoreError."""
        done: Future[bool] = Future()
        if self._queue.qsize() >= _LONGEST_QUEUE:
            done.set_exception(StoreError(f"{_LONGEST_QUEUE} requests wait for the run store already: try again"))
        else:
            self._queue.put((rows, done))
        return done

    def close(self) -> None:
        """Store what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            time.sleep(_GATHER)
            batch, ending = self._gathered(first)
            self._save(batch)
            if ending:
                return

    def _gathered(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        batch, size = [first], len(first[0])
        while size < _MOST_AT_ONCE:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
            size += len(following[0])
        return batch, False

    def _save(self, batch: list[_Waiting]) -> None:
        try:
            before = self._ledger.keep([row for rows, _ in batch for row in rows])
        except Exception as error:  # noqa: BLE001 - whatever it was, requests wait for this thread's word
            why = error if isinstance(error, StackmendError) else StoreError(f"nothing was stored: {error!r}")
            for _, done in batch:
                done.set_exception(why)
            return
        self._stored()
        for rows, done in batch:
            fresh = {row["uuid"] for row in rows} - before
            # Of the same delivery twice in one batch, the first is the one that was stored.
            before |= fresh
            done.set_result(bool(fresh) or not rows)
