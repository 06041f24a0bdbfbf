"""The broker's page in a real browser."""

import os
import time

from accounts import totp
from api import Server
from browser import Browser
from harness import check

HOSTILE = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>\"'&amp;"
SHOWN = "!document.getElementById('content').hidden"
FOCUS = "document.activeElement.id || document.activeElement.textContent.trim()"


def log_in(browser, caller, code=None):
    """By keyboard alone: the user's field has the focus."""
    browser.wait("document.activeElement.id === 'user'")
    for text in (caller.name, caller.password, code or ""):
        browser.type(text)
        browser.press("Tab")
    browser.press("Enter")


def contrast(first, second):
    def luminance(color):
        parts = [int(part) / 255 for part in color[4:-1].split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_page_lists_and_hostile_names_are_text(world):
    server = Server(world)
    ada = server.user("ada")
    services = '[{"name":"web","kind":0,"port":80}]'
    device = server.add_device(ada.key, HOSTILE, services=services, tags=f'["{"x" * 60}"]',
                               firmware="<b>1</b>", last_error="<svg onload='window.hurt=1'>")
    server.add_device(None, "not hers")
    browser = Browser(world)
    browser.open(server.url)
    log_in(browser, ada)
    browser.wait(f"{SHOWN} && document.querySelector('#device-list h3')")
    names = browser.run("[...document.querySelectorAll('#device-list h3')].map(e => e.textContent)")
    check(names == [HOSTILE], f"{names}")
    text = browser.run("document.getElementById('device-list').textContent")
    check("web (tcp 80)" in text and "offline" in text and "<b>1</b>" in text, text)
    inside = browser.run("document.querySelectorAll('#device-list :is(img, script, svg, b)').length")
    check(inside == 0 and browser.run("window.hurt") is None, "a name ran")
    check(browser.run("document.cookie") == "", "scripts cannot read the cookie")
    check(browser.run("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]", "kept")
    # What an injected script would do is refused by the policy.
    refused = browser.run("""(() => { try {
        document.body.insertAdjacentHTML('beforeend', '<i>x</i>'); return false;
    } catch { return true; } })()""")
    check(refused, "trusted types are required")
    # Presence comes by itself.
    browser.complaints.clear()
    server.rows("UPDATE node SET is_online = 1 WHERE key = ?", device)
    server.rows("UPDATE counter SET value = value + 1 WHERE name = 'event'")
    server.rows("INSERT INTO event (id, at_unix_s, kind, device) SELECT value, ?, 'node.online', ?"
                " FROM counter WHERE name = 'event'", int(time.time()), device)
    browser.wait("document.querySelector('#device-list .online')")
    browser.wait("document.getElementById('status').textContent.includes('online')")
    browser.wait("document.getElementById('event-list').textContent.includes('node.online')")
    # What is gone server-side shows the login again.
    browser.run("void document.getElementById('logout').click()")
    browser.wait("!document.getElementById('login').hidden")
    check(browser.run("document.getElementById('device-list').childElementCount") == 0, "emptied")
    browser.open(server.url)
    browser.wait("!document.getElementById('login').hidden")
    check(browser.complaints == [], f"{browser.complaints}")


def test_the_page_with_one_time_codes(world):
    server = Server(world)
    ada = server.user("ada")
    secret = ada.expect(200, "POST", "account/totp", {"password": ada.password})["secret"]
    step = int(time.time()) // 30
    ada.expect(204, "POST", "account/totp/confirm", {"code": totp(secret, step - 1)})
    browser = Browser(world)
    browser.open(server.url)
    log_in(browser, ada, "000000")
    browser.wait("document.getElementById('login-error').textContent.includes('wrong')")
    check(browser.run("document.getElementById('password').value") == "", "not kept in the field")
    check(browser.run(FOCUS) == "password", "where to go on")
    browser.type(ada.password)
    browser.press("Tab")
    browser.type(totp(secret, step))
    browser.press("Enter")
    browser.wait(SHOWN)
    check(browser.run("location.search") == "", "nothing in the address")


def test_the_page_by_keyboard_alone(world):
    server = Server(world)
    ada = server.user("ada")
    browser = Browser(world)
    browser.open(server.url)
    log_in(browser, ada)
    browser.wait(SHOWN)
    browser.run("void document.body.focus()")
    browser.open(server.url)
    browser.wait(SHOWN)
    seen = []
    for _ in range(5):
        browser.press("Tab")
        seen.append(browser.run(FOCUS))
        style = browser.run("""(() => { const s = getComputedStyle(document.activeElement);
            return [s.outlineStyle, s.outlineWidth]; })()""")
        check(style[0] != "none" and style[1] != "0px", f"focus is visible: {seen[-1]} {style}")
    check(seen == ["Skip to the content", "Devices", "Sessions", "Events", "logout"], f"{seen}")
    browser.press("Enter")
    browser.wait("!document.getElementById('login').hidden")
    check(browser.run(FOCUS) == "user", "back at the login")
    # Each field has its label, each landmark its name, in the browser's own view.
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in nodes:
        if not node.get("ignored"):
            name = node.get("name", {}).get("value", "")
            roles.setdefault(node["role"]["value"], []).append(name)
    check(sorted(roles["textbox"]) == sorted(["User", "Password",
                                              "One-time code, if you use one"]), f"{roles}")
    check("main" in roles and "banner" in roles, f"{sorted(roles)}")
    check(browser.run("document.getElementById('status').getAttribute('aria-live')") == "polite", "")
    check(browser.complaints == [], f"{browser.complaints}")


def test_the_page_on_a_phone_light_and_dark(world):
    server = Server(world)
    ada = server.user("ada")
    for name in ("p" * 100, "pump"):
        server.add_device(ada.key, name, firmware="f" * 64, address="[2001:db8::1]:65535",
                          last_error="e" * 200)
    browser = Browser(world, 320, 640)
    browser.open(server.url)
    fits = "document.documentElement.scrollWidth <= 320 && document.body.scrollWidth <= 320"
    check(browser.run(fits), "the login fits")
    log_in(browser, ada)
    browser.wait(f"{SHOWN} && document.querySelectorAll('#device-list h3').length === 2")
    check(browser.run(fits), f"{browser.run('document.documentElement.scrollWidth')} px wide")
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        colors = browser.run("""[...document.querySelectorAll('h1, h3, dt, dd, nav a, .offline')]
            .filter(e => e.textContent).map(e => {
                let b = e; let back;
                do { back = getComputedStyle(b).backgroundColor; b = b.parentElement; }
                while (back === 'rgba(0, 0, 0, 0)' && b);
                return [e.tagName, getComputedStyle(e).color, back]; })""")
        for tag, color, back in colors:
            ratio = contrast(color, back)
            check(ratio >= 4.5, f"{scheme}: {tag} has a contrast of {ratio:.1f}: {color} {back}")
        if "RIT_PICTURES" in os.environ:
            browser.picture(world.folder.parent / f"rit-page-{scheme}.png")
