"""What a command says at its end: its result, or what went wrong, in a sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from birdfast.errors import BirdfastError

INTERRUPTED = 130  # as shells report a process that Ctrl-C ended
NAMES = {
    "accuracy": "accuracy", "top5": "top-5 accuracy", "roc_auc": "macro ROC-AUC", "cmap": "cmAP",
    "padded_cmap": "padded cmAP", "macro_f1": "macro F1",
}  # fmt: skip
REMARKS = {"padded_cmap": "near 1 by chance where positives are few: read it beside macro ROC-AUC"}


class Commands(TyperGroup):
    """The `verbs`, whose mistakes are told in a sentence, without a traceback unless it is asked for."""

    verbs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Verbs(self.verbs)

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, as the help orders them; none is imported for it."""
        return list(self.verbs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error for the user becomes exit status 1, Ctrl-C becomes 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            text = sentence(error)
            if text is None or ctx.params.get("debug") or os.environ.get("BIRDFAST_DEBUG", "0") not in ("", "0"):
                raise
            _say(text)
            raise typer.Exit(1) from None


class _Verbs(MutableMapping[str, Any]):
    """A verb's command by its name: `command` of ``birdfast/commands/<verb>.py``, imported when it is asked for."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.found: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Any:
        if self.found[name] is None:
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
            app.command(name)(import_module(f"birdfast.commands.{name}").command)
            self.found[name] = typer.main.get_command(app)
        return self.found[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.found[name] = command

    def __delitem__(self, name: str) -> None:
        del self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


@contextmanager
def stopped(said: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C ends the command with what is `said` of how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nbirdfast: stopped{said()}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _say(text: str) -> None:
    typer.echo(f"birdfast: {text}", err=True)


def sentence(error: Exception) -> str | None:
    """What to tell the user; None for what is a fault of birdfast's own, which keeps its traceback."""
    if isinstance(error, BirdfastError):
        return _bare(str(error))
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # of a pipe typer itself takes care
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if type(error).__name__ == "OutOfMemoryError":
        smaller = "a smaller --batch-size, or --set batch_size=N where there is none"
        return f"the GPU's memory is full: give {smaller}, and see what else runs there (nvidia-smi)"
    return None


def _bare(message: str) -> str:
    """Without what fastai puts before the message of a callback's error, and PyTorch around that of a worker's."""
    if "Original Traceback" in message:
        message = message.strip().splitlines()[-1].partition(": ")[2] or message
    return re.sub(r"^Exception occured in `\w+` when calling event `\w+`:\s*", "", message)


def score_lines(scores: Mapping[str, float]) -> str:
    """Metrics as a person reads them, a line each."""
    return "\n".join(f"  {NAMES.get(name, name):<15} {value:.4f}{_remark(name)}" for name, value in scores.items())


def _remark(name: str) -> str:
    return f"  ({REMARKS[name]})" if name in REMARKS else ""


def exported_line(summary: Mapping[str, Any]) -> str:
    """Whose weights a run exported, and which epoch was best, as summary.json counts them."""
    best = summary["best_epoch"]
    text = f"exported: the {summary['exported']} epoch, {summary['exported_epoch']} of {summary['epochs']}"
    if best is None or best == summary["exported_epoch"]:
        return text
    return f"{text}; the best by validation ROC-AUC was {best}"


def listing(folder: Path) -> str:
    """The names of what lies in a folder, in one line."""
    return "  " + ", ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
