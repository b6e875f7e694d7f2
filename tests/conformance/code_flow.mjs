// openid-client as a dashboard that people give something to: it registers by invitation, pushes its request, is given a
// code with PKCE, and refreshes its token. As a public client, and as one with a key.
import * as client from 'openid-client'
import { Person } from './person.mjs'
import { attempted, given, tell } from './told.mjs'

const server = new URL(given.url)
const insecure = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const jwk = { ...(await crypto.subtle.exportKey('jwk', keys.publicKey)), kid: 'mine', use: 'sig', alg: 'ES256' }
delete jwk.key_ops
delete jwk.ext
const metadata = {
  client_name: 'Board',
  redirect_uris: [given.redirect_uri],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: given.public ? 'none' : 'private_key_jwt',
  ...(given.public ? {} : { jwks: { keys: [jwk] }, token_endpoint_auth_signing_alg: 'ES256' }),
}
const authentication = given.public ? client.None() : client.PrivateKeyJwt({ key: keys.privateKey, kid: 'mine' })
const register = () => client.dynamicClientRegistration(server, metadata, authentication, { ...insecure, initialAccessToken: given.invitation })
const config = await register()
const again = await attempted(register)

const proofs = await client.randomDPoPKeyPair('ES256')
const DPoP = client.getDPoPHandle(config, proofs)
const person = new Person(given.url)

async function asked(decision, more = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const parameters = {
    redirect_uri: given.redirect_uri,
    scope: given.scopes.join(' '),
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    ...more,
  }
  const address = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
  const { location, page } = await person.decide(address.href, given.account, decision)
  return { location, page, address, checks: { pkceCodeVerifier, expectedState } }
}

const one = await asked('allow')
const tokens = await client.authorizationCodeGrant(config, one.location, one.checks, undefined, { DPoP })
const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json' })
const ask = async (token, pair = DPoP) => {
  const body = JSON.stringify({ query: given.query })
  const to = new URL(`${given.url}/graphql`)
  return (await client.fetchProtectedResource(config, token, to, 'POST', body, headers, { DPoP: pair })).json()
}
const refresh = (token, pair = DPoP) => client.refreshTokenGrant(config, token, undefined, { DPoP: pair })
const told = {
  registered: config.clientMetadata(),
  again,
  pushed: [...one.address.searchParams.keys()].sort(),
  page: one.page,
  issuer: one.location.searchParams.get('iss'),
  back: one.location.origin + one.location.pathname,
  granted: { scope: tokens.scope, type: tokens.token_type, refresh: Boolean(tokens.refresh_token) },
  answer: await ask(tokens.access_token),
}
const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
told.refreshed_with_another_key = await attempted(async () => Boolean(await refresh(tokens.refresh_token, other)))
const next = await refresh(tokens.refresh_token)
told.refreshed = { scope: next.scope, rotated: Boolean(next.refresh_token) && next.refresh_token !== tokens.refresh_token }
told.answer_after = await ask(next.access_token)
if (given.public) {
  told.reused = await attempted(async () => Boolean(await refresh(tokens.refresh_token)))
  told.after_reuse = await attempted(async () => Boolean(await refresh(next.refresh_token)))
  told.token_after_reuse = await attempted(() => ask(next.access_token))
}
const denied = await asked('deny')
told.denied = await attempted(() => client.authorizationCodeGrant(config, denied.location, denied.checks, undefined, { DPoP }))
const two = await asked('allow')
told.another_verifier = await attempted(() =>
  client.authorizationCodeGrant(config, two.location, { ...two.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }, undefined, { DPoP }),
)
told.mixed_up = await attempted(() => {
  const elsewhere = new URL(two.location)
  elsewhere.searchParams.set('iss', 'https://other.example')
  return client.authorizationCodeGrant(config, elsewhere, two.checks, undefined, { DPoP })
})
const three = await asked('allow')
const last = await client.authorizationCodeGrant(config, three.location, three.checks, undefined, { DPoP })
told.replayed = await attempted(() => client.authorizationCodeGrant(config, three.location, three.checks, undefined, { DPoP }))
told.token_after_replay = await attempted(() => ask(last.access_token))
told.plain = await attempted(() => asked('allow', { code_challenge_method: 'plain' }))
told.elsewhere = await attempted(() => asked('allow', { redirect_uri: 'https://thief.example/back' }))
told.not_pushed = await new Person(given.url).open(`/oauth/authorize?client_id=${config.clientMetadata().client_id}&response_type=code&scope=${given.scopes[0]}&redirect_uri=${encodeURIComponent(given.redirect_uri)}`)
told.forged_form = (await person.send('/console/consent', { asked: 'x', decision: 'allow' }, { origin: 'https://thief.example', 'sec-fetch-site': 'cross-site' })).status
const raw = (path, body, more) => fetch(given.url + path, { method: 'POST', body, headers: more })
const invited = () =>
  raw('/oauth/register', JSON.stringify(metadata), { 'content-type': 'application/json', authorization: `Bearer ${given.second_invitation}` })
told.registered_at_once = (await Promise.all(Array.from({ length: 20 }, invited))).map((answer) => answer.status)
const strangers = await raw('/oauth/introspect', new URLSearchParams({ token: next.access_token }))
told.introspected_by_nobody = { status: strangers.status, body: await strangers.json() }
tell(told)
