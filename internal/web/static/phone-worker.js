// The service worker of the phone's app. It keeps the shell of the app, which holds nothing personal, and shows it when there is no network.
// It answers for the page /phone and for the scripts and styles of it, and for nothing else: what a person is told always comes from the server.
const shell = "authgw-phone-shell";
const assets = "/static/";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(shell).then((cache) => cache.add(new Request("/phone", { cache: "reload" }))).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

// page comes from the network, and from the cache when there is none.
async function page(request) {
  const cache = await caches.open(shell);
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) { await cache.put("/phone", answer.clone()); }
    return answer;
  } catch (error) {
    const kept = await cache.match("/phone");
    if (kept) { return kept; }
    throw error;
  }
}

// asset has an address that changes with its content, so the cache may answer; those of other versions are forgotten.
async function asset(request) {
  const cache = await caches.open(shell);
  const kept = await cache.match(request);
  if (kept) { return kept; }
  const answer = await fetch(request);
  if (answer.ok) {
    const version = new URL(request.url).pathname.split("/", 3).join("/") + "/";
    for (const old of await cache.keys()) {
      const path = new URL(old.url).pathname;
      if (path.startsWith(assets) && !path.startsWith(version)) { await cache.delete(old); }
    }
    await cache.put(request, answer.clone());
  }
  return answer;
}

self.addEventListener("fetch", (event) => {
  const request = event.request;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) { return; }
  if (request.mode === "navigate" && address.pathname === "/phone") { event.respondWith(page(request)); }
  else if (address.pathname.startsWith(assets)) { event.respondWith(asset(request)); }
});
