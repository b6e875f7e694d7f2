// A person at a browser without script: cookies are kept, redirects are followed by hand, forms are sent as pages hold them.
import { request } from 'node:http'
import { text } from 'node:stream/consumers'

export class Person {
  #cookies = new Map()

  constructor(url) {
    this.url = url
  }

  // By node:http: fetch would add headers of its own, as no form of a browser has them.
  #ask(path, { method = 'GET', body, headers = {} } = {}) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const sent = { ...headers, ...(cookie ? { cookie } : {}) }
    return new Promise((resolve, reject) => {
      const asking = request(new URL(path, this.url), { method, headers: sent }, async (answer) => {
        for (const line of answer.headers['set-cookie'] ?? []) {
          const [name, value] = line.split(';')[0].split('=')
          this.#cookies.set(name, value)
        }
        resolve({ status: answer.statusCode, location: answer.headers.location, text: await text(answer) })
      })
      asking.on('error', reject).end(body)
    })
  }

  async open(path) {
    let answer = await this.#ask(path)
    while (answer.status === 303) answer = await this.#ask((this.at = answer.location))
    return answer
  }

  send(path, fields, from = { origin: this.url, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' }) {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...from }
    return this.#ask(path, { method: 'POST', body: new URLSearchParams(fields).toString(), headers })
  }

  // Follows a program's address up to the page that asks, logging in where that is asked for; decides; and gives the
  // address that the browser is sent back to.
  async decide(address, account, decision) {
    let shown = await this.open(address)
    if (shown.text.includes('name="password"')) {
      const next = new URL(this.at, this.url).searchParams.get('next')
      const entered = await this.send('/console/login', { next, ...account })
      if (entered.status !== 303) throw new Error(`login: ${entered.status}`)
      shown = await this.open(entered.location)
    }
    const hidden = [...shown.text.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)]
    const form = Object.fromEntries(hidden.map(([, name, value]) => [name, value]))
    if (!form.asked) throw new Error(`no question: ${shown.status} ${shown.text.slice(0, 2000)}`)
    const done = await this.send('/console/consent', { ...form, decision })
    if (done.status !== 303) throw new Error(`decision: ${done.status} ${done.text.slice(0, 500)}`)
    return { location: new URL(done.location), page: shown.text }
  }
}
