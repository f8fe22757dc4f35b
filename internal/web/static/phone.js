// The app of the phone: it reads the QR code of a workstation, and approves a login or adds this phone. What it learns stays in the memory
// of the page; nothing is kept.
import { create, get, supported } from "./passkey.js";
import { scan } from "./scan.js";
import { follow } from "./steps.js";

const app = document.querySelector("[data-phone]");
const part = (view) => app.querySelector(`[data-view="${view}"]`);
let asked = null; // what the code was for
let options = null; // of the passkey that is asked for
let camera = null; // that is scanning
let leave = () => {}; // ends what follows an enrolment

function show(view) {
  if (camera && view !== "scan") { camera.stop(); camera = null; }
  for (const section of app.querySelectorAll("[data-view]")) { section.hidden = section.dataset.view !== view; }
  const heading = part(view).querySelector("h2[tabindex]") || app.querySelector("h1");
  heading.focus(); // so that a screen reader says where one is
}

// note shows one of the texts of a view, and hides its others.
function note(view, word) {
  for (const e of part(view).querySelectorAll("[data-text]")) { e.hidden = e.dataset.text !== word; }
}

function fault(word) {
  leave();
  if (!part("fault").querySelector(`[data-text="${word}"]`)) { word = "expired"; }
  note("fault", word);
  show("fault");
}

// post asks the server, and shows what went wrong unless it answers.
async function post(path, body) {
  let told;
  try {
    const answer = await fetch("/phone/" + path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      cache: "no-store", redirect: "error", signal: AbortSignal.timeout(20000)
    });
    told = await answer.json();
    if (answer.ok) { return told; }
  } catch (error) {
    told = { error: "unavailable" };
  }
  fault(told.error);
  return null;
}

function fill(view, values) {
  for (const e of part(view).querySelectorAll("[data-fill]")) { e.textContent = values[e.dataset.fill] || e.dataset.else || ""; }
  for (const e of part(view).querySelectorAll("[data-if]")) { e.hidden = !values[e.dataset.if]; }
}

// claim begins what a code is for: the part of its address after the #.
async function claim(code) {
  show("wait");
  if (!supported()) { fault("unsupported"); return; }
  asked = await post("claim", { code: code });
  if (!asked) { return; }
  if (asked.kind === "phone") { enrol(); } else { login(); }
}

// A login.

function login() {
  const time = new Date(asked.time);
  fill("login", {
    ...asked, same: !asked.other,
    time: new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "medium" }).format(time)
  });
  part("login").querySelector("[data-numbers]").replaceChildren(...asked.numbers.map((number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = number;
    button.addEventListener("click", () => pick(number));
    return button;
  }));
  show("login");
}

async function pick(number) {
  show("wait");
  const told = await post("pick", { number: number });
  if (!told) { return; }
  options = told.options;
  note("sign", "");
  show("sign");
  sign();
}

// sign may be done again: the person may have taken the wrong finger.
async function sign() {
  note("sign", "");
  let answer;
  try {
    answer = await get(options);
  } catch (error) {
    note("sign", "refused");
    return;
  }
  show("wait");
  if (await post("approve", { answer: answer })) { show("done"); }
}

async function deny() {
  leave();
  show("wait");
  if (await post("deny", {})) { show("denied"); }
}

// An enrolment.

function enrol() {
  fill("enrol", asked);
  show("enrol");
  if (asked.step === "confirmed") { ready(); return; }
  leave = follow("/phone/events", "/phone/status", (step) => {
    if (step === "confirmed") { ready(); }
    if (["ended", "over"].includes(step)) { fault("expired"); }
    return step !== "claimed";
  });
}

async function ready() {
  const told = await post("options", {});
  if (!told) { return; }
  options = told.options;
  fill("create", asked);
  app.querySelector("#label").value = told.label;
  note("create", "");
  show("create");
}

async function make() {
  note("create", "");
  let answer;
  try {
    answer = await create(options);
  } catch (error) {
    note("create", error.name === "InvalidStateError" ? "exists" : "refused");
    return;
  }
  const label = app.querySelector("#label").value;
  show("wait");
  if (await post("add", { answer: answer, label: label })) { show("added"); }
}

// The scanner.

async function look() {
  note("scan", "scan");
  show("scan");
  try {
    camera = await scan(part("scan").querySelector("video"), (text) => {
      const code = codeOf(text);
      if (!code) { note("scan", "foreign"); return; }
      claim(code);
    });
  } catch (error) {
    if (!part("scan").hidden) { fault("camera"); }
    return;
  }
  if (part("scan").hidden) { camera.stop(); camera = null; } // stopped before it had begun
}

// codeOf returns what an address of this page carries after the #, and "" for any other address.
function codeOf(text) {
  let address;
  try { address = new URL(text); } catch (error) { return ""; }
  return address.origin === location.origin && address.pathname === "/phone" ? address.hash.slice(1) : "";
}

// arrive takes the code that the camera app has opened the page with, out of the address: it is not to stay in the history.
function arrive() {
  const code = location.hash.slice(1);
  if (code.length < 40) { return false; } // #main of the link to the content is none
  history.replaceState(null, "", location.pathname);
  claim(code);
  return true;
}

const actions = { scan: look, stop: () => show("start"), home: () => show("start"), sign: sign, deny: deny, create: make };
for (const button of app.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => actions[button.dataset.do]());
}
window.addEventListener("hashchange", arrive);
if (location.pathname === "/phone") {
  arrive();
  if ("serviceWorker" in navigator) { navigator.serviceWorker.register("/phone/worker.js", { scope: "/phone" }).catch(() => {}); }
}
