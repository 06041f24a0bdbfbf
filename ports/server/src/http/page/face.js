// The way from a service's host to the login and back: says what the person goes into, logs in
// where that is needed, and hands the login over. Where it leads the server says, not the query.
"use strict";

const API = "/api/v1";
const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const label = query.get("to") || "";
let csrf = "";

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
  if (response.ok) return value;
  const error = new Error(value && value.detail ? value.detail : "the server failed");
  error.status = response.status;
  throw error;
}

function showLogin() {
  byId("login").hidden = false;
  byId("user").focus();
}

async function showNotice(session) {
  csrf = session.csrf;
  byId("login").hidden = true;
  try {
    const it = await api("GET", "/face/services/" + encodeURIComponent(label));
    byId("notice-title").textContent = it.service + " of " + (it.name || it.device);
    byId("notice").hidden = false;
    byId("enter").focus();
  } catch (error) {
    byId("error").textContent = error.status === 404
      ? "There is no such service, or its owner does not allow you to use it." : error.message;
  }
}

byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("error").textContent = "";
  const body = { user: byId("user").value, password: byId("password").value };
  if (byId("totp").value) body.totp = byId("totp").value;
  byId("password").value = "";
  byId("totp").value = "";
  try {
    await showNotice(await api("POST", "/session", body));
  } catch (error) {
    byId("error").textContent = error.message;
    byId("password").focus();
  }
});

byId("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const entered = await api("POST", "/face/enter", { label, state: query.get("state") || "" });
    location.assign(entered.url + "&path=" + encodeURIComponent(query.get("path") || "/"));
  } catch (error) {
    byId("error").textContent = error.message;
  }
});

api("GET", "/session").then(showNotice).catch(showLogin);
