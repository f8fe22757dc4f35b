// The camera of the window that plays the phone: it looks at another window of the screen, and opens the address that it reads there, as the
// camera app of a phone does.
const { origin, scan } = document.body.dataset;
const button = document.querySelector("#start");
const said = document.querySelector("#said");
const video = document.querySelector("video");

async function start() {
  button.disabled = true;
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ audio: false, video: { width: { ideal: 3840 }, height: { ideal: 2160 } } });
    const { watch } = await import(scan);
    video.hidden = false;
    said.textContent = "En attente d’un QR code…";
    await watch(stream, video, (text) => {
      if (!text.startsWith(origin + "/phone#")) { said.textContent = "Ce QR code n’est pas de la passerelle."; return; }
      for (const track of stream.getTracks()) { track.stop(); }
      location.assign(text);
    }, 2160);
  } catch (error) {
    video.hidden = true;
    button.disabled = false;
    said.textContent = "Le navigateur ne montre aucune fenêtre. Recommencez, et choisissez celle du poste.";
  }
}

button.addEventListener("click", start);
