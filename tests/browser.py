"""A headless Chromium, spoken to by its own protocol through two pipes: it hovers, presses keys and takes pictures."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the page")

KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9, "Enter": 13, "Escape": 27}


class Browser:
    """One tab. Source of its commands: chromedevtools.github.io/devtools-protocol."""

    def __init__(self, folder, width=1280, height=900):
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        options = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", f"--user-data-dir={folder / 'profile'}"),
        )
        # Chromium reads from file 3 and writes to file 4.
        script = (
            f"import os, sys; ends = os.dup({read}), os.dup({write}); "
            "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.set_inheritable(3, True); os.set_inheritable(4, True); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-ES", "-c", script, CHROMIUM, *options, "about:blank"],
            pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read)
        os.close(write)
        self._number, self._session, self._rest, self.errors = 0, None, b"", []
        targets = self._send("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")
        self.size(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session = None
        self._send("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._write)
        os.close(self._read)

    def _send(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(answer["params"])

    def _receive(self):
        while b"\0" not in self._rest:
            part = os.read(self._read, 2**16)
            assert part, "Chromium has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def size(self, width, height, touch=False):
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self._send("Emulation.setTouchEmulationEnabled", enabled=touch)

    def dark(self, dark=True):
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path):
        self._send("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + 60
        # Asked at once: of two questions the first may still be answered by the empty page, which is complete.
        while not self("document.readyState == 'complete' && location.href != 'about:blank'"):
            assert time.monotonic() < until, "the page does not load"
            time.sleep(0.02)

    def __call__(self, script):
        """The value of an expression in the page."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _middle(self, selector):
        rectangle = f"""(() => {{
            const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}});
            const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2];
        }})()"""
        return dict(zip("xy", self(rectangle), strict=True))

    def hover(self, selector):
        self._send("Input.dispatchMouseEvent", type="mouseMoved", **self._middle(selector))

    def leave(self):
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)

    def click(self, selector):
        at = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def tap(self, selector):
        at = self._middle(selector)
        self._send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
        self._send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key):
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self._send("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self._send("Input.dispatchKeyEvent", type="keyUp", **code)

    def picture(self, path, whole=False):
        """A screenshot; of the whole page, or of the window."""
        shot = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path
