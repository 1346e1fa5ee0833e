"""Why a training ends before its last step, and the exit code that says so."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class TrainingStopped(Exception):  # noqa: N818 (not every stop is an error)
    """A training that ended early; the message is one sentence for the user.

    `volhuman.main` prints it and exits with `exit_code`.
    """

    exit_code = 1


class Diverged(TrainingStopped):
    """A metric or the state is not finite; the last checkpoint is from before that."""

    exit_code = 3


class Terminated(TrainingStopped):
    """SIGTERM arrived, as from a scheduler that takes the machine back."""

    exit_code = 143


def what_is_kept(step: int) -> str:
    """Says which checkpoint there is, for a sentence; step 0 stands for none."""
    return f"the checkpoint of step {step} is kept" if step else "none was saved yet"


@contextlib.contextmanager
def notice_termination() -> Iterator[threading.Event]:
    """Notices SIGTERM instead of dying of it; gives the event that it sets.

    Python can change handlers in the main thread alone; in another one nothing is
    changed and the event never comes.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
