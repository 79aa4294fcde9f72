"""A lineage as one HTML page that needs nothing else: no network, no script, light and dark, wide and narrow."""

from __future__ import annotations

from html import escape

from touchline.catalog.lineage import Node

_KINDS = {
    "version": "registered version",
    "model": "model of a Run",
    "run": "Run",
    "checkpoint": "checkpoint",
    "study": "study",
}
_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --text: #1c2330; --quiet: #5a6577; --line: #b9c2cf;
  --version: #1b7f4b; --model: #7b4bb3; --run: #1f6fb2; --checkpoint: #94680f; --study: #a8456f; --trouble: #c62828; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1c222b; --text: #e6eaf0; --quiet: #9aa6b6;
  --line: #45505f; --version: #4fc487; --model: #b795e6; --run: #6db3ee; --checkpoint: #dcb04f; --study: #e68bb1;
  --trouble: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--ground); color: var(--text);
  font: 16px/1.45 system-ui, "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC", "Noto Sans TC", sans-serif; }
h1 { margin: 0.2rem 0; font-size: 1.3rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; color: var(--quiet); }
ul { margin: 0; padding: 0 0 0 clamp(0.6rem, 3vw, 1.5rem); list-style: none; }
body > ul { padding: 0; }
li { position: relative; }
ul ul > li { padding: 0.7rem 0 0; }
ul ul > li::before { content: ""; position: absolute; left: calc(-1 * clamp(0.3rem, 1.5vw, 0.75rem)); top: 0;
  bottom: 0; border-left: 2px solid var(--line); }
ul ul > li:last-child::before { bottom: auto; height: 1.9rem; }
ul ul > li::after { content: ""; position: absolute; left: calc(-1 * clamp(0.3rem, 1.5vw, 0.75rem)); top: 1.9rem;
  width: clamp(0.3rem, 1.5vw, 0.75rem); border-top: 2px solid var(--line); }
article { padding: 0.5rem 0.8rem; border-left: 4px solid var(--kind); border-radius: 6px; background: var(--card);
  box-shadow: 0 1px 3px rgb(0 0 0 / 18%); overflow-wrap: anywhere; }
.version { --kind: var(--version); } .model { --kind: var(--model); } .run { --kind: var(--run); }
.checkpoint { --kind: var(--checkpoint); } .study { --kind: var(--study); }
article.troubled { outline: 2px dashed var(--trouble); }
small { color: var(--kind); font-weight: 600; }
b { display: block; }
article div { color: var(--quiet); font-size: 0.88rem; }
article .trouble { color: var(--trouble); font-weight: 600; }
"""


def page(node: Node) -> str:
    """Return the page of the model ``node``; what it was made from stands below it, indented."""
    title = f"Where {node.title} comes from"
    troubled = sum(bool(one.trouble) for one in node.walk())
    said = f" {troubled} of these parts {'is' if troubled == 1 else 'are'} not as recorded." if troubled else ""
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f"<p>Each part is made from what is indented below it.{said}</p>\n<ul>{_item(node)}</ul>\n</body></html>\n"
    )


def _item(node: Node) -> str:
    facts = "".join(f"<div>{escape(fact)}</div>" for fact in node.facts)
    trouble = f'<div class="trouble">{escape(node.trouble)}</div>' if node.trouble else ""
    parents = f"\n<ul>{''.join(_item(parent) for parent in node.parents)}</ul>" if node.parents else ""
    return (
        f'<li><article class="{node.kind}{" troubled" if node.trouble else ""}"><small>{_KINDS[node.kind]}</small>'
        f"<b>{escape(node.title)}</b>{facts}{trouble}</article>{parents}</li>\n"
    )
