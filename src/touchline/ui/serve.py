"""``touchline ui``: the page and the servers beside it, open until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from touchline.config import Settings
from touchline.filesystem import make_private
from touchline.ui.door import Door
from touchline.ui.servers import Servers, absent, taken_from, viewers
from touchline.ui.site import Site


def serve(
    settings: Settings, first_port: int | None, *, alone: bool = False, tell: Callable[[str], None] = print
) -> None:
    """Open the page, tell its address, and hold it open until Ctrl-C or SIGTERM.

    ``alone``: without MLflow, TensorBoard and the Optuna dashboard, which are started beside it otherwise. With
    ``first_port`` the page is on that port and they are on the following ones, else on free ones. Raises
    TouchlineError when a port is taken.
    """
    chosen = () if alone else viewers(settings)
    if first_port is not None:
        ports = taken_from(first_port, 1 + len(chosen))
        chosen = () if alone else viewers(settings, ports[1:])
    settings.ensure_home()
    make_private(settings.runs)
    servers = Servers(settings, chosen, () if alone else absent(settings))
    door = Door(Site(settings, servers.states), first_port or 0)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        tell(f"The runs of {settings.home}, live, for whoever has this address:\n  {door.url}")
        servers.start()
        if chosen:
            tell(f"{', '.join(viewer.name for viewer in chosen)}: starting; the page leads there.")
        tell("Ctrl-C closes everything.")
        threading.Event().wait()
    except KeyboardInterrupt:
        tell("Closed.")
    finally:
        door.shutdown()
        door.server_close()
        servers.close()
        signal.signal(signal.SIGTERM, before)
