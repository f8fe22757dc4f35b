// Runs oidc-provider as Pro Santé Connect: its configuration comes on standard input, the port that it listens on (plain HTTP, loopback) goes
// to standard output, and it ends when standard input does. internal/psctest is in front of it.
//
// oidc-provider does what OpenID says. What it has no setting for, and PSC does, is added here, and nothing else: access tokens that are JWTs
// without aud, the wallet's address, the wallet's discovery path, logout without a question, and fields of Keycloak in token answers.
import * as crypto from 'node:crypto';
import * as http from 'node:http';
import Provider from 'oidc-provider';

const input = await new Promise((resolve, reject) => {
  let text = '';
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (part) => {
    text += part;
    if (text.endsWith('\n')) resolve(JSON.parse(text));
  });
  process.stdin.on('end', () => { reject(new Error('no configuration')); process.exit(0); });
});

const base = new URL(input.issuer).pathname;
const now = () => Math.floor(Date.now() / 1000);
const person = (sub) => input.people.find((p) => p.sub === sub);

// oidc-provider's own store holds a thousand entries; this one, as many as a test makes.
class Store {
  static entries = new Map();
  static grants = new Map(); // by grant: keys
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload, ttl) {
    const key = this.key(id);
    Store.entries.set(key, { payload, until: ttl ? now() + ttl : Infinity });
    if (payload.uid && this.model === 'Session') Store.entries.set(`uid:${payload.uid}`, { payload: id, until: Infinity });
    if (payload.grantId) Store.grants.set(payload.grantId, [...(Store.grants.get(payload.grantId) ?? []), key]);
  }
  async find(id) {
    const entry = Store.entries.get(this.key(id));
    return entry && entry.until > now() ? entry.payload : undefined;
  }
  async findByUid(uid) {
    const id = Store.entries.get(`uid:${uid}`)?.payload;
    return id && this.find(id);
  }
  async findByUserCode() { return undefined; }
  async consume(id) { Store.entries.get(this.key(id)).payload.consumed = now(); }
  async destroy(id) { Store.entries.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const key of Store.grants.get(grantId) ?? []) Store.entries.delete(key);
    Store.grants.delete(grantId);
  }
}

const tokenClaimNames = ['sub', 'azp', 'typ', 'jti', 'acr', 'scope', ...new Set(input.people.flatMap((p) => Object.keys(p.token)))];

const provider = new Provider(input.issuer, {
  adapter: Store,
  jwks: { keys: [input.key] },
  clients: input.clients.map((c) => ({
    client_id: c.id,
    ...(c.subject
      ? { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: c.subject }
      : { token_endpoint_auth_method: 'client_secret_basic', client_secret: c.secret }),
    redirect_uris: c.redirect_uris,
    post_logout_redirect_uris: c.logout_uris ?? [],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    require_auth_time: true,
  })),
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'tls_client_auth'],
  acrValues: ['eidas1'],
  scopes: ['openid', 'scope_all'],
  claims: {
    acr: null, auth_time: null, iss: null, sid: null,
    openid: tokenClaimNames,
    scope_all: [...new Set(input.people.flatMap((p) => Object.keys(p.userinfo)))],
  },
  pkce: { required: () => true },
  routes: Object.fromEntries(Object.entries(input.paths).map(([name, path]) => [name, base + path])),
  ttl: {
    AccessToken: input.access_lifetime,
    IdToken: input.access_lifetime,
    AuthorizationCode: 60,
    Interaction: 600,
    Grant: input.session_lifetime,
    RefreshToken: (_ctx, token) => Math.max(1, Math.min(input.refresh_lifetime, token.authTime + input.session_lifetime - now())),
    Session: (_ctx, session) => Math.max(1, (session.loginTs ?? now()) + input.session_lifetime - now()),
  },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true, logoutSource: () => {} },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => ctx.get('x-psctest-certificate') || undefined,
      certificateAuthorized: (ctx) => ctx.get('x-psctest-trusted-by').split(' ').includes(ctx.oidc.client.clientId),
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && ctx.get('x-psctest-subject') === expected,
    },
  },
  interactions: { url: (_ctx, interaction) => `${base}${input.choice_path}?login=${interaction.uid}` },
  findAccount: (ctx, sub) => person(sub) && {
    accountId: sub,
    claims: (use) => (use === 'userinfo'
      ? person(sub).userinfo
      : {
        ...person(sub).token, sub, azp: ctx.oidc.client.clientId, typ: 'ID', jti: crypto.randomUUID(), acr: 'eidas1', scope: 'openid scope_all',
      }),
  },
  // PSC asks nobody whether they consent. A session has one grant for each client, as oidc-provider binds tokens to it.
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const known = session.grantIdFor(client.clientId) && await ctx.oidc.provider.Grant.find(session.grantIdFor(client.clientId));
    if (known) return known;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid scope_all');
    await grant.save();
    return grant;
  },
  extraTokenClaims: (ctx) => {
    const source = ctx.oidc.entities.RefreshToken ?? ctx.oidc.entities.AuthorizationCode;
    return { auth_time: source.authTime, nonce: source.nonce };
  },
});
provider.proxy = true; // psctest, which tells the host and that it was TLS

