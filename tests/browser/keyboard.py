"""Moving through the page as a person without a mouse does."""

from __future__ import annotations

from playwright.sync_api import Page

MOST_TABS = 160


def tab_to(page: Page, selector: str, backwards: bool = False) -> None:
    """Press Tab until an element that matches has the focus; fails when it is not reached.

    What is computed after the answer is inert until then, so the walk begins once the element can take the focus.
    """
    page.locator(selector).and_(page.locator(":not([inert] *)")).first.wait_for(state="attached")
    for _ in range(MOST_TABS):
        if page.evaluate("(s) => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"{selector} is not reached with Tab")


def leave(page: Page) -> None:
    """Take the focus out of every field, as a click on the page's margin would."""
    page.evaluate("() => document.activeElement?.blur()")
