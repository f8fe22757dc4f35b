// A relying party with openid-client, for the end-to-end tests: a web server (TLS) that signs people in, and shows in JSON what it was told. The
// variable PARTY names the file with its configuration; it prints "ready".
//
// Each path says as which of its clients it acts: /<client>/login, which takes further parameters of the authorization request, and par=1;
// /<client>/callback; then, by its cookie, /<client>/refresh, userinfo, introspect, revoke, logout; /<client>/device and /<client>/poll;
// /<client>/backchannel and /<client>/frontchannel, and /<client>/told for what came there.
import { randomUUID, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

const input = JSON.parse(readFileSync(process.env.PARTY, 'utf8'));

async function authOf(c) {
  switch (c.auth) {
    case 'client_secret_post': return client.ClientSecretPost(c.secret);
    case 'private_key_jwt': {
      const pkcs8 = createPrivateKey(c.key).export({ format: 'der', type: 'pkcs8' });
      const key = await crypto.subtle.importKey('pkcs8', pkcs8, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
      return client.PrivateKeyJwt({ key, kid: c.kid });
    }
    case 'none': return client.None();
    default: return client.ClientSecretBasic(c.secret);
  }
}

const parties = new Map();
async function partyOf(id) {
  const c = input.clients[id];
  if (!c) throw new Error('no such client');
  if (!parties.has(id)) {
    const config = await client.discovery(new URL(input.issuer), id, { id_token_signed_response_alg: c.alg ?? 'ES256' }, await authOf(c));
    client.enableNonRepudiationChecks(config); // the signature of the ID token is looked at, although TLS brought it
    parties.set(id, { config, keys: createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri)), told: [] });
  }
  return { ...parties.get(id), scope: c.scope };
}

const sessions = new Map(); // by cookie: of each client
const base = (id) => `${input.origin}/${id}`;

const actions = {
  async login({ id, party, session, url }) {
    const asked = Object.fromEntries(url.searchParams);
    const par = asked.par;
    delete asked.par;
    const verifier = client.randomPKCECodeVerifier();
    session.checks = {
      pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true,
      ...(asked.max_age === undefined ? {} : { maxAge: Number(asked.max_age) }),
    };
    const parameters = {
      redirect_uri: `${base(id)}/callback`, scope: party.scope, state: session.checks.expectedState, nonce: session.checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...asked,
    };
    const to = par ? await client.buildAuthorizationUrlWithPAR(party.config, parameters) : client.buildAuthorizationUrl(party.config, parameters);
    return { to: to.href };
  },
  async callback({ party, session, url, request, body }) {
    const at = request.method === 'POST'
      ? new Request(url, { method: 'POST', body, headers: { 'content-type': request.headers['content-type'] } })
      : url;
    session.tokens = await client.authorizationCodeGrant(party.config, at, session.checks);
    return { claims: session.tokens.claims(), tokens: Object.keys(session.tokens).sort() };
  },
  async refresh({ party, session }) {
    const old = session.tokens;
    session.tokens = await client.refreshTokenGrant(party.config, old.refresh_token);
    return { claims: session.tokens.claims(), rotated: session.tokens.refresh_token !== old.refresh_token };
  },
  async userinfo({ party, session }) {
    return client.fetchUserInfo(party.config, session.tokens.access_token, session.tokens.claims().sub);
  },
  async introspect({ party, session, url }) {
    return client.tokenIntrospection(party.config, url.searchParams.get('token') ?? session.tokens.access_token);
  },
  async revoke({ party, session, url }) {
    await client.tokenRevocation(party.config, session.tokens[url.searchParams.get('what') ?? 'refresh_token']);
    return {};
  },
  async tokens({ session }) { return session.tokens; },
  async logout({ id, party, session }) {
    const to = client.buildEndSessionUrl(party.config, {
      post_logout_redirect_uri: `${base(id)}/bye`, state: 'bye', ...(session.tokens ? { id_token_hint: session.tokens.id_token } : {}),
    });
    return { to: to.href };
  },
  async bye({ url }) { return { bye: url.searchParams.get('state') }; },
  async device({ party, session }) {
    session.device = await client.initiateDeviceAuthorization(party.config, { scope: party.scope });
    return session.device;
  },
  async poll({ party, session }) {
    session.tokens = await client.pollDeviceAuthorizationGrant(party.config, session.device, undefined, { signal: AbortSignal.timeout(30_000) });
    return { claims: session.tokens.claims(), tokens: Object.keys(session.tokens).sort() };
  },
  // OpenID Connect Back-Channel Logout 1.0, section 2.6.
  async backchannel({ id, party, body }) {
    const { payload, protectedHeader } = await jwtVerify(new URLSearchParams(body).get('logout_token'), party.keys, {
      issuer: input.issuer, audience: id, typ: 'logout+jwt', requiredClaims: ['iat', 'exp', 'jti', 'events'], maxTokenAge: '2m', algorithms: ['ES256', 'RS256'],
    });
    const event = payload.events['http://schemas.openid.net/event/backchannel-logout'];
    if (typeof event !== 'object' || 'nonce' in payload || !(payload.sid || payload.sub)) throw new Error('no logout token');
    party.told.push({ ...payload, alg: protectedHeader.alg });
    return {};
  },
  // OpenID Connect Front-Channel Logout 1.0, section 2.
  async frontchannel({ party, url }) {
    party.told.push(Object.fromEntries(url.searchParams));
    return {};
  },
  async told({ party }) { return party.told; },
};

createServer({ cert: input.cert, key: input.key }, async (request, response) => {
  try {
    const url = new URL(request.url, input.origin);
    const [, id, action] = url.pathname.split('/');
    let cookie = /(?:^|; )party=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    if (!sessions.has(cookie)) {
      sessions.set(cookie = randomUUID(), {});
      response.setHeader('set-cookie', `party=${cookie}; Secure; HttpOnly; Path=/; SameSite=None`); // None: form_post comes from another site
    }
    let body = '';
    for await (const part of request) body += part;
    const answer = await actions[action]({ id, party: await partyOf(id), session: sessions.get(cookie)[id] ??= {}, url, request, body });
    if (answer.to) {
      response.writeHead(303, { location: answer.to }).end();
      return;
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: error.error ?? error.code ?? error.name, description: error.error_description ?? error.message, cause: String(error.cause?.message ?? '') }));
  }
}).listen(input.port, input.address, () => console.log('ready'));
