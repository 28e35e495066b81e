/** What is the hash of these bytes? In one call: what is hashed here is small, and an object for each costs more than its hash. */
import { hash } from "node:crypto"

/** The digest, by node:crypto's name of the algorithm. In hex `hash` itself gives it. */
export const digestOf = (algorithm: string, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(Buffer.from(hash(algorithm, bytes, "binary"), "binary"))
