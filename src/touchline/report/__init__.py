"""The report: one HTML page that tells what happened in a run or a pipeline, and needs nothing else.

``subject`` says which runs it is about, ``facts`` and ``curves`` read their journals, ``siblings`` the runs with
other seeds, ``gate``, ``ancestry`` and ``study`` what is known beyond them; ``page`` puts it together, with
``pictures`` for what is drawn here and ``charts`` for what Plotly draws in the browser;
``publish`` keeps it with its run.
"""

from touchline.report.page import Report, write_report
from touchline.report.publish import publish
from touchline.report.subject import Subject, find_subject

__all__ = ["Report", "Subject", "find_subject", "publish", "write_report"]
