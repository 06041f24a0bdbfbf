"""A headless Chromium, driven over the DevTools protocol by a pair of pipes: no port, no library."""

import base64
import json
import os
import select
import subprocess
import time

from harness import Failed, Skipped, check


class Browser:
    """It ends with its world. What a page throws, or its policy refuses, is kept in `complaints`."""

    def __init__(self, world, width=1000, height=800):
        program = world.tools.chromium
        if not program:
            raise Skipped("there is no Chromium")
        to_read, self.to_write = os.pipe()
        self.from_read, to_browser = os.pipe()
        words = [program, "--headless", "--no-sandbox", "--remote-debugging-pipe",
                 "--ignore-certificate-errors", "--disable-gpu", "--no-first-run",
                 "--disable-dev-shm-usage", f"--user-data-dir={world.folder}/chromium",
                 "about:blank"]
        shell = f'exec "$@" 3<&{to_read} 4>&{to_browser}'
        self.name = "chromium"
        self.log = open(world.folder / "chromium.log", "w+b")
        self.child = subprocess.Popen(["sh", "-c", shell, "sh", *words],
                                      pass_fds=(to_read, to_browser), stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log)
        os.close(to_read)
        os.close(to_browser)
        world.processes.append(self)
        self.buffer, self.last, self.complaints, self.session = b"", 0, [], None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        self.child.kill()
        self.child.wait()
        for end in (self.to_write, self.from_read):
            os.close(end)

    def call(self, method, seconds=40, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        end, wanted = time.monotonic() + seconds, self.last
        while True:
            message = self.message(end)
            if message.get("id") == wanted:
                check("error" not in message, f"{method}: {message.get('error')}")
                return message["result"]
            self.note(message)

    def message(self, end):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.from_read], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Failed("the browser does not answer")
            data = os.read(self.from_read, 1 << 20)
            check(data, "the browser ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def note(self, message):
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"])[:500])
        if message.get("method") == "Log.entryAdded":
            entry = params["entry"]
            if entry["level"] == "error" and entry["source"] != "network":
                self.complaints.append(f"{entry['source']}: {entry['text']}")

    def run(self, expression):
        """The value of a JavaScript expression; a promise's, once it has one."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)
        check("exceptionDetails" not in done, f"{expression}: {done.get('exceptionDetails')}")
        return done["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait(self, expression, seconds=20):
        end = time.monotonic() + seconds
        while not self.run(f"!!({expression})"):
            check(time.monotonic() < end, f"not within {seconds} s: {expression}")
            time.sleep(0.05)

    def press(self, key, shift=False):
        codes = {"Tab": (9, ""), "Enter": (13, "\r")}
        code, text = codes[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code,
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
