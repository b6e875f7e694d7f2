// oauth4webapi as a resource server that nobody here wrote: it reads the node's metadata and keys, and judges a token
// and the proof that came with it.
import * as oauth from 'oauth4webapi'
import { attempted, given, tell } from './told.mjs'

const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(given.url)
const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
)
const resource = new URL(`${given.url}/graphql`)
const about = await oauth.processResourceDiscoveryResponse(
  resource,
  await oauth.resourceDiscoveryRequest(resource, insecure),
)
const judged = (token, proof, audience, scheme = 'DPoP') => {
  const headers = { authorization: `${scheme} ${token}`, ...(proof ? { dpop: proof } : {}) }
  const request = new Request(`${given.url}/graphql`, { method: 'POST', headers })
  return oauth.validateJwtAccessToken(as, request, audience, { requireDPoP: true, ...insecure })
}
tell({
  metadata: as,
  resource: about,
  claims: await judged(given.token, given.proof, `${given.url}/graphql`),
  other_audience: await attempted(() => judged(given.token, given.proof, 'https://other.example/graphql')),
  no_proof: await attempted(() => judged(given.token, null, `${given.url}/graphql`)),
  bearer: await attempted(() => judged(given.token, given.proof, `${given.url}/graphql`, 'Bearer')),
  foreign_proof: await attempted(() => judged(given.token, given.foreign_proof, `${given.url}/graphql`)),
})
