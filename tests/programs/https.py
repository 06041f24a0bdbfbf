"""A page over TLS in a real browser, with a WebSocket in it."""

import hashlib
import json
import random
import sys

from browser import Browser
from ends import done, program
from harness import HERE, Skipped, check, free_port
from people import Person, listening

PAGE = b"""<!doctype html><meta charset=utf-8><title>over there</title><p id=outcome></p><script>
const hex = b => [...new Uint8Array(b)].map(x => x.toString(16).padStart(2, "0")).join("");
const told = {numbers: []};
async function all() {
  const file = await (await fetch("file")).arrayBuffer();
  told.file = hex(await crypto.subtle.digest("SHA-256", file));
  const socket = new WebSocket(`wss://${location.host}/socket`);
  await new Promise((good, bad) => { socket.onopen = good; socket.onerror = bad; });
  await new Promise(end => {
    socket.onmessage = message => {
      if (message.data === "end") return end();
      const [word, value] = message.data.split(" ");
      word === "number" ? told.numbers.push(+value) : told[word] = value;
    };
    socket.send("hello \\u2013 over there");
    socket.send(file.slice(0, 900000));
    socket.send("count 1000");
  });
  told.inOrder = told.numbers.every((number, at) => number === at);
  told.numbers = told.numbers.length;
}
all().catch(error => told.error = String(error)).then(() => {
  document.getElementById("outcome").textContent = JSON.stringify(told);
});
</script>"""

SETTINGS = """listen 127.0.0.1:{port} ssl;
ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
types {{ text/html html; }}
location /socket {{
    proxy_pass http://127.0.0.1:{inner}; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
}}"""


def socket_server(world):
    """Python's websockets, by Debian's Python if that has it."""
    for python in ("/usr/bin/python3", sys.executable):
        if world.run(python, "-c", "import websockets").returncode == 0:
            break
    else:
        raise Skipped("there is no Python with websockets (Debian: python3-websockets)")
    port = free_port()
    server = world.start("websockets", python, HERE.parent / "programs/socket_server.py", port)
    server.wait_line("^ready")
    return port


def test_https_with_a_web_socket(world):
    """nginx with TLS, a page whose script fetches a file and talks over a WebSocket."""
    done(world.run(program(world, "openssl", "openssl"), "req", "-x509", "-newkey", "ec",
                   "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=device",
                   "-days", "2", "-keyout", world.folder / "key",
                   "-out", world.folder / "certificate"))
    port, content = free_port(), random.Random(5).randbytes(5_000_000)
    settings = SETTINGS.format(port=port, folder=world.folder, inner=socket_server(world))
    world.web({"index.html": PAGE, "file": content}, settings=settings)
    broker, person = world.broker(), Person(world, "person")
    device = world.device(broker, {"web": port}, allow=[person.key()])
    person.configure(f'broker = "{broker.uri}"\n[[connections]]\ndevice = "{device.key}"\n'
                     'services = ["web"]\n')
    address, port = listening(person.start("up", "--enrol", broker.code()), "web")
    browser = Browser(world)
    browser.open(f"https://{address}:{port}/index.html")
    browser.wait("document.getElementById('outcome').textContent", 60)
    told = json.loads(browser.run("document.getElementById('outcome').textContent"))
    wanted = {"file": hashlib.sha256(content).hexdigest(), "text": "20", "numbers": 1000,
              "bytes": hashlib.sha256(content[:900_000]).hexdigest(), "inOrder": True}
    check(told == wanted, f"the page saw {told}, not {wanted}")
    check(browser.run("document.title") == "over there" and not browser.complaints,
          f"{browser.complaints}")
