"""HTML of a document: one self-contained page, for the screen, a screen reader and the printer."""

from __future__ import annotations

from typing import Final

from jinja2 import Environment, StrictUndefined

from ruxa.ledger.documents.printed import Page

_STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #16181d; background: #fff; margin: 0 auto; padding: 2rem;
  max-width: 50rem; }
h1 { font-size: 1.75rem; margin: 0 0 .25rem; }
h2 { font-size: 1rem; margin: 0 0 .25rem; }
.number { font-variant-numeric: tabular-nums; margin: 0 0 1.5rem; }
.warning { border: 2px solid #8a4b00; padding: .5rem .75rem; font-weight: 600; }
.sides { display: flex; flex-wrap: wrap; gap: 2rem; margin: 1.5rem 0; }
.sides > section { flex: 1 1 16rem; overflow-wrap: anywhere; }
.sides p { margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: 1.5rem 0; }
dt { color: #4a4f59; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; }
th, td { text-align: start; padding: .5rem .25rem; border-bottom: 1px solid #c9ccd3; overflow-wrap: anywhere; }
.n { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
tfoot td, tfoot th { border-bottom: 0; font-weight: 400; }
.strong, .strong th, .strong td { font-weight: 700; }
.notes { color: #4a4f59; font-size: .875rem; }
@media print { body { padding: 0; max-width: none; font-size: 11pt; } tr { break-inside: avoid; }
  thead { display: table-header-group; } @page { margin: 20mm; } }
"""
_TEMPLATE: Final = """<!doctype html>
<html lang="{{ page.language }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ page.title }} {{ page.number }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
<p class="number">{{ page.number }}</p>
{% if page.warning %}<p class="warning">{{ page.warning }}</p>{% endif %}
{% if page.seller or page.party %}<div class="sides">
{% for title, side in ((page.seller_title, page.seller), (page.party_title, page.party)) if side %}<section>
<h2>{{ title }}</h2>
{% for line in side %}<p dir="auto">{{ line }}</p>
{% endfor %}</section>
{% endfor %}</div>{% endif %}
<dl>
{% for name, value in page.facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
<table>
<thead><tr><th scope="col">{{ page.columns[0] }}</th><th scope="col" class="n">{{ page.columns[1] }}</th>\
<th scope="col" class="n">{{ page.columns[2] }}</th></tr></thead>
<tbody>
{% for row in page.rows %}<tr{% if row.strong %} class="strong"{% endif %}><td>{{ row.text }}</td>\
<td class="n">{{ row.quantity }}</td><td class="n">{{ row.amount }}</td></tr>
{% endfor %}</tbody>
{% if page.totals %}<tfoot>
{% for row in page.totals %}<tr{% if row.strong %} class="strong"{% endif %}><th scope="row" colspan="2">{{ row.text }}\
</th><td class="n">{{ row.amount }}</td></tr>
{% endfor %}</tfoot>{% endif %}
</table>
<div class="notes">
{% for note in page.notes %}<p>{{ note }}</p>
{% endfor %}</div>
</main>
</body>
</html>
"""
# Everything that is put in is text: it is escaped, whatever it looks like.
_PAGE: Final = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE)


def html(page: Page) -> str:
    """The page as a file of its own: nothing in it is fetched from anywhere."""
    return _PAGE.render(page=page, style=_STYLE)
