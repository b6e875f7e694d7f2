// oidc-provider in FAPI 2.0 mode, as the authorization server of a peer; and a resource beside it that takes its
// tokens by oauth4webapi. It says on which port it listens, and what it was asked, a line of JSON for each.
import { createServer } from 'node:http'
import * as oauth from 'oauth4webapi'
import { Provider } from 'oidc-provider'

const { client_id, jwk, port, scopes } = JSON.parse(process.argv[2])
const issuer = `http://127.0.0.1:${port}`
const audience = `${issuer}/graphql`
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const exported = await crypto.subtle.exportKey('jwk', keys.privateKey)
const scope = scopes.join(' ')

const provider = new Provider(issuer, {
  clients: [
    {
      client_id,
      jwks: { keys: [jwk] },
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      id_token_signed_response_alg: 'ES256',
      dpop_bound_access_tokens: true,
    },
  ],
  jwks: { keys: [{ kty: exported.kty, crv: exported.crv, x: exported.x, y: exported.y, d: exported.d, alg: 'ES256', use: 'sig', kid: 'one' }] },
  scopes: [...scopes, 'peers:write'],
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256'], dPoPSigningAlgValues: ['ES256'] },
  ttl: { ClientCredentials: 300 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
    fapi: { enabled: true, profile: '2.0' },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope, audience, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'ES256' } } }),
    },
  },
})
provider.on('grant.error', (ctx, error) => say({ refused: error.error, detail: error.error_detail ?? error.error_description }))
provider.on('grant.success', () => say({ granted: true }))
const answers = provider.callback()

async function resource(request, response) {
  const as = { issuer, jwks_uri: `${issuer}/jwks` }
  const asked = new Request(audience, { method: request.method, headers: request.headers })
  try {
    const claims = await oauth.validateJwtAccessToken(as, asked, audience, { requireDPoP: true, [oauth.allowInsecureRequests]: true })
    say({ asked: claims.scope, client: claims.client_id, type: claims.cnf ? 'bound' : 'bearer' })
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ scope: claims.scope }))
  } catch (error) {
    say({ turned_away: error.message })
    response.writeHead(401, { 'www-authenticate': 'DPoP error="invalid_token"' }).end()
  }
}

createServer((request, response) =>
  request.url === '/graphql' ? resource(request, response) : answers(request, response),
).listen(port, '127.0.0.1', () => say({ listening: port }))
