"""Decisions on a registered model, told to people in one sentence, the same on every track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DECISIONS = ("promoted", "refused", "rolled back")
"""What can be decided of a version; the last two are worth a second look."""


def title_of_decision(payload: Mapping[str, Any]) -> str:
    """What was decided, of which version: ``booster_soccer.rl_models.ddpg_finetuned version 4 promoted …``."""
    name, version = payload["model"], payload["version"]
    alias, previous = payload["alias"], payload.get("previous")
    told = {
        "promoted": f"{name} version {version} promoted to @{alias}",
        "refused": f"{name} version {version} refused as @{alias}",
        "rolled back": f"{name} rolled back to version {version} as @{alias}",
    }[payload["decision"]]
    beside = "which stays version" if payload["decision"] == "refused" else "version before:"
    provisional = ", provisionally" if payload.get("provisional") else ""
    return f"{told}{provisional}" + (f" ({beside} {previous})" if previous is not None else "")


def headline_of_decision(payload: Mapping[str, Any]) -> str:
    """The title and the reason in one line."""
    reason = " ".join(str(payload.get("reason") or "").split())
    return f"{title_of_decision(payload)}: {reason}" if reason else title_of_decision(payload)


def level_of_decision(payload: Mapping[str, Any]) -> str:
    """Level of the alert that tells of it."""
    return "info" if payload["decision"] == "promoted" else "warn"
