"""What a store answers to a user whom it does not know, or who lacks a right, is told with the remedy of its kind."""

from __future__ import annotations

import pytest

from touchline.tracking.mlflow_store import refused

SERVER, WORKSPACE, REGISTRY = "https://anna:b@mlflow.example", "databricks", "databricks-uc"


@pytest.mark.parametrize(
    ("uri", "said", "remedy"),
    [
        (SERVER, "API request failed with error code 401 != 200", "Set MLFLOW_TRACKING_USERNAME"),
        (SERVER, "API request failed with error code 403 != 200", "Let its administrator give EDIT"),
        (SERVER, "PERMISSION_DENIED: no", "Let its administrator give EDIT"),
        (WORKSPACE, "403: Invalid access token.", "set DATABRICKS_TOKEN"),
        (WORKSPACE, "401: Credential was not sent", "set DATABRICKS_TOKEN"),
        (REGISTRY, "UNAUTHENTICATED: The token has expired", "set DATABRICKS_TOKEN"),
        (REGISTRY, "PERMISSION_DENIED: User lacks MANAGE", "Let the owner grant it"),
        (REGISTRY, "403 Client Error: Forbidden for url", "Let the owner grant it"),
    ],
)
def test_a_refusal_is_told_with_the_remedy_of_its_store(uri: str, said: str, remedy: str) -> None:
    told = refused(uri, Exception(said))
    assert told is not None
    assert remedy in told
    assert "anna" not in told


@pytest.mark.parametrize("said", ["run a401f403 is unknown", "RESOURCE_DOES_NOT_EXIST: 403", "timed out after 401 s"])
@pytest.mark.parametrize("uri", [SERVER, WORKSPACE, REGISTRY])
def test_a_number_in_another_failure_is_no_refusal(uri: str, said: str) -> None:
    assert refused(uri, Exception(said)) is None
