// Pages work without this script; it spares people a wait in the dark, and brings them to the right place of a page. No library, no inline
// code, nothing kept but that place.
(function () {
  "use strict";

  const pollEvery = 1000; // ms
  const offerAgentAfter = 4000;
  const giveUpAfter = 150000; // a login lives two minutes
  const waitForFrames = 5000; // at a sign-out
  const settleFor = 8000; // the login may begin, in the other tab, after this page has loaded

  // The card login opens in a tab of its own; this one then follows it on the wait page. The delay lets the browser send the
  // form first.
  function followLogin(form) {
    form.addEventListener("submit", function () {
      setTimeout(function () { location.assign(form.dataset.wait); }, 1000);
    });
  }

  // What follows the # in the address that was asked for has come as far as the login page, unseen by any server. It is kept for the
  // way back, for the login of this state alone; the server checks it (fragment.go).
  function keepPlace() {
    const state = new URLSearchParams(location.search).get("state");
    if (location.pathname === "/login" && state && location.hash.length > 1 && location.hash.length <= 1025) {
      document.cookie = "__Host-authgw-fragment=" + encodeURIComponent(state + location.hash) + "; Path=/; Secure; SameSite=Lax; Max-Age=3600";
    }
  }

  function closeMenu(menu) {
    document.addEventListener("click", function (event) {
      if (!menu.contains(event.target)) { menu.open = false; }
    });
    menu.addEventListener("keydown", function (event) {
      if (event.key === "Escape" && menu.open) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
  }

  // ask returns the state that the server tells, or null: a poll may fail, and the next one will do.
  async function ask(url) {
    try {
      return await request(url);
    } catch (error) {
      return null;
    }
  }

  async function request(url) {
    const answer = await fetch(url, {
      headers: { Accept: "application/json" },
      cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(5000)
    });
    if (!answer.ok) { throw new Error("status " + answer.status); }
    const state = (await answer.json()).state;
    return ["waiting", "fetched", "done", "over"].includes(state) ? state : null;
  }

  function show(panel, state) {
    for (const part of panel.querySelectorAll("[data-state]")) {
      part.hidden = part.dataset.state !== state;
      if (!part.hidden && part.dataset.title) { document.title = part.dataset.title; }
    }
    const retry = panel.querySelector("[data-retry]");
    if (retry) {
      retry.hidden = state === "fetched" || state === "done";
      retry.firstElementChild.className = state === "over" ? "button primary wide" : "";
    }
  }

  function watch(panel) {
    const began = Date.now();
    let shown = "waiting";
    let begun = false; // the server knows the login
    let absent = false; // it did not, at first

    async function step() {
      const age = Date.now() - began;
      const told = await ask(panel.dataset.status);
      let state = told || shown;
      if (told === "over" && !begun && age < settleFor) {
        absent = true;
        state = "waiting";
      } else if (told && told !== "over") {
        if (absent) { location.reload(); return; } // drawn before the login began, so without the link that starts the agent
        begun = true;
      }
      if (age > giveUpAfter && state !== "done") { state = "over"; }
      if (state !== shown) { show(panel, state); shown = state; }
      if (state === "waiting" && age > offerAgentAfter) { panel.querySelector("[data-late]").hidden = false; }
      if (state === "waiting" || state === "fetched") { setTimeout(step, pollEvery); }
    }
    show(panel, shown);
    step();
  }

  // A second click, which some make out of habit, would take the place of the first, whose answer alone shows what was made, or has the
  // session. data-once may say after how many seconds the form can be sent again, when the first went astray.
  function sendOnce(form) {
    let sent = false;
    function again() { sent = false; }
    form.addEventListener("submit", function (event) {
      if (sent) { event.preventDefault(); return; }
      sent = true;
      if (form.dataset.once) { setTimeout(again, 1000 * form.dataset.once); }
    });
    addEventListener("pageshow", again);
  }

  // A button that prints is only there where it works.
  function print(button) {
    button.hidden = false;
    button.addEventListener("click", function () { window.print(); });
  }

  // The page goes on when all services have answered, or after a few seconds: the header Refresh waits for the slowest frame.
  function goOnAfterFrames(panel) {
    const next = panel.querySelector("[data-next]");
    const frames = panel.querySelectorAll("iframe");
    let loading = frames.length;
    if (!next) { return; }
    for (const frame of frames) {
      frame.addEventListener("load", function () {
        loading -= 1;
        if (loading === 0) { location.replace(next.href); }
      });
    }
    setTimeout(function () { location.replace(next.href); }, waitForFrames);
  }

  keepPlace();
  for (const panel of document.querySelectorAll("[data-frames]")) { goOnAfterFrames(panel); }
  for (const form of document.querySelectorAll("form[data-send]")) { form.submit(); }
  for (const form of document.querySelectorAll("form[data-once]")) { sendOnce(form); }
  for (const button of document.querySelectorAll("[data-print]")) { print(button); }
  for (const form of document.querySelectorAll("form[data-wait]")) { followLogin(form); }
  for (const menu of document.querySelectorAll("details.menu")) { closeMenu(menu); }
  for (const panel of document.querySelectorAll("[data-status]")) { if (panel.dataset.status) { watch(panel); } }
})();
