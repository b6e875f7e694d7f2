// What a program here is given (one JSON text on standard input) and what it gives back (one on standard output).
import { text } from 'node:stream/consumers'

export const given = JSON.parse(await text(process.stdin))

export function tell(result) {
  process.stdout.write(JSON.stringify(result))
}

// How an attempt ended: its result, or the error as these libraries name it.
export async function attempted(act) {
  try {
    return { ok: await act() }
  } catch (error) {
    return { error: error.error ?? error.code ?? error.name, status: error.status ?? null }
  }
}

export async function signingKey(jwk) {
  const { d, kty, crv, x, y } = jwk
  const algorithm = { name: 'ECDSA', namedCurve: crv }
  const key = await crypto.subtle.importKey('jwk', { kty, crv, x, y, d }, algorithm, false, ['sign'])
  return { key, kid: jwk.kid }
}
