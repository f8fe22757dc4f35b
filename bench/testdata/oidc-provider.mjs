// Runs oidc-provider with one client and one person, as its documentation sets it up, and everything in memory. Its configuration comes on
// standard input, the port that it listens on (TLS, loopback) goes to standard output, and it ends when standard input does.
import * as crypto from 'node:crypto';
import * as https from 'node:https';
import Provider from 'oidc-provider';

const input = await new Promise((resolve) => {
  let text = '';
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (part) => {
    text += part;
    if (text.endsWith('\n')) resolve(JSON.parse(text));
  });
  process.stdin.on('end', () => process.exit(0));
});

// Its own store keeps a thousand entries. This one keeps all until they expire, and looks for those only when it is full.
const entries = new Map();
class Store {
  constructor(model) { this.model = model; }
  async upsert(id, payload, seconds) {
    if (entries.size > 200_000) for (const [key, entry] of entries) if (entry.until < Date.now()) entries.delete(key);
    entries.set(`${this.model}:${id}`, { payload, until: Date.now() + seconds * 1000 });
    if (this.model === 'Session') entries.set(`uid:${payload.uid}`, { payload: id, until: Infinity });
  }
  async find(id) {
    const entry = entries.get(`${this.model}:${id}`);
    return entry && entry.until > Date.now() ? entry.payload : undefined;
  }
  async findByUid(uid) { return this.find(entries.get(`uid:${uid}`)?.payload); }
  async findByUserCode() { return undefined; }
  async consume(id) { entries.get(`${this.model}:${id}`).payload.consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { entries.delete(`${this.model}:${id}`); }
  async revokeByGrantId() {}
}

const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(input.issuer, {
  adapter: Store,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] },
  cookies: { keys: [crypto.randomBytes(32).toString('hex')] },
  clients: [{
    client_id: input.client, client_secret: input.secret, redirect_uris: [input.redirect_uri], id_token_signed_response_alg: 'ES256',
    grant_types: ['authorization_code'], response_types: ['code'],
  }],
  claims: { openid: ['sub'], profile: ['name', 'given_name', 'family_name'], email: ['email', 'email_verified'] },
  features: { devInteractions: { enabled: false }, introspection: { enabled: true } },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: 'JEANNE MARTIN', given_name: 'JEANNE', family_name: 'MARTIN', email: 'jeanne@example.fr', email_verified: true }),
  }),
  // Nobody is asked to consent, as by the gateway's client.
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const known = session.grantIdFor(client.clientId);
    if (known) return provider.Grant.find(known);
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
});
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'jeanne' } });
  ctx.respond = false;
  return undefined;
});
const server = https.createServer({ cert: input.cert, key: input.key }, provider.callback());
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
