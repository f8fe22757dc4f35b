// The steps of a login or of an enrolment: told by the server as they happen, or asked for every few seconds where that does not work.
const pollEvery = 3000; // ms
const patience = 10000; // for the first word on a connection, which comes at once unless something between keeps it back

// follow gives each step to reached until that says there is no more to follow, and each new image to draw. What it returns ends it.
export function follow(stream, status, reached, draw = () => {}) {
  const events = new EventSource(stream);
  let over = false;
  let waiting = null;

  function stop() {
    over = true;
    clearTimeout(waiting);
    events.close();
  }

  function told(step) { if (!over && reached(step)) { stop(); } }

  async function poll() {
    events.close();
    try {
      const answer = await fetch(status, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000) });
      if (answer.ok && !over) {
        const now = await answer.json();
        told(now.step);
        if (!over && now.code) { draw(now.code); }
      }
    } catch (error) { /* the next one will do */ }
    if (!over) { waiting = setTimeout(poll, pollEvery); }
  }

  waiting = setTimeout(poll, patience);
  events.addEventListener("code", (event) => draw(event.data));
  events.addEventListener("step", (event) => {
    clearTimeout(waiting);
    waiting = null;
    told(event.data);
  });
  events.addEventListener("error", () => { // lost, and the browser opens it again; or refused, and it does not
    if (events.readyState === EventSource.CLOSED) {
      clearTimeout(waiting);
      poll();
    } else if (waiting === null) {
      waiting = setTimeout(poll, patience);
    }
  });
  return stop;
}
