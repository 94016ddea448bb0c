"""A future whose waiter is resumed at once, where the waiter is not a task.

A task wakes through another turn of the loop after its future is done. At ten thousand probes a
second these turns count; whoever drives a coroutine by hand (see `monitors.web`) goes without.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class PromptFuture(asyncio.Future[T]):
    """A future that tasks may await as any other; `resume` is called the moment it is done."""

    resume: Callable[[Any], None] | None = None

    def finish(self, result: T) -> None:
        """Set the result, unless nobody waits any longer, and resume who asked for it."""
        if not self.done():
            self.set_result(result)
            if self.resume is not None:
                self.resume(self)
