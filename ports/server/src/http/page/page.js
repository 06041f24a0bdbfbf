// The broker's page: logs in, lists, and follows events. Text of others is only ever put in as
// text (`textContent`), so a device's name is a name whatever it contains.
"use strict";

const API = "/api/v1";
const EVENTS_SHOWN = 50;
const REFRESH_MS = 300;

const byId = (id) => document.getElementById(id);
let csrf = "";
let stream = null;
let refreshTimer = 0;

async function api(method, path, body) {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(API + path, {
    method, headers, credentials: "same-origin", redirect: "error",
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const value = text ? JSON.parse(text) : null;
  if (!response.ok) {
    const error = new Error(value && value.detail ? value.detail : "the server failed");
    error.status = response.status;
    error.retryAfter = value && value.retry_after_s;
    throw error;
  }
  return value;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function details(pairs) {
  const list = element("dl");
  for (const [term, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(element("dt", term), element("dd", String(value)));
  }
  return list;
}

function time(seconds) {
  return seconds ? new Date(seconds * 1000).toLocaleString() : null;
}

function milliseconds(us) {
  return us === null || us === undefined ? null : (us / 1000).toFixed(1) + " ms";
}

function short(key) {
  return key ? key.slice(0, 8) + "…" : null;
}

function service(it) {
  return it.name + " (" + it.kind + " " + it.port + ")";
}

function deviceCard(device) {
  const card = element("li");
  card.dataset.key = device.key;
  card.append(element("h3", device.name || short(device.key)));
  const isOnline = device.is_online;
  card.append(element("span", isOnline ? "online" : "offline", isOnline ? "online" : "offline"));
  const place = [device.city, device.country].filter(Boolean).join(", ");
  card.append(details([
    ["Key", device.key],
    ["Services", (device.services || []).map(service).join(", ") || "none told"],
    ["Tags", (device.tags || []).join(", ")],
    ["Owner", device.owner ? short(device.owner) : "unclaimed"],
    ["Firmware", device.firmware],
    ["Address", device.address],
    ["Place", place],
    ["Seen", time(device.seen_s)],
    ["Path", device.path],
    ["Round trip", milliseconds(device.rtt_us)],
    ["Last error", device.last_error],
  ]));
  return card;
}

function sessionCard(session) {
  const card = element("li");
  card.append(element("h3", short(session.initiator) + " → " + short(session.device)));
  card.append(details([
    ["Began", time(session.began_s)],
    ["Reported", time(session.reported_s)],
    ["Path", session.path],
    ["Round trip", milliseconds(session.rtt_us)],
    ["Received", session.bytes_received],
    ["Sent", session.bytes_sent],
  ]));
  return card;
}

function eventItem(event) {
  const item = element("li");
  item.append(element("span", time(event.at_s) + " ", "soft"), element("span", event.kind));
  if (event.device) item.append(element("span", " " + short(event.device), "soft"));
  return item;
}

function fill(list, items, none) {
  if (items.length === 0) items = [element("li", none, "soft")];
  list.replaceChildren(...items);
}

async function refresh() {
  try {
    const [devices, sessions] = await Promise.all([
      api("GET", "/devices"), api("GET", "/sessions?limit=20"),
    ]);
    fill(byId("device-list"), devices.devices.map(deviceCard), "There is no device of yours yet.");
    fill(byId("session-list"), sessions.sessions.map(sessionCard), "There was no session yet.");
  } catch (error) {
    if (error.status === 401) showLogin();
    else tell("Not up to date: " + error.message);
  }
}

function refreshSoon() {
  if (refreshTimer) return;
  refreshTimer = setTimeout(() => {
    refreshTimer = 0;
    refresh();
  }, REFRESH_MS);
}

function tell(text) {
  byId("status").textContent = text;
}

function onEvent(message) {
  const event = JSON.parse(message.data);
  const list = byId("event-list");
  if (list.querySelector("li.soft")) list.replaceChildren();
  list.prepend(eventItem(event));
  while (list.childElementCount > EVENTS_SHOWN) list.lastElementChild.remove();
  if (event.kind === "node.online") tell("A device is online: " + short(event.device));
  if (event.kind === "node.offline") tell("A device is offline: " + short(event.device));
  refreshSoon();
}

function follow(after) {
  if (stream) stream.close();
  stream = new EventSource(API + "/events/stream?after=" + after);
  stream.onmessage = onEvent;
  stream.onopen = refreshSoon;
}

function showLogin() {
  if (stream) stream.close();
  stream = null;
  csrf = "";
  for (const id of ["device-list", "session-list", "event-list"]) byId(id).replaceChildren();
  byId("content").hidden = true;
  byId("nav").hidden = true;
  byId("login").hidden = false;
  byId("user").focus();
}

async function showContent(session) {
  csrf = session.csrf;
  byId("login").hidden = true;
  byId("content").hidden = false;
  byId("nav").hidden = false;
  tell("Logged in as " + session.user);
  const events = await api("GET", "/events?newest=true&limit=" + EVENTS_SHOWN);
  fill(byId("event-list"), events.events.map(eventItem).reverse(), "Nothing happened yet.");
  const last = events.events[events.events.length - 1];
  await refresh();
  follow(last ? last.id : 0);
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = byId("login-error");
  error.textContent = "";
  const body = { user: byId("user").value, password: byId("password").value };
  if (byId("totp").value) body.totp = byId("totp").value;
  byId("password").value = "";
  byId("totp").value = "";
  try {
    await showContent(await api("POST", "/session", body));
    byId("devices").focus();
  } catch (failure) {
    const wait = failure.retryAfter ? " (in " + failure.retryAfter + " s)" : "";
    error.textContent = failure.message + wait;
    byId("password").focus();
  }
});

byId("logout").addEventListener("click", async () => {
  try {
    await api("DELETE", "/session");
  } catch (error) {
    if (error.status !== 401) return tell("Not logged out: " + error.message);
  }
  showLogin();
  tell("Logged out");
});

api("GET", "/session").then(showContent).catch(showLogin);
