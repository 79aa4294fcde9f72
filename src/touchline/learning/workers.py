"""Spawned processes that step environments: how they start, serve and end.

This module imports nothing heavy: a worker loads what its environments need after its thread limits are set.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from touchline.errors import TouchlineError

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Set to 1 in workers: each has one core, and small matrices gain nothing from more threads."""
_FOR_THE_PARENT = frozenset((signal.SIGINT, signal.SIGTERM))
"""Signals that reach the whole process group when a person or a machine's owner stops a job."""
_GRACE_SECONDS = 5.0


def packed(thing: Any) -> bytes:
    """Return ``thing`` pickled for a worker; TouchlineError with the remedy when that cannot be."""
    try:
        return pickle.dumps(thing)
    except Exception as error:
        raise TouchlineError(
            f"{thing!r} cannot be sent to another process: {error}. Use a function or class at the top "
            "level of a module that holds NumPy arrays, or processes=1."
        ) from error


def prepare_worker() -> None:
    """Runs first in every worker, before NumPy reads the thread limits."""
    for variable in _THREAD_LIMITS:
        os.environ.setdefault(variable, "1")
    if "torch" in sys.modules:  # the parent's main module has imported it, too soon for the variables
        sys.modules["torch"].set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    for duty in (_follow_parent, _obey_parent):
        threading.Thread(target=duty, daemon=True).start()


@contextlib.contextmanager
def leaving_signals_to_the_parent() -> Iterator[None]:
    """Start workers in this context: they are deaf to signals of the whole process group from their first moment.

    Until ``prepare_worker`` runs, a second after the start, SIGTERM would kill them, and their parent would take
    for a failure what was a request to stop. A mask is inherited, by the threads of their libraries too.
    """
    resource_tracker.ensure_running()  # its own start, with the first worker's, would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """A killed parent cannot stop its workers, and they would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _obey_parent() -> None:
    """End at the parent's own SIGTERM, as ``multiprocessing`` ends processes; anybody else's is for the parent."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(128 + signal.SIGTERM)


class Worker:
    """One process that makes an object and calls its methods when asked; several work at the same time."""

    def __init__(self, make: bytes) -> None:
        """``make`` is the ``packed`` function that makes the object, in the process."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, make), daemon=True)
        with leaving_signals_to_the_parent():
            self._process.start()
        theirs.close()  # or its death would not be seen here

    def ask(self, method: str, *arguments: Any, **named: Any) -> None:
        """Begin a call; its ``answer`` must be taken before the next. TouchlineError when the process is gone."""
        try:
            self._connection.send((method, arguments, named))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error

    def answer(self) -> Any:
        """Wait for the call to end and return its result, or raise what it raised.

        Raises TouchlineError when the call failed otherwise, with the worker's traceback, or the process is gone.
        """
        try:
            failure, result = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._gone() from error
        if failure is None:
            return result
        if isinstance(result, TouchlineError):
            raise result
        raise TouchlineError(f"An environment failed in its process:\n{failure}")

    def close(self) -> None:
        """End the process: it ends by itself when nobody listens any more, else it is killed."""
        self._connection.close()
        self._process.join(_GRACE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _gone(self) -> TouchlineError:
        self._process.join(_GRACE_SECONDS)
        return TouchlineError(
            f"A process that steps environments died (exit code {self._process.exitcode}). If memory ran out, use "
            "fewer processes or environments; processes=1 runs in this one and shows the cause. A script that starts "
            "them must do so under: if __name__ == '__main__':"
        )


def _serve(connection: Connection, make: bytes) -> None:
    prepare_worker()
    served: Any = None
    try:
        while True:
            method, arguments, named = connection.recv()
            try:
                if served is None:
                    served = pickle.loads(make)()
                attribute = getattr(served, method)
                connection.send((None, attribute(*arguments, **named) if callable(attribute) else attribute))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                told = error if isinstance(error, TouchlineError) else None
                connection.send((traceback.format_exc(), told))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        if served is not None:
            served.close()
