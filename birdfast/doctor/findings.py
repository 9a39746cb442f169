"""What an examination found: a status, a sentence and a remedy for each check."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    check: str
    status: Status
    message: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)  # for machines


@dataclass(frozen=True)
class Report:
    """All that was found about a source or a run."""

    kind: Literal["source", "run"]
    subject: str
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """True unless a check failed; warnings pass."""
        return all(finding.status != "fail" for finding in self.findings)

    def __getitem__(self, check: str) -> Finding:
        """The finding of one check."""
        return next(finding for finding in self.findings if finding.check == check)

    def __contains__(self, check: object) -> bool:
        return any(finding.check == check for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN, no numpy."""
        findings = [_plain(asdict(finding)) for finding in self.findings]
        return {"kind": self.kind, "subject": self.subject, "ok": self.ok, "findings": findings}

    def text(self) -> str:
        """As a person reads it: a line a check, the remedy below."""
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.status:<4}  {finding.check:<{width}}  {finding.message}")
            if finding.remedy:
                lines.append(f"{'':<4}  {'':<{width}}  -> {finding.remedy}")
        return "\n".join([*lines, "", self.verdict()])

    def verdict(self) -> str:
        """The whole in one line."""
        failed = [finding.check for finding in self.findings if finding.status == "fail"]
        warned = [finding.check for finding in self.findings if finding.status == "warn"]
        if failed:
            return f"{self.subject}: {_count(failed, 'check')} failed ({', '.join(failed)})"
        if warned:
            return f"{self.subject}: passed, with {_count(warned, 'warning')} ({', '.join(warned)})"
        return f"{self.subject}: passed"


def first_few(names: Iterable[Any], n: int = 3) -> str:
    """The first `n` of the names, and how many more there are."""
    names = [str(name) for name in names]
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _count(things: list[str], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
