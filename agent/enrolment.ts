/**
 * Which collector is this agent's, and how does it know it? By what the invitation said and the collector answered, in one
 * file of the state folder. A record is never changed; who joins again keeps the old one under another name.
 */
import { link, open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { Malformed } from "../attestation/wire/codec.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { base64Exactly, count, hex, instant, line } from "../attestation/wire/text.ts"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { syncFolder } from "./spool-file.ts"
import { Trouble } from "./trouble.ts"

const record = z.strictObject({
  host: line(253),
  port: count(65_535),
  /** SHA-256 of the collector's SubjectPublicKeyInfo */
  pin: hex(32),
  attester: tpmName,
  ak: tpmName,
  /** Ed25519 public key that signs the collector's results */
  resultKey: base64Exactly(32),
  /** for whom it wants evidence */
  audience: line(128),
  joined: instant,
})
export type Enrolment = z.infer<typeof record>

const fileIn = (state: string): string => join(state, "enrolment.json")

/** A key of the collector that signed its successor's certificate: their pins, and when that was seen. */
const successor = z.strictObject({ from: hex(32), to: hex(32), seen: instant })
export type Successor = z.infer<typeof successor>
const successors = z.array(successor).max(1000)

const successorsFile = (state: string): string => join(state, "successors.json")

async function successorsIn(state: string): Promise<readonly Successor[]> {
  const bytes = await readFile(successorsFile(state)).catch(error => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  })
  return bytes ? readJson(successors, bytes, 1 << 20) : []
}

/** The pin that counts now: from the enrolment's, in the order in which successors were seen. */
const followed = (pin: string, seen: readonly Successor[]): string =>
  seen.reduce((now, { from, to }) => (from === now ? to : now), pin)

/** Keeps a successor, before anything is said to who holds it. The record of the enrolment stays as it was. */
export async function noteSuccessor(state: string, seen: Successor): Promise<void> {
  const all = [...(await successorsIn(state)), seen]
  await writeWhole(successorsFile(state), writeJson(all.slice(-1000)))
  await syncFolder(state)
}

/** The enrolment in the state folder, or "none"; its pin is the one that counts now. Throws Trouble when the file is not as it was written. */
export async function readEnrolment(state: string): Promise<Enrolment | "none"> {
  const bytes = await readFile(fileIn(state)).catch(error => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  })
  if (!bytes) return "none"
  try {
    const enrolment = readJson(record, bytes, 1 << 16)
    return { ...enrolment, pin: followed(enrolment.pin, await successorsIn(state)) }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Trouble(`${fileIn(state)} is not as it was written: ${error.message}`, "move it away and join again")
  }
}

/** Writes the enrolment; one that was there is kept as `enrolment.<when it was made>.json`. */
export async function writeEnrolment(state: string, enrolment: Enrolment): Promise<void> {
  const old = await readEnrolment(state)
  if (old !== "none") await keep(fileIn(state), join(state, `enrolment.${old.joined}.json`))
  await writeWhole(fileIn(state), writeJson(enrolment))
  await syncFolder(state)
}

/** A second name for a file, which outlives the first's next owner. */
const keep = (path: string, as: string): Promise<void> =>
  link(path, as).catch(error => {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error
  })

/** Writes a file that is there whole, on disk, or as it was. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const fresh = `${path}.new`
  const file = await open(fresh, "w", 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(fresh, path)
}
