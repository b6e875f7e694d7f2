// Attacks on a served node from outside, by requests made with jose and fetch: each row of the checklist that can be
// tried so. It tells how each attempt was answered, and judges nothing itself.
import { createHash, randomUUID } from 'node:crypto'
import * as jose from 'jose'
import { given, tell } from './told.mjs'

const { url, client_id, scopes } = given
const token_endpoint = `${url}/oauth/token`
const graphql = `${url}/graphql`
const key = await jose.importJWK({ ...given.jwk, alg: 'ES256' }, 'ES256')
const pair = await jose.generateKeyPair('ES256', { extractable: true })
const thief = await jose.generateKeyPair('ES256', { extractable: true })
const now = () => Math.floor(Date.now() / 1000)
const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
let nonce

function signed(header, claims, by) {
  return new jose.SignJWT(claims).setProtectedHeader({ alg: 'ES256', ...header }).sign(by)
}

// Claims given as undefined are left out.
function assertion({ header = {}, by = key, ...claims } = {}) {
  const made = { iss: client_id, sub: client_id, aud: url, iat: now(), exp: now() + 60, jti: randomUUID(), ...claims }
  return signed({ typ: 'JWT', ...header }, made, by)
}

async function proof({ by = pair, token, method = 'POST', to = token_endpoint, header = {}, ...claims } = {}) {
  const jwk = await jose.exportJWK(by.publicKey)
  const ath = token && createHash('sha256').update(token).digest('base64url')
  const made = { jti: randomUUID(), htm: method, htu: to, iat: now(), ...(ath ? { ath } : {}), nonce, ...claims }
  return signed({ typ: 'dpop+jwt', jwk, ...header }, made, by.privateKey)
}

async function answered(address, init) {
  const answer = await fetch(address, { redirect: 'manual', ...init })
  nonce = answer.headers.get('dpop-nonce') ?? nonce
  const said = await answer.text()
  let body
  try {
    body = JSON.parse(said)
  } catch {
    body = said
  }
  return { status: answer.status, body, headers: Object.fromEntries(answer.headers) }
}

async function ask_token({ form = {}, proofs, path = token_endpoint, method = 'POST', headers = {}, raw } = {}) {
  const fields = { grant_type: 'client_credentials', scope: scopes.join(' '), client_assertion_type: type, ...form }
  if (!('client_assertion' in form)) fields.client_assertion = await assertion()
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  const sent = new Headers({ 'content-type': 'application/x-www-form-urlencoded', ...headers })
  for (const one of proofs ?? [await proof()]) sent.append('dpop', one)
  const body = method === 'GET' ? undefined : (raw ?? new URLSearchParams(kept).toString())
  return answered(path, { method, headers: sent, body })
}

async function ask_graphql(token, { proofs, scheme = 'DPoP', address = graphql, headers } = {}) {
  const sent = headers ?? { authorization: `${scheme} ${token}` }
  const made = new Headers({ 'content-type': 'application/json', ...sent })
  for (const one of proofs ?? [await proof({ token, to: graphql })]) made.append('dpop', one)
  return answered(address, { method: 'POST', headers: made, body: JSON.stringify({ query: '{ viewer { kind } }' }) })
}

const short = ({ status, body, headers }) => ({ status, error: body?.error ?? body?.errors?.[0]?.extensions?.code ?? null, challenge: headers['www-authenticate'] ?? null })
const result = {}
async function attempt(row, name, act) {
  const done = await act()
  ;(result[row] ??= {})[name] = Array.isArray(done) ? done.map(short) : short(done)
}
const tokens = async (changed) => ask_token({ form: { client_assertion: await assertion(changed) } })

// What a good request gets first: the nonce that all others carry, and a token.
await attempt(26, 'without a nonce', async () => ask_token())
const good = await ask_token()
const token = good.body.access_token
result.good = { status: good.status, type: good.body.token_type, cache: good.headers['cache-control'], used: short(await ask_graphql(token)) }