// PSC's tokens say which session they are of.
provider.Client.prototype.includeSid = () => true;

const values = new WeakMap(); // of access tokens

// An access token is a JWT that carries the opaque one as its jti.
const signingKey = crypto.createPrivateKey({ key: input.key, format: 'jwk' });
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const saveOpaque = provider.AccessToken.prototype.save;
provider.AccessToken.prototype.save = async function save() {
  const jti = await saveOpaque.call(this);
  const content = `${encode({ alg: 'RS256', typ: 'JWT', kid: input.key.kid })}.${encode({
    ...person(this.accountId).token, ...this.extra, jti, iss: input.issuer, sub: this.accountId, typ: 'Bearer', azp: this.clientId, sid: this.sid,
    acr: 'eidas1', scope: this.scope, iat: this.iat ?? now(), exp: (this.iat ?? now()) + this.expiration,
  })}`;
  const token = `${content}.${crypto.sign('sha256', content, signingKey).toString('base64url')}`;
  values.set(this, token);
  return token;
};
const findOpaque = provider.AccessToken.find;
provider.AccessToken.find = function find(token, ...rest) {
  let jti = '';
  try {
    const [header, payload, signature] = token.split('.');
    if (crypto.verify('sha256', `${header}.${payload}`, crypto.createPublicKey(signingKey), Buffer.from(signature, 'base64url'))) {
      jti = JSON.parse(Buffer.from(payload, 'base64url')).jti;
    }
  } catch { /* not one of ours */ }
  return findOpaque.call(this, jti, ...rest);
};

// With a code, at_hash may be left out; PSC has it. oidc-provider makes a hash of what is set.
const issue = provider.IdToken.prototype.issue;
provider.IdToken.prototype.issue = function issueWithHash(options) {
  if (options.use === 'idtoken') this.set('at_hash', values.get(this.ctx.oidc.entities.AccessToken));
  return issue.call(this, options);
};

// forget takes a cookie of the provider's away from a request: its session, or another.
function forget(ctx, name = 'session') {
  const cookies = (ctx.req.headers.cookie ?? '').split(/; */).filter((c) => !c.startsWith(`${provider.cookieName(name)}=`));
  ctx.req.headers.cookie = cookies.join('; ');
}

