"""What is saved of a notebook's widget, in a page that has both, as those of VS Code and Colab."""

from __future__ import annotations

import base64

import pytest

from tests.browser.pages import Opened, expect

pytest.importorskip("anywidget")
pytestmark = [pytest.mark.needs("chromium", "jupyter")]


def test_what_is_saved_is_hidden_while_its_widget_is_on_the_page(opened: Opened) -> None:
    from sttlab.notebook.still import Presence, still

    page = opened("about:blank")
    page.set_content(
        "<div id=widget></div>"
        + still(["<p>mine</p>"], "one")["text/html"]
        + still(["<p>another</p>"], "two")["text/html"]
    )
    expect(page.get_by_text("mine")).to_be_visible()
    module = base64.b64encode(Presence(of="one")._esm.encode()).decode()
    page.evaluate(
        """async (module) => {
            const { default: presence } = await import(`data:text/javascript;base64,${module}`);
            const model = { get: () => "one" };
            window.leave = presence.render({ model, el: document.querySelector("#widget") });
        }""",
        module,
    )
    expect(page.get_by_text("mine")).to_be_hidden()
    expect(page.get_by_text("another")).to_be_visible()
    page.evaluate("window.leave()")
    expect(page.get_by_text("mine")).to_be_visible()
