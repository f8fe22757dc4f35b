// The workstation follows what a phone does: the page is loaded anew when the next step is reached.
import { follow } from "./steps.js";

const panel = document.querySelector("[data-follow]");

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

// Nothing is followed from a copy of the page at another address.
const own = panel.dataset.follow.startsWith(location.pathname + "/");
if (own && panel.dataset.step === "approved") {
  panel.querySelector("[data-finish]").submit();
} else if (own) {
  follow(panel.dataset.follow, panel.dataset.poll, reached, draw);
}
