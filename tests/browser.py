"""Chromium driven through its DevTools pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next((found for name in NAMES if (found := shutil.which(name))), None)
START = """import os, sys
read, write = map(int, sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])"""
CODES = {" ": "Space", "ArrowRight": "ArrowRight", "ArrowLeft": "ArrowLeft", "Tab": "Tab"}
NUMBERS = {" ": 32, "ArrowRight": 39, "ArrowLeft": 37, "Tab": 9, "Enter": 13}


class Browser:
    """A headless Chromium with one page, as a context manager."""

    def __init__(self, profile, width=1400, height=900, dark=False):
        """Starts it.

        Args:
            profile: folder for its own files; the same one remembers what a page stored.
            width: of the window, pixels.
            height: of the window, pixels.
            dark: whether the user likes pages dark.
        """
        ours_in, theirs_out = map(_high, os.pipe())
        theirs_in, ours_out = map(_high, os.pipe())
        command = [FOUND, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio"]
        command += ["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
        command += [f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in), os.close(theirs_out)
        self.read_from, self.write_to = ours_in, ours_out
        self.rest, self.number, self.events, self.session = b"", 0, [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.size(width, height, dark)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.session = None
        try:
            self.send("Browser.close")
            self.process.wait(10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.read_from), os.close(self.write_to)

    def size(self, width, height, dark=False, touch=False):
        """Gives the page another size or scheme of colours."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=touch,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def send(self, method, **parameters):
        """Sends one command and returns its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_to, data) :]
        while True:
            got = self._next(60)
            if got.get("id") == self.number:
                assert "error" not in got, (method, got["error"])
                return got["result"]
            self.events.append(got)

    def _next(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.read_from], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            got = os.read(self.read_from, 1 << 20)
            if not got:
                raise OSError("Chromium is gone")
            self.rest += got
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, url):
        """Opens a page and returns when it is whole."""
        self.events.clear()
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """Returns the value of an expression in the page; promises are waited for."""
        got = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def until(self, script, seconds=20):
        """Returns the value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)
        return value

    def press(self, key):
        """Presses a key as a hand does."""
        number = NUMBERS.get(key, ord(key[0].upper()))
        known = {"key": key, "code": CODES.get(key, f"Key{key.upper()}")}
        known["windowsVirtualKeyCode"] = number
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **known, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **known)

    def click(self, x, y):
        """Clicks at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def requests(self):
        """Returns the addresses that the page asked for since it was opened."""
        named = "Network.requestWillBeSent"
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == named]

    def complaints(self):
        """Returns what the page logged and threw since it was opened."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.events if event.get("method") in kinds]

    def picture(self, path, whole=True):
        """Writes a screenshot, of the whole page or of what the window shows."""
        got = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(got["data"]))


def _high(descriptor):
    """Returns a copy of a descriptor that is out of the way of 3 and 4."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
