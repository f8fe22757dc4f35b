// A service behind the gateway that knows people by the signed assertion, and by nothing else. Node.js 20 alone:
//   AUTHGW_ISSUER=https://auth.example.fr AUTHGW_SERVICE=agenda PORT=8083 node assertion.mjs
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';

const { AUTHGW_ISSUER: issuer, AUTHGW_SERVICE: service, PORT: port } = process.env;

let keys = new Map();
let asked = -Infinity;
let asking;

// The gateway's key of that name. The set is kept, and asked for again when an assertion names another key, every ten seconds at most:
// somebody who makes up names must not have us flood the gateway.
async function keyOf(kid) {
  if (!keys.has(kid) && performance.now() - asked > 10_000) {
    asked = performance.now();
    asking = fetch(`${issuer}/oauth/keys`, { redirect: 'error', signal: AbortSignal.timeout(5000) })
      .then((answer) => answer.json())
      .then((set) => { keys = new Map(set.keys.map((jwk) => [jwk.kid, jwk])); })
      .catch((error) => console.error('the keys cannot be had:', error.message));
  }
  await asking; // of whoever asked
  const jwk = keys.get(kid);
  return jwk?.kty === 'EC' && jwk.crv === 'P-256' ? createPublicKey({ key: jwk, format: 'jwk' }) : undefined;
}

const read = (part) => JSON.parse(Buffer.from(part, 'base64url'));

// What the assertion says. It throws when that is not the gateway's, for this service, now.
async function person(assertion) {
  const [head, body, signature, ...more] = assertion.split('.');
  const { alg, kid } = read(head);
  const key = alg === 'ES256' && more.length === 0 && await keyOf(kid);
  const raw = { key, dsaEncoding: 'ieee-p1363' };
  if (!key || !verify('sha256', Buffer.from(`${head}.${body}`), raw, Buffer.from(signature, 'base64url'))) throw new Error('not signed by the gateway');
  const claims = read(body);
  const left = claims.exp - Date.now() / 1000;
  if (claims.iss !== issuer || ![claims.aud].flat().includes(service)) throw new Error('for another service');
  if (!(left > 0 && left < 120)) throw new Error('too old'); // it lives for a minute; two, as clocks differ
  return claims;
}

createServer(async (request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  try {
    const { name, sub } = await person(request.headers['x-authgw-assertion'] ?? '');
    response.end(`Bonjour ${name} ! Your records are under ${sub}.\n`);
  } catch (error) {
    console.error('refused:', error.message);
    response.writeHead(401).end('Please come through the gateway.\n');
  }
}).listen(port, '127.0.0.1', () => console.log('ready'));
