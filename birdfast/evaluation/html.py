"""One HTML page that needs nothing beside it: tables, pictures and sounds inside, every text escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import pandas as pd

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>
:root { color-scheme: light; --ink: #1d2733; --soft: #617082; --line: #dfe5eb; --mark: #0b6e4f; --wash: #f5f8fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; } .soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.2rem 0; }
.tile { padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--wash); }
.tile b { display: block; font-size: 1.5rem; color: var(--mark); font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; max-height: 34rem; overflow-y: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } thead th { position: sticky; top: 0; background: var(--wash); }
tbody tr:last-child td { border-bottom: 0; }
td.bar { background: linear-gradient(90deg, #cfe9df var(--part), transparent var(--part)) no-repeat; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; background: #fff; }
.card img { display: block; width: 100%; } .card div { padding: .6rem .9rem .9rem; } .card audio { width: 100%; height: 2.2rem; }
.card p { margin: .1rem 0; overflow-wrap: anywhere; } figure { margin: 1rem 0; } figure img { max-width: 100%; }
</style></head><body>
$body
</body></html>
""")


def page(title: str, parts: Iterable[str]) -> str:
    """The page; `title` is text, `parts` are HTML made by the functions below."""
    return _PAGE.substitute(title=escape(title), body="\n".join(parts))


def text(words: object, *, tag: str = "p", kind: str = "") -> str:
    """Words in a tag, escaped."""
    kind = f' class="{escape(kind)}"' if kind else ""
    return f"<{tag}{kind}>{escape(str(words))}</{tag}>"


def tiles(figures: Mapping[str, str]) -> str:
    """A few figures, large, each under its name."""
    cells = (f'<div class="tile"><b>{escape(value)}</b>{escape(name)}</div>' for name, value in figures.items())
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(rows: pd.DataFrame, *, bars: Sequence[str] = ()) -> str:
    """A table with its index as first column; numbers of the columns in `bars`, 0 to 1, are drawn as bars, too."""
    names = [rows.index.name or "", *rows.columns]
    head = "".join(f"<th>{escape(str(name).replace('_', ' '))}</th>" for name in names)
    lines = []
    for label, *values in rows.itertuples(name=None):
        cells = [_cell(value, name in bars) for name, value in zip(rows.columns, values, strict=True)]
        lines.append(f"<tr><td>{escape(str(label))}</td>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _cell(value: Any, bar: bool) -> str:
    if isinstance(value, float):
        if value != value:
            return "<td>–</td>"
        part = f' class="bar" style="--part:{100 * min(max(value, 0), 1):.0f}%"' if bar else ""
        return f"<td{part}>{value:.3f}</td>"
    return f"<td>{escape(f'{value:,}' if isinstance(value, int) else str(value))}</td>"


def picture(content: bytes, *, form: str, caption: str) -> str:
    """An image, "png" or "jpeg", with its caption."""
    words, source = escape(caption), _inside(content, f"image/{form}")
    return f'<figure><img alt="{words}" src="{source}"><figcaption>{words}</figcaption></figure>'


def card(
    lines: Sequence[str], *, image: bytes | None = None, sound: bytes | None = None, sound_form: str = "mpeg"
) -> str:
    """A spectrogram (jpeg), what to know about it, the first line in bold, and a player."""
    head = f'<img alt="spectrogram" src="{_inside(image, "image/jpeg")}">' if image else ""
    words = "".join(
        text(line, tag="b" if i == 0 else "p", kind="" if i == 0 else "soft") for i, line in enumerate(lines)
    )
    player = f'<audio controls preload="none" src="{_inside(sound, f"audio/{sound_form}")}"></audio>' if sound else ""
    return f'<div class="card">{head}<div>{words}{player}</div></div>'


def cards(several: Iterable[str]) -> str:
    """Cards side by side."""
    return f'<div class="cards">{"".join(several)}</div>'


def _inside(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
