"""A headless Chromium for the tests that open pages, driven over its DevTools protocol.

Which browser: $CHROMIUM, else the first of chromium, chromium-browser and google-chrome on PATH. Tests that need one
take the fixture `tab`, which skips where there is none.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websocket

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# The last five keep a browser that cannot reach a network from trying.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio"),
    *("--remote-debugging-port=0", "--no-first-run"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-default-apps",
]
SECONDS = 30


class Page:
    """One tab: what it shows, what it complained about and what it asked for.

    Attributes:
        problems: errors and warnings on the console, uncaught exceptions, and requests that failed.
        requests: the address of everything the page loaded.
    """

    def __init__(self, address: str) -> None:
        # Chromium refuses the origin that a web page would send; a client has none.
        self._socket = websocket.create_connection(address, timeout=SECONDS, suppress_origin=True)
        self._ids = itertools.count(1)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded, self._width = False, 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: object) -> dict:
        """Call a method of the protocol and wait for its answer; what happens meanwhile is noted.

        Raises:
            RuntimeError: the browser refused; says what it said.
        """
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self._socket.recv())).get("id") != number:
            self._note(message["method"], message["params"])
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _note(self, event: str, said: dict) -> None:
        if event == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event == "Network.loadingFailed":
            self.problems.append(f"a request failed: {said['errorText']}")
        elif event == "Network.responseReceived" and said["response"]["status"] >= 400:
            self.problems.append(f"{said['response']['status']} for {said['response']['url']}")
        elif event == "Page.loadEventFired":
            self._loaded = True

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> "Page":
        """Show a file in a window of this size and wait until it is loaded."""
        self._width, size = width, {"width": width, "height": height, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", **size, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.until(lambda: self._loaded, f"{path.name} is loaded")
        return self

    def evaluate(self, script: str) -> object:
        """The value of a JavaScript expression in the page; promises are awaited.

        Raises:
            RuntimeError: the script threw; with its words.
        """
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"in the page: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def until(self, true: Callable[[], object], what: str) -> object:
        """Wait for something to become true, and return it.

        Raises:
            TimeoutError: it does not; says what was waited for, and the page's problems.
        """
        end = time.monotonic() + SECONDS
        while not (value := true()):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {SECONDS} s until {what}; problems of the page: {self.problems}")
            time.sleep(0.05)
            self.evaluate("0")  # also collects what happened meanwhile
        return value

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A real event of the mouse: "Moved", "Pressed" or "Released", with the left button."""
        pressed = {"button": "left", "clickCount": 1} if kind != "Moved" else {}
        self.send("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **pressed)

    def press(self, key: str) -> None:
        """A real key stroke: "Tab", "Enter", "ArrowRight"."""
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def focused(self) -> str:
        """Where the keyboard is: the element's tag and its text's beginning."""
        return self.evaluate(
            "document.activeElement.tagName + ' ' + document.activeElement.textContent.trim().slice(0, 40)"
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window asked for: what a reader must scroll sideways."""
        return self.evaluate("document.documentElement.scrollWidth") - self._width

    def picture(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        self._socket.close()


class Chromium:
    """A running headless browser with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port, end = profile / "DevToolsActivePort", time.monotonic() + SECONDS
        while not (port.exists() and len(lines := port.read_text().split()) == 2):
            if time.monotonic() > end or self._process.poll() is not None:
                self.close()
                raise TimeoutError(f"{BROWSER} did not start: no debugging port after {SECONDS} s")
            time.sleep(0.05)
        self._address = f"ws://127.0.0.1:{lines[0]}/devtools"
        self._root = websocket.create_connection(
            f"ws://127.0.0.1:{lines[0]}{lines[1]}", timeout=SECONDS, suppress_origin=True
        )

    def page(self) -> Page:
        """A new empty tab."""
        self._root.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
        while (answer := json.loads(self._root.recv())).get("id") != 1:
            pass
        return Page(f"{self._address}/page/{answer['result']['targetId']}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)


@pytest.fixture(scope="session")
def running_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if BROWSER is None:
        pytest.skip("no Chromium on this machine to open the page in; $CHROMIUM may name one")
    running = Chromium(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def tab(running_browser: Chromium) -> Iterator[Page]:
    """A fresh tab of a headless Chromium; skips where there is none."""
    page = running_browser.page()
    yield page
    page.close()
