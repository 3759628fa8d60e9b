"""The five things that people come for, each by keyboard alone."""

from __future__ import annotations

import re

import pytest
from harness import OpenContext, Site, wait_live
from keyboard import leave, tab_to
from playwright.sync_api import Page, expect


@pytest.fixture
def calculator(open_context: OpenContext, site: Site) -> Page:
    page = open_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(site.url)
    wait_live(page)
    return page


def choose(page: Page, words: str) -> None:
    """Type into the focused search field and take the first suggestion."""
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(words)
    page.locator('[role="listbox"]:visible [role="option"]').first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_live(page)


def test_does_this_model_fit_on_my_card(calculator: Page) -> None:
    calculator.keyboard.press("/")
    choose(calculator, "mistral 7b")
    tab_to(calculator, '[name="device"]')
    choose(calculator, "rtx 3090")
    expect(calculator.locator("#verdict")).to_contain_text(re.compile(r"(Fits|Tight|Too large).*RTX 3090"))
    assert "Mistral-7B" in calculator.locator('[name="model"]').input_value()


def test_the_longest_context_on_it(calculator: Page) -> None:
    button = '#limits button[data-change*="sequence_length"]'
    calculator.locator(button).wait_for()
    tab_to(calculator, button)
    longest = re.sub(r"\D", "", calculator.locator(button).inner_text())
    calculator.keyboard.press("Enter")
    expect(calculator.locator('[name="sequence_length"]')).to_have_value(longest)
    wait_live(calculator)
    expect(calculator.locator("#verdict")).not_to_contain_text("Too large")
    expect(calculator).to_have_url(re.compile(rf"sequence_length={longest}"))
    expect(calculator.locator("#limits:not([inert])")).to_be_visible()
    if calculator.locator(button).count():
        expect(calculator.locator(button)).to_be_focused()


def test_why_is_the_cache_this_big(calculator: Page) -> None:
    group = '#breakdown [data-group="cache"]'
    if calculator.locator(f"{group} .more").count():
        tab_to(calculator, f"{group} .more")
        calculator.keyboard.press("Enter")
        calculator.locator(f"{group} details.math").first.wait_for()
    tab_to(calculator, f"{group} details.math summary")
    calculator.keyboard.press("Enter")
    steps = calculator.locator(f"{group} details.math[open] .steps").first
    expect(steps).to_contain_text("KV heads")
    expect(steps).to_contain_text("bytes")
    tab_to(calculator, f"{group} button.symbol")
    calculator.keyboard.press("Enter")
    expect(steps.locator(".symbol-note")).not_to_be_empty()


def test_send_this_to_a_colleague(calculator: Page) -> None:
    calculator.locator('[name="batch_size"]').focus()
    calculator.keyboard.press("ControlOrMeta+a")
    calculator.keyboard.type("4")
    wait_live(calculator)
    leave(calculator)
    calculator.keyboard.press("s")
    tab_to(calculator, '[data-copy="share-link"]')
    calculator.keyboard.press("Enter")
    expect(calculator.locator("#announce")).to_have_text("Link copied.")
    link = calculator.evaluate("() => navigator.clipboard.readText()")
    assert "batch_size=4" in link
    calculator.keyboard.press("Escape")
    expect(calculator.locator("#share")).to_be_hidden()
    expect(calculator.locator("#share-open")).to_be_focused()


def test_compare_two_cards(calculator: Page) -> None:
    calculator.keyboard.press("c")
    expect(calculator.locator("#comparison")).to_be_visible()
    tab_to(calculator, '[name="device"]')
    choose(calculator, "rtx 4090")
    table = calculator.locator("#comparison table")
    expect(table.locator("thead th[scope=col]")).to_have_count(2)
    expect(table.locator(".differs")).to_contain_text("rtx-4090")
    expect(table.locator(".differs")).to_have_count(1)


def test_shortcuts_can_be_switched_off(calculator: Page) -> None:
    calculator.keyboard.press("?")
    expect(calculator.locator("#keys")).to_be_visible()
    calculator.keyboard.press("Space")
    calculator.keyboard.press("Escape")
    leave(calculator)
    calculator.keyboard.press("s")
    expect(calculator.locator("#share")).to_be_hidden()


def test_arrow_keys_step_tokens_by_powers_of_two(calculator: Page) -> None:
    tab_to(calculator, '[name="sequence_length"]')
    calculator.keyboard.press("ArrowUp")
    expect(calculator.locator('[name="sequence_length"]')).to_have_value("8192")
    calculator.keyboard.press("ArrowDown")
    expect(calculator.locator('[name="sequence_length"]')).to_have_value("4096")
