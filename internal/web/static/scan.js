// Reads QR codes from the camera: with the browser's own detector where it has one, else with the package qr (qr-decode.js).

const every = 150; // ms between two looks
const side = 720; // pixels of the shorter side that are looked at, at most

// A reader returns the text of a canvas, or null when there is none in sight.

async function library() {
  const { decodeQR } = await import("./qr-decode.js");
  return async (canvas, picture) => {
    const image = picture.getImageData(0, 0, canvas.width, canvas.height);
    try { return decodeQR({ width: image.width, height: image.height, data: image.data }); } catch (error) { return null; }
  };
}

async function reader() {
  let own;
  try {
    if (!(await BarcodeDetector.getSupportedFormats()).includes("qr_code")) { return library(); }
    own = new BarcodeDetector({ formats: ["qr_code"] });
  } catch (error) {
    return library(); // it is not there, or by name only
  }
  let instead = null;
  return async (canvas, picture) => {
    if (!instead) {
      try {
        const found = await own.detect(canvas);
        return found.length ? found[0].rawValue : null;
      } catch (error) {
        instead = await library(); // what it needs of the system is missing
      }
    }
    return instead(canvas, picture);
  };
}

// scan shows the camera in a video element and gives each new text that it reads to found, until stop is called.
export async function scan(video, found) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 1280 } } });
  return watch(stream, video, found, side);
}

// watch is scan for a picture that is there.
export async function watch(stream, video, found, side) {
  let stopped = false;
  let last = null;
  const stop = () => {
    stopped = true;
    for (const track of stream.getTracks()) { track.stop(); }
    video.srcObject = null;
  };
  try {
    video.srcObject = stream;
    await video.play();
    const read = await reader();
    const canvas = document.createElement("canvas");
    const picture = canvas.getContext("2d", { willReadFrequently: true });
    const look = async () => {
      if (stopped) { return; }
      if (video.videoWidth > 0) {
        const scale = Math.min(1, side / Math.min(video.videoWidth, video.videoHeight));
        canvas.width = Math.round(video.videoWidth * scale);
        canvas.height = Math.round(video.videoHeight * scale);
        picture.drawImage(video, 0, 0, canvas.width, canvas.height);
        const text = await read(canvas, picture);
        if (!stopped && text && text !== last) { last = text; found(text); }
      }
      if (!stopped) { setTimeout(look, every); }
    };
    look();
  } catch (error) {
    stop();
    throw error;
  }
  return { stop: stop };
}
