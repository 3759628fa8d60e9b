"""What the page does with an answer: figures that add up, undo, comparing, sharing, files, the hub, charts."""

from __future__ import annotations

import json
import re
import struct
from urllib.parse import parse_qs
from xml.etree import ElementTree

from harness import LIVE, OpenContext, Site, follow, wait_live
from playwright.sync_api import Page, Route, expect

from gauge import api

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


def change(page: Page, name: str, value: str) -> None:
    page.locator(f'[name="{name}"]').fill(value)
    wait_live(page)


def test_shown_rows_add_up_to_the_shown_total_in_both_units(live: Page) -> None:
    for unit in ("GB", "GiB"):
        live.locator(f'[data-view="unit={unit}"]').click()
        expect(live.locator("#breakdown table").first).to_have_attribute("data-unit", unit)
        for batch in ("1", "3", "17"):
            change(live, "batch_size", batch)
            table = live.locator("#breakdown table").first
            rows = table.locator("tr.row.group .num:not(.share)").all_inner_texts()
            total = table.locator("tr.total .num").inner_text()
            assert all(unit in text for text in [*rows, total])
            assert sum(hundredths(text) for text in rows) == hundredths(total)


def hundredths(text: str) -> int:
    found = re.findall(r"[\d,]+\.\d+", text)
    return int(found[-1].replace(",", "").replace(".", ""))


def test_the_moments_switch_shows_other_rows(live: Page) -> None:
    peak = live.locator("#breakdown tr.total .num").first.inner_text()
    other = live.locator('#moments button[aria-pressed="false"]').first
    wanted = other.locator(".num").inner_text()
    other.click()
    expect(live.locator("#breakdown tr.total .num").first).to_contain_text(wanted)
    assert wanted != peak


def test_a_remedy_applies_with_one_click_and_undo_takes_it_back(live: Page, site: Site) -> None:
    follow(live, site.url + "#v=1&task=training&device=h100-80gb")
    before = live.locator("#answer").get_attribute("data-device")
    live.locator("#remedies button").first.click()
    expect(live.locator("#answer")).not_to_have_attribute("data-device", str(before))
    live.locator("#undo").click()
    expect(live.locator("#answer")).to_have_attribute("data-device", str(before))
    expect(live).to_have_url(re.compile(r"#v=1&task=training&device=h100-80gb$|device=h100-80gb&task=training$"))


def test_rows_that_moved_show_a_signed_difference(live: Page) -> None:
    change(live, "batch_size", "8")
    expect(live.locator("#breakdown .delta", has_text="+").first).to_be_visible()


def test_a_comparison_travels_in_the_link(live: Page) -> None:
    live.locator("#compare-add").click()
    live.locator('[name="task"][value="training"]').check(force=True)
    table = live.locator("#comparison table")
    expect(table.locator("thead th[scope=col]")).to_have_count(2)
    link = live.url
    other = live.context.new_page()
    other.goto(link)
    wait_live(other)
    expect(other.locator("#comparison thead th[scope=col]")).to_have_count(2)
    expect(other.locator("#comparison .differs")).to_contain_text("training")


def test_the_rule_of_thumb_stands_beside_the_exact_answer(live: Page) -> None:
    rule = live.locator("#rule")
    expect(rule).to_contain_text("KV cache")
    expect(rule).to_contain_text("fewer key/value heads")
    rule.locator("[data-compare]").click()
    expect(live.locator("#comparison thead th[scope=col]")).to_have_count(2)
    expect(live.locator("#comparison .differs")).to_contain_text("textbook")


def test_everything_shared_says_the_same(live: Page) -> None:
    change(live, "batch_size", "2")
    live.locator("#share-open").click()
    text = lambda name: live.locator(f"#share-{name}").input_value()  # noqa: E731
    shown = json.loads(text("json"))
    asked = '{"batch_size": "2", "device": "h100-80gb"}'
    assert shown["pools"] == json.loads(api.answer(asked))["pools"]
    assert "batch_size=2" in text("link")
    assert "python -m gauge" in text("cli")
    assert "batch_size=2" in text("cli")
    assert text("csv").startswith("pool,component")
    assert "| ---" in text("markdown")
    assert "<iframe" in text("embed")
    with live.expect_download() as saved:
        live.locator("#save-svg").click()
    picture = ElementTree.fromstring(saved.value.path().read_text(encoding="utf-8"))
    assert picture.tag.endswith("svg")
    with live.expect_download() as saved:
        live.locator("#save-png").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_chosen_config_is_read_and_is_not_markup(live: Page) -> None:
    config = {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 64,
        "n_head": 4,
        "vocab_size": 100,
        "n_positions": 128,
        "note": HOSTILE,
    }
    file = {"name": f"{HOSTILE}.json", "mimeType": "application/json", "buffer": json.dumps(config).encode()}
    live.locator("#file").set_input_files(files=[file])
    wait_live(live)
    expect(live.locator("#files-status")).to_contain_text("gpt2")
    assert "owned" not in live.title()
    assert live.locator("img").count() == 0
    live.locator("#undo").click()
    expect(live.locator('[name="model"]')).to_have_value("meta-llama/Llama-3.1-8B")


