"""What an imported run holds, counted in its own journal and files: the other side of the comparison."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from touchline.migration import source
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.media import kept

TAGS_OF_OURS = ("touchline.imported_from", "touchline.imported_run", "touchline.imported_path")
"""Where a run comes from: its track, its identity there, and the place that it was read from."""
_NAMED = {"params": source.PARAMS, "tags": source.TAGS, "summary": source.RESULTS}
_EACH = {"histogram": source.HISTOGRAMS, "table": source.TABLES, "alert": source.ALERTS}
_EACH |= {"input": source.INPUTS, "dataset": source.INPUTS}
_KEPT = {"image": source.IMAGES, "video": source.VIDEOS, "artifact": source.FILES}


def count(directory: Path) -> Counter[str]:
    """By kind, what the journal of the run in ``directory`` has; of files, those that are there.

    Raises TouchlineError when the journal cannot be read.
    """
    counts: Counter[str] = Counter({source.RUNS: 1})
    named: dict[str, set[str]] = {kind: set() for kind in _NAMED.values()}
    with JournalReader(directory / FILE_NAME) as journal:
        counts[source.VALUES] = journal.count_values()
        for event in journal.of_kind((*_NAMED, *_EACH, *_KEPT, "console")):
            if event.kind in _NAMED:
                named[_NAMED[event.kind]].update(event.payload)
            elif event.kind in _EACH:
                counts[_EACH[event.kind]] += 1
            elif event.kind == "console":
                counts[source.OUTPUT] += len(event.payload["text"])
            elif (path := kept(directory, event.payload["path"])).exists():
                counts[_KEPT[event.kind]] += 1
                if event.payload["name"] == source.OTHER_VALUES_FILE:
                    counts[source.OTHER_VALUES] += path.read_bytes().count(b"\n")
    for kind, names in named.items():
        counts[kind] = len(names.difference(TAGS_OF_OURS))
    return counts
