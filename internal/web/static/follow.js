// The workstation follows what a phone does: the page is loaded anew when the next step is reached. Told by the server as it happens, or
// asked for every few seconds where that does not work.
const panel = document.querySelector("[data-follow]");
const pollEvery = 3000; // ms

function draw(svg) {
  const place = panel.querySelector("[data-code]");
  const image = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  if (place && image.localName === "svg") { place.replaceChildren(document.importNode(image, true)); }
}

// reached says whether there is nothing more to follow here.
function reached(step) {
  if (step === panel.dataset.step) { return false; }
  const finish = panel.querySelector("[data-finish]");
  if (step === "approved" && finish) { finish.submit(); } else { location.reload(); }
  return true;
}

async function poll() {
  try {
    const answer = await fetch(panel.dataset.poll, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000) });
    if (answer.ok) {
      const told = await answer.json();
      if (reached(told.step)) { return; }
      if (told.code) { draw(told.code); }
    }
  } catch (error) { /* the next one will do */ }
  setTimeout(poll, pollEvery);
}

function follow() {
  const events = new EventSource(panel.dataset.follow);
  events.addEventListener("code", (event) => draw(event.data));
  events.addEventListener("step", (event) => { if (reached(event.data)) { events.close(); } });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) { poll(); } // it was refused; a lost connection is opened again by the browser
  });
}

// Nothing is followed from a copy of the page at another address.
const own = panel.dataset.follow.startsWith(location.pathname + "/");
if (own && panel.dataset.step === "approved") {
  panel.querySelector("[data-finish]").submit();
} else if (own) {
  follow();
}
