"""A home of its own for each test, without the accounts of the person who runs them or the secrets of other tests."""

import pytest

from tests.tracking.conftest import home, no_account
from touchline import redaction

__all__ = ["home", "no_account"]


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process remembers each secret that it has met; one test's are none of another's."""
    monkeypatch.setattr(redaction, "_known", redaction.Known())
    monkeypatch.setattr(redaction, "_told", set())