await attempt(7, 'no assertion', () => ask_token({ form: { client_assertion: undefined, client_assertion_type: undefined, client_id } }))
await attempt(7, 'basic', () => ask_token({ headers: { authorization: `Basic ${btoa(`${client_id}:secret`)}` } }))
await attempt(7, 'unknown client', () => tokens({ iss: 'client-nobody', sub: 'client-nobody' }))
await attempt(8, 'none', async () => {
  const parts = [{ alg: 'none', typ: 'JWT' }, { iss: client_id, sub: client_id, aud: url, iat: now(), exp: now() + 60, jti: randomUUID() }]
  const made = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.') + '.'
  return ask_token({ form: { client_assertion: made } })
})
await attempt(8, 'HS256 with the public key', async () => {
  const { d, ...open } = given.jwk
  const secret = new TextEncoder().encode(JSON.stringify(open))
  const made = new jose.SignJWT({ iss: client_id, sub: client_id, aud: url, iat: now(), exp: now() + 60, jti: randomUUID() })
  return ask_token({ form: { client_assertion: await made.setProtectedHeader({ alg: 'HS256' }).sign(secret) } })
})
for (const name of ['jwk', 'jku', 'x5u'])
  await attempt(9, name, async () => {
    const value = name === 'jwk' ? await jose.exportJWK(thief.publicKey) : 'https://thief.example/keys'
    return tokens({ header: { [name]: value }, by: thief.privateKey })
  })