def test_a_hostile_link_injects_nothing(live: Page, site: Site) -> None:
    live.goto(site.url + f"#v=1&model={HOSTILE}&nonsense={HOSTILE}")
    live.locator('#answer[data-state="error"]').wait_for()
    expect(live.locator("#errors")).to_contain_text("nonsense")
    assert "owned" not in live.title()
    assert live.locator("img").count() == 0


def test_a_safetensors_header_gives_its_parameters(live: Page) -> None:
    header = json.dumps({"a": {"dtype": "BF16", "shape": [100, 200], "data_offsets": [0, 40000]}}).encode()
    file = {
        "name": "m.safetensors",
        "mimeType": "application/octet-stream",
        "buffer": struct.pack("<Q", len(header)) + header + bytes(40000),
    }
    live.locator("#file").set_input_files(files=[file])
    expect(live.locator("#files-status")).to_contain_text("20,000 in BF16")


def test_the_hub_is_asked_only_when_told_to(open_context: OpenContext, site: Site) -> None:
    context = open_context(site.url, "https://huggingface.co")
    page = context.new_page()
    asked: list[str] = []
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 128}

    def hub(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(
            status=200, content_type="application/json", body=json.dumps(config), headers={"access-control-allow-origin": "*"}
        )

    context.route("https://huggingface.co/**", hub)
    page.goto(site.url)
    wait_live(page)
    page.locator('[name="model"]').fill("someone/unknown-model")
    page.locator('#answer[data-state="error"]').wait_for()
    page.locator("#hub").wait_for()
    assert asked == []
    page.keyboard.press("Escape")
    page.locator("#hub").click()
    wait_live(page)
    assert asked == ["https://huggingface.co/someone/unknown-model/resolve/main/config.json"]


def test_editing_the_architecture_is_named_and_taken_back(live: Page) -> None:
    live.locator("#architecture > summary").click()
    change(live, "config.num_hidden_layers", "40")
    expect(live.locator("#echo-model")).to_contain_text("num_hidden_layers 32 → 40")
    live.locator("#echo-model button").click()
    expect(live.locator('[name="config.num_hidden_layers"]')).to_have_value("")
    expect(live.locator("#echo-model")).not_to_contain_text("edited")


def test_charts_come_with_tables(live: Page) -> None:
    live.locator("#charts").scroll_into_view_if_needed()
    expect(live.locator(".chart")).to_have_count(4, timeout=LIVE)
    expect(live.locator(".chart .plot svg").first).to_be_visible()
    for table in live.locator(".chart details").all():
        table.locator("summary").click()
        assert table.locator("tbody tr").count() > 0


def test_model_search_works_before_python(page: Page, site: Site) -> None:
    page.route(re.compile(r"/worker\.js"), lambda route: route.abort())
    page.goto(site.url)
    page.locator('[name="model"]').click()
    page.locator('[name="model"]').fill("llama 70b")
    options = page.locator('#list-model [role="option"]')
    expect(options.first).to_contain_text("70")
    assert options.count() <= 50


def test_each_model_has_a_page_without_scripts(open_context: OpenContext, site: Site) -> None:
    page = open_context(java_script_enabled=False).new_page()
    page.goto(site.url + "models/index.html")
    page.get_by_role("link", name="GPT-2", exact=True).first.click()
    expect(page.locator("h1")).to_contain_text("GPT-2")
    expect(page.locator("table").first).to_contain_text(re.compile(r"[GM]iB"))


def test_the_last_question_is_offered_and_a_link_wins(live: Page, site: Site) -> None:
    change(live, "batch_size", "5")
    again = live.context.new_page()
    again.goto(site.url)
    wait_live(again)
    expect(again.locator('[name="batch_size"]')).to_have_value("1")
    again.get_by_role("button", name="Continue with your last question").click()
    expect(again.locator('[name="batch_size"]')).to_have_value("5")
    linked = live.context.new_page()
    linked.goto(site.url + "#v=1&batch_size=7")
    wait_live(linked)
    expect(linked.locator('[name="batch_size"]')).to_have_value("7")


def test_an_error_is_mended_by_its_button(live: Page, site: Site) -> None:
    live.evaluate(
        "(url) => { location.href = url; }", site.url + "#v=1&runtime=vllm&devices=4&tensor_parallel=3&device=h100-80gb"
    )
    live.locator('#answer[data-state="error"]').wait_for()
    live.get_by_role("button", name="Set tensor parallel to 2", exact=True).click()
    wait_live(live)
    expect(live.locator('[name="tensor_parallel"]')).to_have_value("2")


def test_a_link_that_cannot_be_read_shows_nobody_elses_verdict(page: Page, site: Site) -> None:
    page.goto(site.url + "#v=1&batch_size=many")
    page.locator('#answer[data-state="error"]').wait_for(timeout=LIVE)
    expect(page.locator("#verdict")).to_be_hidden()
    expect(page.locator("#errors")).to_contain_text("Waiting for")
    expect(page.locator("#errors .stale-note")).to_be_hidden()
    change(page, "batch_size", "2")
    expect(page.locator("#verdict")).to_be_visible()


def test_the_theme_is_chosen_and_kept(live: Page) -> None:
    live.locator("#theme").select_option("dark")
    dark = live.evaluate("() => getComputedStyle(document.body).backgroundColor")
    live.reload()
    expect(live.locator("#theme")).to_have_value("dark")
    assert live.evaluate("() => getComputedStyle(document.body).backgroundColor") == dark
    live.locator("#theme").select_option("light")
    assert live.evaluate("() => getComputedStyle(document.body).backgroundColor") != dark


def test_the_arithmetic_is_copied_as_latex(open_context: OpenContext, site: Site) -> None:
    page = open_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(site.url)
    wait_live(page)
    page.locator('[data-arithmetic="latex"]').click()
    expect(page.locator("#announce")).to_have_text("The arithmetic is copied.")
    assert "\\begin{align*}" in page.evaluate("() => navigator.clipboard.readText()")


def test_measured_runs_stand_beside_the_answer_and_open_as_they_were(live: Page) -> None:
    live.locator('[name="runtime"]').select_option("vllm")
    wait_live(live)
    rows = live.locator("#reality tbody tr")
    expect(rows.first).to_contain_text("cache")
    expect(rows.first).to_contain_text("%")
    link = rows.first.locator("a[href^='#v=1']").first
    model = parse_qs(str(link.get_attribute("href")).lstrip("#"))["model"][0]
    link.click()
    expect(live.locator('[name="model"]')).to_have_value(model)
    wait_live(live)


def test_what_is_typed_is_undone_field_by_field(live: Page) -> None:
    change(live, "batch_size", "5")
    change(live, "batch_size", "50")
    change(live, "sequence_length", "8k")
    live.locator("#undo").click()
    expect(live.locator('[name="sequence_length"]')).to_have_value("")
    expect(live.locator('[name="batch_size"]')).to_have_value("50")
    live.locator("#undo").click()
    expect(live.locator('[name="batch_size"]')).to_have_value("1")
    expect(live.locator("#undo")).to_be_disabled()


def test_a_link_that_contradicts_itself_says_what_is_taken(page: Page, site: Site) -> None:
    page.goto(site.url + "#v=99&batch_size=3&batch_size=4")
    wait_live(page)
    expect(page.locator('[name="batch_size"]')).to_have_value("4")
    expect(page.locator("#link-notes")).to_contain_text("version 99")
    expect(page.locator("#link-notes")).to_contain_text("batch_size more than once; 4 is taken")
    change(page, "batch_size", "5")
    expect(page.locator("#link-notes")).to_be_empty()


def test_on_a_phone_a_comparison_has_tabs(open_context: OpenContext, site: Site) -> None:
    page = open_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(site.url + "#v=1&batch_size=4&compare=batch_size%3D2")
    wait_live(page)
    columns = page.locator("#comparison thead th[scope=col]")
    expect(columns.nth(1)).to_be_visible()
    expect(columns.nth(0)).to_be_hidden()
    page.locator('#comparison [data-column="0"]').click()
    expect(columns.nth(0)).to_be_visible()
    expect(columns.nth(1)).to_be_hidden()


def test_every_row_tells_where_its_code_is(live: Page) -> None:
    live.locator("#math-open").click()
    expect(live.locator("#breakdown .steps .source", has_text="Code: gauge/").first).to_be_visible()


def test_a_device_that_cannot_be_read_leaves_no_line_of_another(live: Page) -> None:
    expect(live.locator("#echo-device")).to_contain_text("GiB")
    live.locator('[name="device"]').fill("no such card")
    live.locator('#answer[data-state="error"]').wait_for()
    expect(live.locator("#echo-device")).to_be_empty()


def test_a_pasted_config_travels_compressed(live: Page) -> None:
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 128}
    config["note"] = "x" * 400
    file = {"name": "config.json", "mimeType": "application/json", "buffer": json.dumps(config).encode()}
    live.locator("#file").set_input_files(files=[file])
    expect(live.locator("#files-status")).to_contain_text("gpt2")
    wait_live(live)
    asked = live.locator("#answer").get_attribute("data-allocated")
    live.locator("#share-open").click()
    link = live.locator("#share-link").input_value()
    assert "config=z:" in link
    assert len(link) < 400
    other = live.context.new_page()
    other.goto(link)
    expect(other.locator("#answer")).to_have_attribute("data-allocated", str(asked), timeout=LIVE)
    other.goto(link[:-20])
    expect(other.locator("#link-notes")).to_contain_text("cannot be read")
