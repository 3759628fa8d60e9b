"""The promise of the built page: an answer at first paint, live answers, links that carry state, honest errors."""

from __future__ import annotations

import re
from pathlib import Path

from harness import Site, allocated_on_the_page, serve, wait_live
from playwright.sync_api import Page, expect


def answer_state(page: Page) -> str | None:
    return page.locator("#answer").get_attribute("data-state")


def allocated(page: Page) -> int:
    return int(page.locator("#answer").get_attribute("data-allocated") or 0)


def test_first_paint_has_the_default_answer_without_python(page: Page, site: Site) -> None:
    page.route(re.compile(r"/worker\.js"), lambda route: route.abort())
    page.goto(site.url)
    assert answer_state(page) in {"prerendered", "waiting", "error"}
    assert allocated(page) == allocated_on_the_page()


def test_first_paint_without_javascript(open_context, site: Site) -> None:
    page = open_context(java_script_enabled=False).new_page()
    page.goto(site.url)
    assert answer_state(page) == "prerendered"
    assert allocated(page) > 0
    expect(page.locator("#answer")).to_contain_text("GiB")


def test_python_gives_the_prerendered_answer(live: Page) -> None:
    assert allocated(live) == allocated_on_the_page()


def test_typing_changes_the_answer(live: Page) -> None:
    before = allocated(live)
    live.locator('[name="batch_size"]').fill("8")
    expect(live.locator("#answer")).not_to_have_attribute("data-allocated", str(before))
    wait_live(live)
    assert allocated(live) == allocated_on_the_page(batch_size="8")


def test_link_round_trip(live: Page, site: Site) -> None:
    live.locator('[name="sequence_length"]').fill("16k")
    live.locator('[name="batch_size"]').fill("4")
    expected = allocated_on_the_page(batch_size="4", sequence_length="16k")
    expect(live.locator("#answer")).to_have_attribute("data-allocated", str(expected))
    expect(live).to_have_url(re.compile(r"#.*batch_size=4"))
    link = live.url
    other = live.context.new_page()
    other.goto(link)
    wait_live(other)
    expect(other.locator("#answer")).to_have_attribute("data-allocated", str(expected))
    expect(other.locator('[name="batch_size"]')).to_have_value("4")


def test_bad_input_shows_an_error_beside_its_field_and_keeps_the_answer(live: Page) -> None:
    before = allocated(live)
    live.locator('[name="batch_size"]').fill("minus two")
    expect(live.locator("#answer")).to_have_attribute("data-state", "error")
    assert allocated(live) == before
    field = live.locator('[name="batch_size"]')
    expect(field).to_have_attribute("aria-invalid", "true")
    live.locator('[name="batch_size"]').fill("1")
    wait_live(live)
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_edits_made_before_python_is_ready_are_answered(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.locator('[name="batch_size"]').fill("3")
    wait_live(page)
    expected = allocated_on_the_page(batch_size="3")
    expect(page.locator("#answer")).to_have_attribute("data-allocated", str(expected))


def test_under_a_sub_path(open_context, dist: Path) -> None:
    site = serve(dist, "--prefix", "/some/where/")
    try:
        page = open_context(site.url).new_page()
        page.goto(site.url)
        wait_live(page)
    finally:
        site.stop()
