"""MkDocs plugin: `plugins: [compute-gauge]` and fenced blocks named `compute-gauge`.

    ```compute-gauge
    model=meta-llama/Llama-3.1-8B
    task=training
    size=compact
    ```

The option `site` says where the calculator lives: an address, or a folder below the documentation root (a self-hosted
copy); a released package knows its own. Pages get the live element around a static table, which print and readers
without scripts see.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, get_plugin_logger

from gauge.embed import markup

log = get_plugin_logger(__name__)
FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})[ \t]*compute-gauge[ \t]*\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)


class ComputeGaugeConfig(Config):
    """The plugin's options."""

    site = config_options.Type(str, default=markup.home())


class ComputeGaugePlugin(BasePlugin[ComputeGaugeConfig]):
    """Replaces fenced blocks before Markdown sees them."""

    def on_config(self, config: Any) -> None:
        if not self.config.site:
            log.warning(markup.UNKNOWN)

    def on_page_markdown(self, markdown: str, /, *, page: Any, config: Any, files: Any) -> str:
        """The page's Markdown with each block as HTML, and the script tag once."""
        found = 0

        def replaced(match: re.Match[str]) -> str:
            nonlocal found
            found += 1
            try:
                return f"<div>{markup.element(markup.read(match['body']))}</div>"  # a block that Markdown leaves alone
            except markup.EmbedError as problem:
                raise PluginError(f"{page.file.src_uri}: {problem}") from problem

        text = FENCE.sub(replaced, markdown)
        return text if not found or not self.config.site else f"{text}\n\n{markup.script(self.address(page))}\n"

    def address(self, page: Any) -> str:
        """Where the calculator lives, seen from a page."""
        site: str = self.config.site
        if "://" in site:
            return site
        depth: int = page.url.strip("/").count("/") + bool(page.url.strip("/")) if page.url.endswith("/") else page.url.count("/")
        return "../" * depth + site.strip("/") if depth else site.strip("/")
