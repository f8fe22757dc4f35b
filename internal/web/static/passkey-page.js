// The pages that ask for a passkey, or make one, on a workstation.
import { create, get, supported } from "./passkey.js";

const panel = document.querySelector("[data-passkey]");
const form = panel.querySelector("form");
const start = panel.querySelector("[data-start]");

function say(word) {
  for (const e of panel.querySelectorAll("[data-say]")) { e.hidden = e.dataset.say !== word; }
}

function send(answer) {
  form.elements.answer.value = answer;
  form.submit();
}

function failed(error) {
  say(error.name === "InvalidStateError" ? "exists" : "refused");
  start.hidden = false;
  start.disabled = false;
}

async function sign() {
  say("asking");
  start.hidden = true;
  try {
    send(await get(JSON.parse(panel.dataset.options)));
  } catch (error) {
    failed(error);
  }
}

async function make(event) {
  event.preventDefault();
  say("asking");
  start.disabled = true;
  try {
    const answer = await fetch(panel.dataset.ask, { method: "POST", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(20000) });
    if (answer.status === 403) { location.reload(); return; } // the login is no longer recent: the page says so
    if (!answer.ok) { throw new Error("status " + answer.status); }
    send(await create(await answer.json()));
  } catch (error) {
    failed(error);
  }
}

if (!supported()) {
  say("unsupported");
  start.hidden = true;
} else if (panel.dataset.passkey === "get") {
  start.addEventListener("click", sign);
  if (panel.dataset.options && location.pathname === form.getAttribute("action").replace(/\/finish$/, "")) { sign(); }
} else {
  form.addEventListener("submit", make);
  start.disabled = false; // until now the form would have been sent without an answer
}
