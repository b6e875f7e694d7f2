// openid-client as a partner's program: a bound token by client_credentials, and one question with it.
import * as client from 'openid-client'
import { attempted, given, signingKey, tell } from './told.mjs'

const server = new URL(given.url)
const insecure = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const config = await client.discovery(
  server,
  given.client_id,
  undefined,
  client.PrivateKeyJwt(await signingKey(given.jwk)),
  insecure,
)
const bound = () => ({ DPoP: client.getDPoPHandle(config, keys) })
const keys = await client.randomDPoPKeyPair('ES256')
const wanted = { scope: given.scopes.join(' '), resource: `${given.url}/graphql` }
const tokens = await client.clientCredentialsGrant(config, wanted, bound())
const body = JSON.stringify({ query: given.query })
const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json' })
const ask = async (more) => {
  const answer = await client.fetchProtectedResource(
    config, tokens.access_token, new URL(`${given.url}/graphql`), 'POST', body, headers, more,
  )
  return { status: answer.status, body: await answer.json() }
}
const other = await client.randomDPoPKeyPair('ES256')
const { access_token, ...rest } = tokens
tell({
  tokens: rest,
  access_token,
  answer: await ask(bound()),
  without_proof: await attempted(() => ask({})),
  with_another_key: await attempted(() => ask({ DPoP: client.getDPoPHandle(config, other) })),
  token_without_proof: await attempted(() => client.clientCredentialsGrant(config, wanted)),
  wider_scope: await attempted(() =>
    client.clientCredentialsGrant(config, { ...wanted, scope: 'policy:write' }, bound()),
  ),
  no_scope: await attempted(() => client.clientCredentialsGrant(config, {}, bound())),
  introspected: await client.tokenIntrospection(config, access_token),
  revoked: (await client.tokenRevocation(config, access_token)) ?? null,
  after: await attempted(() => ask(bound())),
})
