"""Sphinx extension: `extensions = ["gauge.embed.sphinx"]` and the directive `compute-gauge`.

    .. compute-gauge::

       model=meta-llama/Llama-3.1-8B
       task=training
       size=compact

`compute_gauge_site` in conf.py says where the calculator lives: an address, or a folder below the documentation root
(a self-hosted copy, named relative to it); a released package knows its own. HTML gets the live element around a static
table; other builders the table.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from gauge import __version__
from gauge.embed import markup

log = logging.getLogger(__name__)


class gauge_embed(nodes.General, nodes.Element):
    """One embed; `fields` are the author's, the static table is its child."""


class ComputeGauge(Directive):
    """Reads fields, asks the package, and keeps both; a question without an answer is an error at its own line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            fields = markup.read("\n".join(self.content))
            found = markup.answer(fields)
        except markup.EmbedError as problem:
            raise self.error(str(problem)) from problem
        made = gauge_embed(fields=fields)
        made += static_table(found)
        return [made]


def static_table(found: dict[str, Any]) -> nodes.table:
    """The answer's rows as a docutils table."""
    table = nodes.table()
    table += nodes.title(text=markup.caption(found))
    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=48), nodes.colspec(colwidth=16)]
    body = nodes.tbody()
    for words in markup.rows(found):
        row = nodes.row()
        for word in words:
            entry = nodes.entry()
            entry += nodes.paragraph(text=word)
            row += entry
        body += row
    group += body
    table += group
    return table


def visit_html(writer: Any, node: gauge_embed) -> None:
    writer.body.append(writer.starttag(node, "compute-gauge", "", **node["fields"]))


def depart_html(writer: Any, node: gauge_embed) -> None:
    writer.body.append("</compute-gauge>\n")


def pass_by(writer: Any, node: gauge_embed) -> None:
    """Other builders show the table that the node holds."""


def add_script(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The script tag, only on pages that hold an embed."""
    if doctree is None or not any(doctree.findall(gauge_embed)):
        return
    site = str(app.config.compute_gauge_site)
    if not site:
        log.warning(markup.UNKNOWN, location=pagename)
        return
    if "://" not in site:
        site = relative_uri(app.builder.get_target_uri(pagename), site.strip("/") + "/").rstrip("/") or "."
    context["body"] += markup.script(site)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("compute_gauge_site", markup.home(), "html")
    ignored = (pass_by, pass_by)
    app.add_node(gauge_embed, html=(visit_html, depart_html), latex=ignored, text=ignored, man=ignored, texinfo=ignored)
    app.add_directive("compute-gauge", ComputeGauge)
    app.connect("html-page-context", add_script)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}
