"""What pages of one browser keep: after any changes, a reload shows what they showed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sttlab.server.launch import ServerHandle
from tests.browser.pages import Opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.needs("chromium")

# Opens two transcripts of one database, makes changes of them one after the other, and gives what
# each of them, and one that is opened afterwards, then shows.
RUN = """async ([folder, name, changes]) => {
    const { openStore } = await import(`${folder}storage.js`);
    const { Transcript } = await import(`${folder}transcript.js`);
    const nothing = { getItem: () => null, setItem() {}, removeItem() {} };
    const pages = [];
    let isFull = false;
    const begin = IDBDatabase.prototype.transaction;
    IDBDatabase.prototype.transaction = function (stores, mode) {
        const transaction = begin.call(this, stores, mode);
        if (isFull && mode === "readwrite") {
            transaction.commit = () => {};
            queueMicrotask(() => transaction.abort());
        }
        return transaction;
    };
    const open = async () => {
        const store = await openStore(name, nothing);
        const transcript = new Transcript(store, "t");
        await transcript.load();
        transcript.setStream("s", 0, 0);
        return { store, transcript };
    };
    for (let i = 0; i < 2; i++) {
        const { store, transcript } = await open();
        const page = { transcript, busy: 0, told: 0, heard: 0 };
        const write = store.write.bind(store);
        store.write = async (change) => {
            page.busy++;
            try {
                await write(change);
                page.told++;
            } finally {
                page.busy--;
            }
        };
        store.listen((change) => {
            page.heard++;
            transcript.take(change);
        });
        pages.push(page);
    }
    const settled = async () => {
        const [a, b] = pages;
        while (a.busy || b.busy || a.heard !== b.told || b.heard !== a.told) {
            await new Promise((next) => setTimeout(next));
        }
    };
    let time = 0;
    const say = (transcript, utterance_id) => {
        const said = { text: `Line ${utterance_id}.`, confidence: 0.9, segments: [], delay_s: 0 };
        const at = { start_s: utterance_id, end_s: utterance_id + 0.5 };
        transcript.add({ utterance_id, ...said, ...at }, (time += 10));
    };
    let count = 0;
    for (; count < 4; count++) say(pages[0].transcript, count);
    await settled();
    const last = [[0, "room", 0], [0, "new", 0], [1, "new", 0]];
    for (const [number, what, place] of [...changes, ...last]) {
        const { transcript } = pages[number];
        const { entries } = transcript;
        const key = entries.length ? entries[place % entries.length].key : "none";
        if (what === "new") say(transcript, count++);
        else if (what === "late") say(transcript, place % count);
        else if (what === "edit") transcript.edit(key, `Edited ${time++}.`);
        else if (what === "remove") transcript.remove([key]);
        else if (what === "clear") transcript.remove();
        else if (what === "undo") transcript.undo();
        else isFull = what === "full";
        await settled();
    }
    IDBDatabase.prototype.transaction = begin;
    const shown = ({ transcript }) => transcript.entries.map(({ key, text }) => `${key} ${text}`);
    return [...pages, await open()].map(shown);
}"""


@pytest.fixture
def modules(opened: Opened, silent: ServerHandle, root: Path) -> Page:
    """A page whose scripts did not run, and whose storage makes packs of three lines."""
    text = (root / "frontend" / "storage.js").read_text(encoding="utf-8")
    small = text.replace("const MANY = 200;", "const MANY = 3;")
    assert small != text
    page = opened()
    kind = "text/javascript"
    page.route("**/app.js", lambda route: route.fulfill(body="", content_type=kind))
    page.route("**/storage.js", lambda route: route.fulfill(body=small, content_type=kind))
    page.goto(silent.url)
    return page


@pytest.mark.parametrize("fills", [False, True], ids=["room", "full at times"])
def test_a_reload_shows_what_two_pages_show(modules: Page, fills: bool) -> None:
    what = {"new": 1, "late": 2, "edit": 1, "remove": 3, "clear": 2, "undo": 3}
    if fills:
        what |= {"full": 2, "room": 2}
    chance = random.Random(fills)
    folder = modules.evaluate("document.querySelector('script[src$=\"app.js\"]').src")
    for run in range(100):
        changes: list[tuple[int, str, int]] = [
            (chance.randrange(2), kind, chance.randrange(6))
            for kind in chance.choices(list(what), list(what.values()), k=8)
        ]
        given: list[Any] = [folder.removesuffix("app.js"), f"run {run}", changes]
        one, other, reloaded = modules.evaluate(RUN, given)
        assert one == other == reloaded, changes