async function choice(ctx) {
  ctx.set('cache-control', 'no-store');
  // All tabs of a browser share one cookie, that of the login that began last. At PSC the address says which login a tab is for.
  forget(ctx, 'interaction');
  ctx.req.headers.cookie += `; ${provider.cookieName('interaction')}=${ctx.query.login}`;
  const interaction = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.query.login !== interaction.uid) ctx.throw(400, 'another login');
  if (ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.set('content-security-policy', input.page_policy);
    const action = `${base}${input.choice_path}?login=${interaction.uid}`;
    ctx.body = input.page.replaceAll('/__ACTION__', action).replaceAll('__CLIENT__', interaction.params.client_id);
    return;
  }
  const chosen = new URLSearchParams(await text(ctx.req)).get('person');
  const someone = input.people.find((p) => p.key === chosen);
  let result = { error: 'access_denied', error_description: 'the person cancelled' };
  if (chosen) {
    if (!someone) ctx.throw(400, 'unknown person');
    result = { login: { accountId: someone.sub, acr: 'eidas1' } };
    // Another person begins another session. oidc-provider would ask the browser to run a script for that.
    const old = ctx.cookies.get(provider.cookieName('session'));
    await (old && (await provider.Session.find(old))?.destroy());
    ctx.cookies.set(provider.cookieName('session'), null, { path: '/' });
    if (interaction.session) {
      interaction.session = undefined;
      await interaction.save(interaction.exp - now());
    }
  }
  const cookies = ctx.response.get('set-cookie');
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
  ctx.status = 303;
  if (cookies) ctx.set('set-cookie', cookies);
}

async function text(stream) {
  let all = '';
  for await (const part of stream) {
    all += part;
    if (all.length > 1 << 16) throw new Error('too long');
  }
  return all;
}

// confirm says yes where oidc-provider has a page ask whether the person means to sign out.
async function confirm(ctx) {
  const jar = new Map((ctx.req.headers.cookie ?? '').split(/; */).filter(Boolean).map((c) => c.split(/=(.*)/s).slice(0, 2)));
  for (const c of [ctx.response.get('set-cookie')].flat().filter(Boolean)) jar.set(...c.split(';')[0].split(/=(.*)/s).slice(0, 2));
  const answer = await new Promise((resolve, reject) => {
    const req = http.request({
      host: '127.0.0.1', port, method: 'POST', path: base + input.paths.end_session_confirm, timeout: 30000,
      headers: {
        host: ctx.host, 'x-forwarded-host': ctx.host, 'x-forwarded-proto': 'https', 'content-type': 'application/x-www-form-urlencoded',
        cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; '),
      },
    }, (res) => { res.resume(); res.on('end', () => resolve(res)); });
    req.on('error', reject);
    req.on('timeout', () => req.destroy(new Error('time-out')));
    req.end(new URLSearchParams({ xsrf: ctx.oidc.session.state.secret, logout: 'yes' }).toString());
  });
  ctx.status = answer.statusCode;
  ctx.body = '';
  ctx.set('location', answer.headers.location ?? '');
  ctx.set('set-cookie', answer.headers['set-cookie'] ?? []);
}

provider.use(async (ctx, next) => {
  if (ctx.path === `${base}${input.choice_path}`) return choice(ctx);
  if (ctx.path === `${base}/style.css`) {
    ctx.type = 'css';
    ctx.body = input.style;
    return undefined;
  }
  if (ctx.path === new URL(input.wallet).pathname) {
    ctx.redirect(`${input.issuer}${input.paths.authorization}${ctx.search}`);
    ctx.status = 303;
    return undefined;
  }
  // The discovery document is at the wallet's path only.
  if (ctx.path === '/.well-known/openid-configuration') return undefined;
  if (ctx.path === base + input.discovery_path) ctx.path = '/.well-known/openid-configuration';
  if (ctx.path === base + input.paths.authorization && ctx.query.prompt === 'login') forget(ctx);
  await next();
  switch (ctx.oidc?.route) {
    case 'discovery':
      if (ctx.body?.issuer) Object.assign(ctx.body, { authorization_endpoint: input.wallet, acr_values_supported: ['0', '0'] });
      break;
    case 'token':
      if (ctx.status === 200) {
        const token = ctx.oidc.entities.RefreshToken;
        Object.assign(ctx.body, { refresh_expires_in: token.expiration, session_state: token.sid, 'not-before-policy': 0 });
      }
      break;
    case 'end_session':
      if (ctx.status === 200) await confirm(ctx);
      break;
    default:
  }
  return undefined;
});
provider.on('server_error', (_ctx, err) => console.error(err));

let port = 0;
const server = provider.listen(0, '127.0.0.1', () => {
  port = server.address().port;
  process.stdout.write(`${port}\n`);
});
