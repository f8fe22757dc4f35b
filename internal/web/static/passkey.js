// Passkeys: what navigator.credentials takes and gives, from JSON and to it. Older telephones have no functions of their own for that.

export const supported = () => Boolean(window.PublicKeyCredential && navigator.credentials);

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const keys = (list) => (list || []).map((key) => ({ ...key, id: bytes(key.id) }));

function answerOf(credential, response) {
  return JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: {}, response: response
  });
}

// create makes a passkey and returns what the server is told of it.
export async function create(options) {
  const credential = await navigator.credentials.create({ publicKey: {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: keys(options.excludeCredentials)
  } });
  return answerOf(credential, {
    clientDataJSON: text(credential.response.clientDataJSON), attestationObject: text(credential.response.attestationObject),
    transports: credential.response.getTransports ? credential.response.getTransports() : []
  });
}

// get proves that a passkey is there and returns the proof.
export async function get(options) {
  const credential = await navigator.credentials.get({ publicKey: {
    ...options, challenge: bytes(options.challenge), allowCredentials: keys(options.allowCredentials)
  } });
  const response = credential.response;
  return answerOf(credential, {
    clientDataJSON: text(response.clientDataJSON), authenticatorData: text(response.authenticatorData),
    signature: text(response.signature), userHandle: response.userHandle ? text(response.userHandle) : undefined
  });
}
