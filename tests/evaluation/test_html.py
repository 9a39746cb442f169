"""Nothing that a file or a class is called can become markup, and the page needs nothing beside it."""

from html.parser import HTMLParser

import pandas as pd

from birdfast.evaluation import html

EVIL = '"><script>alert(1)</script><img src=x onerror=y>&amp;'


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_every_text_is_escaped():
    table = pd.DataFrame({EVIL: [EVIL, 0.5], "n": [1234, 2]}, index=pd.Index([EVIL, "b"], name=EVIL))
    parts = [
        html.text(EVIL, kind=EVIL),
        html.tiles({EVIL: EVIL}),
        html.table(table, bars=[EVIL]),
        html.picture(b"x", form="png", caption=EVIL),
        html.cards([html.card([EVIL, EVIL], image=b"y", sound=b"z")]),
    ]
    parsed = Tags(html.page(EVIL, parts))
    assert not {"script"} & {tag for tag, _ in parsed.tags}
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    sources = [attrs["src"] for _, attrs in parsed.tags if "src" in attrs]
    assert len(sources) == 3 and all(source.startswith("data:") for source in sources)
    assert not any("href" in attrs for _, attrs in parsed.tags)
    assert sum(EVIL in text for text in parsed.texts) >= 7
    assert "1,234" in parsed.texts


def test_numbers_bars_and_what_is_undefined():
    table = html.table(pd.DataFrame({"ap": [0.25, float("nan"), 1.5]}, index=pd.Index(["a", "b", "c"])), bars=["ap"])
    assert '--part:25%">0.250' in table and "<td>–</td>" in table and '--part:100%">1.500' in table


def test_a_dollar_is_a_dollar():
    assert "cost $body" in html.page("t", [html.text("cost $body")])
