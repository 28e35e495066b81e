/**
 * What does a server on this machine answer? One question over its loopback port, without a redirect, a cookie or a proxy, with
 * a deadline and a bound. Whose port it is, the caller has made sure of; what the answer says is that server's word.
 */
import { request } from "node:http"
import type { Found } from "./found.ts"

const limits = Object.freeze({ milliseconds: 1000, bytes: 1 << 18 })
const unreadable = (problem: string): Found<never> => ({ state: "unreadable", problem })

/** The body of GET `path` from the port. Absent: nobody answers there, or there is no such page. */
export function askLoopback(port: number, path: string): Promise<Found<Uint8Array>> {
  const { promise, resolve } = Promise.withResolvers<Found<Uint8Array>>()
  const signal = AbortSignal.timeout(limits.milliseconds)
  const headers = { accept: "application/json", connection: "close" }
  const asked = request({ host: "127.0.0.1", port, path, headers, agent: false, signal }, response => {
    const { statusCode = 0 } = response
    if (statusCode !== 200) {
      response.destroy()
      resolve(refusal(statusCode))
      return
    }
    const parts: Buffer[] = []
    let length = 0
    response.on("data", (part: Buffer) => {
      parts.push(part)
      length += part.length
      if (length <= limits.bytes) return
      response.destroy()
      resolve(unreadable(`it answers more than ${limits.bytes} bytes`))
    })
    response.once("end", () => resolve({ state: "present", value: new Uint8Array(Buffer.concat(parts)) }))
    response.once("error", () => resolve(unreadable("it does not finish its answer")))
  })
  asked.once("error", () => resolve(signal.aborted ? unreadable("it does not answer in time") : { state: "absent" }))
  asked.end()
  return promise
}

function refusal(status: number): Found<never> {
  if (status === 401 || status === 403) return unreadable("it wants a key")
  return status === 404 || status === 405 ? { state: "absent" } : unreadable(`it answers with status ${status}`)
}