await attempt(10, 'a list', () => tokens({ aud: [url, token_endpoint] }))
await attempt(10, 'the endpoint', () => tokens({ aud: token_endpoint }))
await attempt(11, 'past', () => tokens({ exp: now() - 5 }))
await attempt(11, 'absent', () => tokens({ exp: undefined }))
await attempt(11, 'far ahead', () => tokens({ exp: now() + 3600 }))
await attempt(12, 'fifty at once', async () => {
  const same = await assertion()
  return Promise.all(Array.from({ length: 50 }, () => ask_token({ form: { client_assertion: same } })))
})
await attempt(13, 'another issuer', () => tokens({ iss: 'somebody' }))
await attempt(13, 'another client_id', () => ask_token({ form: { client_id: 'somebody' } }))
await attempt(14, 'ten seconds ahead', () => tokens({ iat: now() + 10, nbf: now() + 10 }))
await attempt(14, 'sixty seconds ahead', () => tokens({ iat: now() + 60 }))
await attempt(15, 'repeated', async () => ask_token({ raw: `grant_type=client_credentials&grant_type=client_credentials&scope=${scopes[0]}&client_assertion_type=${encodeURIComponent(type)}&client_assertion=${await assertion()}` }))
await attempt(15, 'GET', () => ask_token({ method: 'GET' }))
await attempt(15, 'in the address', async () => ask_token({ path: `${token_endpoint}?client_assertion=${await assertion()}` }))
await attempt(16, 'an access token as assertion', () => ask_token({ form: { client_assertion: token } }))
await attempt(16, 'an assertion as access token', async () => ask_graphql(await assertion()))
await attempt(16, 'a proof as assertion', async () => ask_token({ form: { client_assertion: await proof() } }))
await attempt(17, 'password', () => ask_token({ form: { grant_type: 'password', username: 'a', password: 'b' } }))
await attempt(18, 'wider', () => ask_token({ form: { scope: 'policy:write' } }))
await attempt(18, 'none', () => ask_token({ form: { scope: undefined } }))
await attempt(20, 'no proof', () => ask_token({ proofs: [] }))
await attempt(21, 'another method', async () => ask_token({ proofs: [await proof({ method: 'GET' })] }))
await attempt(21, 'another address', async () => ask_token({ proofs: [await proof({ to: graphql })] }))
await attempt(22, 'type', async () => ask_token({ proofs: [await proof({ header: { typ: 'JWT' } })] }))
await attempt(22, 'private key', async () => ask_token({ proofs: [await proof({ header: { jwk: await jose.exportJWK(pair.privateKey) } })] }))
await attempt(22, 'signature', async () => ask_token({ proofs: [await proof({ header: { jwk: await jose.exportJWK(thief.publicKey) } })] }))
await attempt(22, 'no jti', async () => ask_token({ proofs: [await proof({ jti: undefined })] }))
await attempt(23, 'an hour old', async () => ask_token({ proofs: [await proof({ iat: now() - 3600 })] }))
await attempt(23, 'an hour ahead', async () => ask_token({ proofs: [await proof({ iat: now() + 3600 })] }))
await attempt(24, 'at the token endpoint', async () => {
  const same = await proof()
  return Promise.all(Array.from({ length: 20 }, () => ask_token({ proofs: [same] })))
})
await attempt(24, 'at the resource', async () => {
  const same = await proof({ token, to: graphql })
  return Promise.all(Array.from({ length: 20 }, () => ask_graphql(token, { proofs: [same] })))
})
await attempt(25, 'two proofs', async () => ask_token({ proofs: [await proof(), await proof()] }))
await attempt(26, 'forged nonce', async () => ask_token({ proofs: [await proof({ nonce: Buffer.alloc(24, 1).toString('base64url') })] }))
await attempt(27, 'no token', () => ask_graphql('', { headers: { authorization: 'DPoP x' }, proofs: [] }))
await attempt(28, 'bearer', () => ask_graphql(token, { scheme: 'Bearer' }))
await attempt(28, 'bearer without proof', () => ask_graphql(token, { scheme: 'Bearer', proofs: [] }))
await attempt(29, 'another key', async () => ask_graphql(token, { proofs: [await proof({ by: thief, token, to: graphql })] }))
await attempt(29, 'no ath', async () => ask_graphql(token, { proofs: [await proof({ to: graphql })] }))
await attempt(29, 'ath of another token', async () => ask_graphql(token, { proofs: [await proof({ token: 'other', to: graphql })] }))
const claims = jose.decodeJwt(token)
const head = jose.decodeProtectedHeader(token)
await attempt(30, 'tampered', async () => {
  const [first, , last] = token.split('.')
  const changed = `${first}.${Buffer.from(JSON.stringify({ ...claims, scope: 'policy:write' })).toString('base64url')}.${last}`
  return ask_graphql(changed)
})
await attempt(30, 'foreign key under the same kid', async () => ask_graphql(await signed(head, claims, thief.privateKey)))
await attempt(30, 'critical', async () => ask_graphql(await signed({ ...head, crit: ['b64'], b64: true }, claims, thief.privateKey)))
await attempt(31, 'in the address', () => ask_graphql(token, { headers: {}, proofs: [], address: `${graphql}?access_token=${token}` }))
await attempt(33, "another node's", async () => ask_graphql(await signed({ ...head, kid: undefined }, { ...claims, iss: 'https://other.example', aud: 'https://other.example/graphql' }, thief.privateKey)))
await attempt(47, 'ES384', async () => {
  const other = await jose.generateKeyPair('ES384')
  const made = new jose.SignJWT({ iss: client_id, sub: client_id, aud: url, exp: now() + 60, jti: randomUUID() })
  return ask_token({ form: { client_assertion: await made.setProtectedHeader({ alg: 'ES384' }).sign(other.privateKey) } })
})
await attempt(50, 'oversized proof', async () => ask_token({ proofs: [await proof({ padding: 'x'.repeat(20_000) })] }))
await attempt(50, 'oversized assertion', () => tokens({ padding: 'x'.repeat(20_000) }))
await attempt(50, 'deep assertion', async () => {
  const deep = '['.repeat(3000) + ']'.repeat(3000)
  const made = [JSON.stringify({ alg: 'ES256' }), `{"iss":"${client_id}","sub":"${client_id}","x":${deep}}`]
  return ask_token({ form: { client_assertion: made.map((part) => Buffer.from(part).toString('base64url')).join('.') + '.AAAA' } })
})
await attempt(36, 'revoked', async () => {
  const done = await ask_token({ path: `${url}/oauth/revoke`, form: { grant_type: undefined, scope: undefined, token } })
  if (done.status !== 200) return done
  const asked = []
  for (let count = 0; count < 8; count += 1) asked.push(await ask_graphql(token))
  return asked
})
tell(result)
