"""Firefox, and WebKit, the engine of Safari: a page in each, driven as people use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import find_firefox

PATIENCE_S = 30
ANSWER_S = 60  # longest wait for an answer of a browser
ESCAPE, ENTER, RIGHT = "\ue00c", "\ue007", "\ue014"  # as WebDriver has them

TEXTS = """return [...document.querySelectorAll(arguments[0])]
    .filter((element) => element.checkVisibility())
    .map((element) => element.textContent.trim())"""
LISTEN = """window.errors = [];
for (const kind of ["error", "unhandledrejection", "securitypolicyviolation"]) {
    addEventListener(kind, (e) => errors.push(`${e.message ?? e.reason ?? e.violatedDirective}`));
}"""
COMPLAINTS = """return Services.console.getMessageArray()
    .filter((message) => message instanceof Ci.nsIScriptError)
    .filter((message) => message.sourceName.startsWith(arguments[0]))
    .map((message) => message.errorMessage)"""


class Engine(ABC):
    """A browser with one page; `driver` is a Marionette or a WebDriver, which are much alike.

    `not_ready` are the driver's errors about an element that is not there, is drawn anew, or is
    covered. They come before anything is done to the element.
    """

    def __init__(
        self, driver: Any, downloads: Path, not_ready: tuple[type[Exception], ...]
    ) -> None:
        self.driver = driver
        self.downloads = downloads
        self._not_ready = not_ready

    @abstractmethod
    def open(self, url: str) -> None: ...

    @abstractmethod
    def run(self, script: str, *args: object) -> Any:
        """Run a script in the page, and wait for the promise that it may return."""

    @abstractmethod
    def focused(self) -> Any:
        """Give the element that has the focus."""

    @abstractmethod
    def errors(self) -> list[str]:
        """List the errors of the page."""

    def click(self, css: str) -> None:
        self._once_ready(lambda: self._find(css), lambda element: element.click())

    def type(self, css: str, *keys: str) -> None:
        self._once_ready(lambda: self._find(css), lambda element: element.send_keys(*keys))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self._once_ready(self.focused, lambda element: element.send_keys(*keys))

    def _find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def _once_ready(self, find: Callable[[], Any], act: Callable[[Any], object]) -> None:
        """Wait until an element is visible, enabled and takes the action."""
        pause = threading.Event()
        reason: object = "not visible, or not enabled"
        for _ in range(PATIENCE_S * 20):
            try:
                element = find()
                if element.is_displayed() and element.is_enabled():
                    act(element)
                    return
            except self._not_ready as error:
                reason = error
            pause.wait(0.05)
        raise AssertionError(f"not ready for it within {PATIENCE_S} s: {reason}")

    def expect(self, css: str, *patterns: str, patience_s: float = PATIENCE_S) -> list[str]:
        """Wait until the visible elements match these patterns, one each, and give their texts."""
        pause = threading.Event()
        for _ in range(round(patience_s * 20)):
            texts: list[str] = self.run(TEXTS, css)
            if len(texts) == len(patterns) and all(map(re.search, patterns, texts)):
                return texts
            pause.wait(0.05)
        raise AssertionError(f"{css} has {texts}, not {patterns}")

    def download(self, ending: str) -> str:
        """Download the transcript, and give what the file holds."""
        for old in self.downloads.glob("transcript-*"):
            old.unlink()
        self.click("#download")
        self.click(f"[data-format={ending}]")
        return read_when_there(self.downloads, f"transcript-*.{ending}")


class Firefox(Engine):
    url = ""

    def open(self, url: str) -> None:
        self.url = url
        self.driver.navigate(url)

    def run(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, script_args=args, sandbox=None)

    def focused(self) -> Any:
        return self.driver.get_active_element()

    def errors(self) -> list[str]:
        with self.driver.using_context("chrome"):
            return list(self.driver.execute_script(COMPLAINTS, script_args=[self.url]))


class WebKit(Engine):
    def open(self, url: str) -> None:
        self.driver.get(url)
        self.run(LISTEN)

    def run(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, *args)

    def focused(self) -> Any:
        return self.driver.switch_to.active_element

    def errors(self) -> list[str]:
        return list(self.run("return errors"))


def read_when_there(folder: Path, pattern: str) -> str:
    """Wait for a file that another program writes."""
    pause = threading.Event()
    for _ in range(PATIENCE_S * 20):
        for path in folder.glob(pattern):
            if text := path.read_text(encoding="utf-8"):
                return text
        pause.wait(0.05)
    raise AssertionError(f"no {pattern} but {list(folder.iterdir())}")


@contextmanager
def firefox(home: Path) -> Iterator[Firefox]:
    from marionette_driver import errors
    from marionette_driver.marionette import Marionette

    not_ready = (
        errors.NoSuchElementException,
        errors.StaleElementException,
        errors.ElementNotInteractableException,
        errors.ElementClickInterceptedException,
    )
    profile = home / "firefox"
    profile.mkdir()
    prefs = {
        "browser.download.folderList": 2,
        "browser.download.dir": str(home),
        "marionette.port": 0,
        "media.navigator.permission.disabled": True,  # allow without asking
    }
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in prefs.items()
    ]
    (profile / "user.js").write_text("\n".join(lines))
    path = find_firefox()
    assert path is not None
    command = [path, "--headless", "--marionette", "--remote-allow-system-access"]
    command += ["--profile", str(profile)]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = int(read_when_there(profile, "MarionetteActivePort"))
        driver = Marionette(port=port, socket_timeout=ANSWER_S)
        driver.start_session()
        yield Firefox(driver, home, not_ready)
        driver.delete_session()
    finally:
        browser.terminate()
        browser.wait(ANSWER_S)


@contextmanager
def webkit(home: Path) -> Iterator[WebKit]:
    from selenium.common import exceptions
    from selenium.webdriver import WebKitGTK
    from selenium.webdriver.webkitgtk.service import Service

    not_ready = (
        exceptions.NoSuchElementException,
        exceptions.StaleElementReferenceException,
        exceptions.ElementNotInteractableException,
        exceptions.ElementClickInterceptedException,
    )
    with screen() as display:
        # Without a user's configuration, downloads go to the home.
        env = {**os.environ, "DISPLAY": display, "XDG_CONFIG_HOME": str(home)}
        driver: Any = WebKitGTK(service=Service(env=env))
        driver.command_executor.client_config.timeout = ANSWER_S
        try:
            yield WebKit(driver, home, not_ready)
        finally:
            driver.quit()


@contextmanager
def screen() -> Iterator[str]:
    """A virtual display."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x1024x24"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(ANSWER_S)
